"""Weighted kernel ridge regression onto the classes, judged on people held out, in closed form.

Axis letters: N people, K class.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from neuromoe.model.kernels.linear import calibrate, log_softmax

# Of the kernel's mean diagonal.
RIDGES = 10.0 ** np.arange(-2, 3.1, 0.5)


@dataclass(frozen=True, eq=False)
class KernelFit:
    """Calibrated kernel ridge regression: softmax(slope * (k @ dual + bias) + offset).

    Parameters
    ----------
    dual : array (N, K)
        Of the training people.
    bias, offset : array (K,)
    slope : array (1,)
    """

    dual: NDArray
    bias: NDArray
    slope: NDArray
    offset: NDArray

    def log_proba(self, kernel_TN: NDArray) -> NDArray:
        """Return log probabilities of people with these kernel values to the training people."""
        return log_softmax(self.slope * (kernel_TN @ self.dual + self.bias) + self.offset)

    def arrays(self, name: str) -> dict[str, NDArray]:
        """Return what `from_arrays` reads."""
        parts = {"dual": self.dual, "bias": self.bias, "slope": self.slope, "offset": self.offset}
        return {f"{name}.{part}": value for part, value in parts.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray], name: str) -> Self:
        """Rebuild the fit."""
        return cls(*(arrays[f"{name}.{part}"] for part in ("dual", "bias", "slope", "offset")))


def fit_kernel(
    kernel_NN: NDArray, targets: NDArray, parts: NDArray, classes: int, *, balance: NDArray, trust: NDArray
) -> tuple[float, KernelFit, NDArray]:
    """Fit, with the penalty of least loss on people held out.

    Parameters
    ----------
    kernel_NN : array (N, N)
        Positive semidefinite, its diagonal about 1.
    targets, parts : array (N,), int
        Column of the class; inner part.
    classes : int
        K.
    balance : array (N,)
        Weights of the loss.
    trust : array (N,)
        How far each training person counts in the regression; above 0.

    Returns
    -------
    loss : float
        Mean loss held out.
    fit : KernelFit
    log_proba : array (N, K)
        Of each person from those of the other parts.
    """
    wanted_NK = np.eye(classes)[targets]
    trials = []
    for ridge in RIDGES:
        dual_NK, bias_K, scores_NK = solve(kernel_NN, wanted_NK, parts, ridge / trust)
        loss, slope, offset_K = calibrate(scores_NK, targets, balance)
        trials.append((loss, KernelFit(dual_NK, bias_K, np.array([slope]), offset_K), scores_NK))
    loss, fit, scores_NK = min(trials, key=lambda trial: trial[0])
    return loss / len(targets), fit, log_softmax(fit.slope * scores_NK + fit.offset)


def solve(
    kernel_NN: NDArray, wanted_NK: NDArray, parts: NDArray, ridges_N: NDArray
) -> tuple[NDArray, NDArray, NDArray]:
    """Solve ridge regression with a free intercept, and predict each part from the others.

    With S the inverse of [[K + diag(ridges), 1], [1', 0]] and a = S y, the error on a part b that is held out
    is S_bb^-1 a_b: nothing is fitted again.

    Parameters
    ----------
    kernel_NN : array (N, N)
    wanted_NK : array (N, K)
    parts : array (N,), int
    ridges_N : array (N,)
        Each person's penalty.

    Returns
    -------
    dual : array (N, K)
        Its columns sum to 0.
    bias : array (K,)
    held_out : array (N, K)

    References
    ----------
    An S et al. 2007, doi:10.1016/j.patcog.2006.12.015.
    """
    inverse_NN = np.linalg.inv(kernel_NN + np.diag(ridges_N))
    row_N = inverse_NN.sum(axis=0)
    total = row_N.sum()
    bias_K = row_N @ wanted_NK / total
    schur_NN = inverse_NN - np.outer(row_N, row_N) / total
    dual_NK = schur_NN @ wanted_NK
    held_out_NK = np.empty_like(wanted_NK)
    for part in np.unique(parts):
        mine = np.flatnonzero(parts == part)
        if len(mine) == len(parts):
            held_out_NK[:] = wanted_NK.mean(axis=0)
            continue
        held_out_NK[mine] = wanted_NK[mine] - np.linalg.solve(schur_NN[np.ix_(mine, mine)], dual_NK[mine])
    return dual_NK, bias_K, held_out_NK
