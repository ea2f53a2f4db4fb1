"""Linear experts on all voxels of a modality, solved in closed form, which a network's experts start from.

Axis letters: N people, n those who have the modality, F voxels or features, K class.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from neuromoe.model._kernel_ridge import fit_kernel
from neuromoe.model._kernels import size_of
from neuromoe.model._linear import log_softmax, weighted_nll
from neuromoe.model._maps import Maps, Read, blocks, likeness_between

# Its cost goes with the cube of the people; more of them hardly change a linear expert.
_MOST = 4000
# How far a network's addition to a linear expert may be believed.
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, eq=False)
class LinearExpert:
    """Calibrated ridge regression onto the classes: softmax(slope * (x @ weights + bias) + offset).

    Parameters
    ----------
    mean : array (F,), float32
        Mean of the training people, taken off.
    scale : array (1,), float32
        What x is then divided by.
    weights : array (F, K), float32
    bias, offset : array (K,)
    slope : array (1,)
    """

    mean: NDArray
    scale: NDArray
    weights: NDArray
    bias: NDArray
    slope: NDArray
    offset: NDArray

    def log_proba(self, read: Read, count: int) -> NDArray:
        """Return log probabilities (count, K) of those whose features `read` gives."""
        scores = [self._scaled(read, rows) @ self.weights for rows in self._parts(count)]
        return log_softmax(self.slope * (np.concatenate(scores).astype(float) + self.bias) + self.offset)

    def oddness(self, read: Read, count: int) -> NDArray:
        """Return the logarithm of the squared distance to the training people's mean (count,)."""
        squares = [(self._scaled(read, rows) ** 2).sum(axis=1, dtype=float) for rows in self._parts(count)]
        return np.log(np.maximum(np.concatenate(squares), np.finfo(float).tiny))

    def _scaled(self, read: Read, rows: NDArray) -> NDArray:
        return (read(rows).astype(np.float32) - self.mean) / self.scale

    def _parts(self, count: int) -> list[NDArray]:
        return blocks(count, len(self.mean)) or [np.arange(0)]

    def arrays(self, name: str) -> dict[str, NDArray]:
        """Return what `from_arrays` reads."""
        return {f"{name}.{part}": getattr(self, part) for part in self.__dataclass_fields__}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray], name: str) -> Self:
        """Rebuild the expert."""
        return cls(*(arrays[f"{name}.{part}"] for part in cls.__dataclass_fields__))


def fit_linear(
    read: Read, targets: NDArray, parts: NDArray, classes: int, *, balance: NDArray, trust: NDArray, seed: int
) -> tuple[LinearExpert, NDArray]:
    """Fit, with penalty and calibration of least loss on people held out.

    Parameters
    ----------
    read : function
        From rows 0..n-1 to features (n, F).
    targets, parts : array (n,), int
        Column of the class; inner part.
    classes : int
        K.
    balance : array (n,)
        Weights of the loss.
    trust : array (n,)
        How far each person counts in the regression; above 0.
    seed : int
        Of whom to fit on where there are more than 4000.

    Returns
    -------
    expert : LinearExpert
    held_out : array (n, K)
        Log probabilities of each person from those of the other parts.
    """
    count = len(targets)
    chosen = np.sort(np.random.default_rng(seed).permutation(count)[:_MOST])
    maps = Maps.fit(lambda rows: read(chosen[rows]), np.arange(len(chosen)))
    inner_NN = likeness_between(maps.read, maps.owners, len(chosen), maps, len(chosen)).inner
    size = size_of("linear", inner_NN)
    _, fit, log_proba = fit_kernel(
        inner_NN / size, targets[chosen], parts[chosen], classes, balance=balance[chosen], trust=trust[chosen]
    )
    weights_FK = np.zeros((len(maps.mean), classes))
    for rows in blocks(len(chosen), len(maps.mean)):
        weights_FK += maps.scaled(maps.read, rows).T @ fit.dual[rows]
    expert = LinearExpert(
        maps.mean,
        np.array([np.sqrt(maps.size)], np.float32),
        (weights_FK / size).astype(np.float32),
        fit.bias,
        fit.slope,
        fit.offset,
    )
    held_out = log_proba if len(chosen) == count else expert.log_proba(read, count)
    held_out[chosen] = log_proba
    return expert, held_out


def shares(base_NMK: NDArray, added_NMK: NDArray, targets: NDArray, present_NM: NDArray, balance: NDArray) -> NDArray:
    """Choose on people held out how much of its network's addition each linear expert takes.

    Parameters
    ----------
    base_NMK, added_NMK : array (N, M, K)
        Log probabilities of the linear experts; what the networks add.
    targets : array (N,), int
    present_NM : array (N, M), bool
    balance : array (N,)
        Weights of the loss.

    Returns
    -------
    array (M,)
        From 0 to 1; 1 where nobody has the modality.
    """
    shares_M = np.ones(present_NM.shape[1])
    for column in np.flatnonzero(present_NM.any(axis=0)):
        mine = present_NM[:, column]
        base_nK, added_nK = base_NMK[mine, column], added_NMK[mine, column]
        losses = [
            weighted_nll(log_softmax(base_nK + share * added_nK), targets[mine], balance[mine]) for share in _SHARES
        ]
        shares_M[column] = _SHARES[int(np.argmin(losses))]
    return shares_M
