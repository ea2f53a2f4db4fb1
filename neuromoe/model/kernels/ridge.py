"""Weighted kernel ridge regression onto the classes, judged on people held out, in closed form.

Axis letters: N people, L landmarks, X landmarks and the intercept, K class.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from neuromoe.model.kernels.linear import calibrate, log_softmax

# Of the kernel's mean diagonal.
RIDGES = tuple(10.0 ** np.arange(-2, 3.1, 0.5))


@dataclass(frozen=True, eq=False)
class KernelFit:
    """Calibrated kernel ridge regression: softmax(slope * (k @ dual + bias) + offset).

    Parameters
    ----------
    dual : array (L, K)
        Of the landmarks, which are all training people where these are few.
    bias, offset : array (K,)
    slope : array (1,)
    """

    dual: NDArray
    bias: NDArray
    slope: NDArray
    offset: NDArray

    def log_proba(self, kernel_TL: NDArray) -> NDArray:
        """Return log probabilities of people with these kernel values to the landmarks."""
        return log_softmax(self.slope * (kernel_TL @ self.dual + self.bias) + self.offset)

    def arrays(self, name: str) -> dict[str, NDArray]:
        """Return what `from_arrays` reads."""
        parts = {"dual": self.dual, "bias": self.bias, "slope": self.slope, "offset": self.offset}
        return {f"{name}.{part}": value for part, value in parts.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray], name: str) -> Self:
        """Rebuild the fit."""
        return cls(*(arrays[f"{name}.{part}"] for part in ("dual", "bias", "slope", "offset")))


def fit_kernel(
    kernel_NL: NDArray,
    marks: NDArray,
    targets: NDArray,
    parts: NDArray,
    classes: int,
    *,
    balance: NDArray,
    trust: NDArray,
    ridges: Sequence[float] = RIDGES,
) -> tuple[float, KernelFit, NDArray]:
    """Fit, with the penalty of least loss on people held out.

    Parameters
    ----------
    kernel_NL : array (N, L)
        Between people and landmarks; of all people positive semidefinite, the diagonal about 1.
    marks : array (L,), int
        Which of the people the landmarks are; where they are everybody the solution is exact.
    targets, parts : array (N,), int
        Column of the class; inner part.
    classes : int
        K.
    balance : array (N,)
        Weights of the loss.
    trust : array (N,)
        How far each training person counts in the regression; above 0.
    ridges : sequence of float
        Penalties to choose from.

    Returns
    -------
    loss : float
        Mean loss held out.
    fit : KernelFit
    log_proba : array (N, K)
        Of each person from those of the other parts.
    """
    wanted_NK = np.eye(classes)[targets]
    solved: Iterable[tuple[NDArray, NDArray, NDArray]]
    if len(marks) == len(targets):
        solved = (solve(kernel_NL, wanted_NK, parts, ridge / trust) for ridge in ridges)
    else:
        solved = solve_landmarks(kernel_NL, marks, wanted_NK, parts, trust, ridges)
    trials = []
    for dual_LK, bias_K, scores_NK in solved:
        loss, slope, offset_K = calibrate(scores_NK, targets, balance)
        trials.append((loss, KernelFit(dual_LK, bias_K, np.array([slope]), offset_K), scores_NK))
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


def solve_landmarks(
    kernel_NL: NDArray,
    marks: NDArray,
    wanted_NK: NDArray,
    parts: NDArray,
    trust: NDArray,
    ridges: Sequence[float],
) -> Iterator[tuple[NDArray, NDArray, NDArray]]:
    """Solve ridge regression with a free intercept on functions of the landmarks alone, the Nystroem approximation.

    With X = [K_NL, 1] it minimises sum_i trust_i / ridge (y_i - X_i a)^2 + a' K_LL a; without a part, the part's rows
    are taken off X'X and X'y. Memory goes with the landmarks' square, not with that of the people.

    Yields
    ------
    dual : array (L, K)
    bias : array (K,)
    held_out : array (N, K)
        For each penalty.

    References
    ----------
    Rudi A et al. 2015, doi:10.48550/arXiv.1507.04717.
    """
    from scipy.linalg import solve as solve_symmetric

    reach_NX = np.column_stack([kernel_NL, np.ones(len(kernel_NL))])
    norm_XX = np.zeros((len(marks) + 1,) * 2)
    norm_XX[:-1, :-1] = kernel_NL[marks]
    # Landmarks that are alike, and few features, need a little of their own: more than the single precision that the
    # kernel is of could take away.
    norm_XX[np.diag_indices(len(marks))] += 1e-5 * max(norm_XX.diagonal().max(), 1e-3)
    norm_XX[-1, -1] = 1e-8
    names = np.unique(parts)
    rows = [np.flatnonzero(parts == name) for name in names]
    squares = [(reach_NX[mine].T * trust[mine]) @ reach_NX[mine] for mine in rows]
    sides = [(reach_NX[mine].T * trust[mine]) @ wanted_NK[mine] for mine in rows]
    square_XX, side_XK = np.sum(squares, axis=0), np.sum(sides, axis=0)
    for ridge in ridges:
        found_XK = solve_symmetric(square_XX + ridge * norm_XX, side_XK, assume_a="pos")
        held_out_NK = np.empty_like(wanted_NK)
        for mine, own_XX, own_XK in zip(rows, squares, sides, strict=True):
            if len(mine) == len(parts):
                held_out_NK[:] = wanted_NK.mean(axis=0)
                continue
            without_XK = solve_symmetric(square_XX - own_XX + ridge * norm_XX, side_XK - own_XK, assume_a="pos")
            held_out_NK[mine] = reach_NX[mine] @ without_XK
        yield found_XK[:-1], found_XK[-1], held_out_NK
