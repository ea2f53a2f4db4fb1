"""Linear experts on all voxels of a modality, solved in closed form, which a network's experts start from.

Axis letters: N people, n those who have the modality, F voxels or features, K class.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from neuromoe.model.kernels.kernel_ridge import KernelFit, fit_kernel
from neuromoe.model.kernels.kernels import size_of
from neuromoe.model.kernels.linear import log_softmax, weighted_nll
from neuromoe.model.kernels.maps import Frame, Maps, Read, likeness_between
from neuromoe.model.kernels.pool import trust

# Its cost goes with the cube of the people; more of them hardly change a linear expert.
_MOST = 4000
# How far a network's addition to a linear expert may be believed.
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, eq=False)
class LinearExpert(Frame):
    """Calibrated ridge regression onto the classes: softmax(slope * (x @ weights + bias) + offset), x in the frame.

    Parameters
    ----------
    weights : array (F, K), float32
    bias, offset : array (K,)
    slope : array (1,)
    """

    weights: NDArray
    bias: NDArray
    slope: NDArray
    offset: NDArray

    def log_proba(self, read: Read, count: int) -> NDArray:
        """Return log probabilities (count, K) of those whose features `read` gives."""
        scores = np.zeros((count, len(self.bias)))
        for rows in self.blocks(count):
            scores[rows] = self.scaled(read, rows) @ self.weights
        return log_softmax(self.slope * (scores + self.bias) + self.offset)

    def arrays(self, name: str) -> dict[str, NDArray]:
        """Return what `from_arrays` reads."""
        return {f"{name}.{part}": getattr(self, part) for part in self.__dataclass_fields__}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray], name: str) -> Self:
        """Rebuild the expert."""
        return cls(*(arrays[f"{name}.{part}"] for part in cls.__dataclass_fields__))


@dataclass(frozen=True, eq=False)
class Compared:
    """The people who have a modality, compared once, so that linear experts of any of them cost no more reading.

    Parameters
    ----------
    read : function
        From rows 0..n-1 to features (n, F).
    count : int
        n.
    drawn : array (d,), int
        The rows that experts are fitted on: all of them, or 4000.
    maps : Maps
        Of those.
    kernel : array (d, d)
        Their inner products, 1 on the diagonal on average.
    size : float
        By which those were divided.
    """

    read: Read
    count: int
    drawn: NDArray
    maps: Maps
    kernel: NDArray
    size: float

    @classmethod
    def of(cls, read: Read, count: int, *, seed: int) -> Self:
        """Compare; `seed` decides who is drawn where there are more than 4000."""
        drawn = np.sort(np.random.default_rng(seed).permutation(count)[:_MOST])
        maps = Maps.fit(lambda rows: read(drawn[rows]), np.arange(len(drawn)))
        inner_dd = likeness_between(maps.read, maps.owners, len(drawn), maps, len(drawn)).inner
        size = size_of("linear", inner_dd)
        return cls(read, count, drawn, maps, inner_dd / size, size)

    def spread(self, fit: KernelFit, there: NDArray) -> KernelFit:
        """Turn a fit on some of the drawn into one on all of them, in which the others count nothing."""
        dual_dK = np.zeros((len(self.drawn), fit.dual.shape[1]))
        dual_dK[there] = fit.dual
        return replace(fit, dual=dual_dK)

    def log_proba(self, fit: KernelFit) -> NDArray:
        """Return log probabilities of everybody (n, K); reads maps only where not all were drawn."""
        if len(self.drawn) < self.count:
            return self.expert(fit).log_proba(self.read, self.count)
        return fit.log_proba(self.kernel)

    def expert(self, fit: KernelFit) -> LinearExpert:
        """Turn a fit on the drawn into weights of features."""
        frame = self.maps.frame
        weights_FK = np.zeros((len(frame.mean), fit.dual.shape[1]))
        for rows in frame.blocks(len(self.drawn)):
            weights_FK += frame.scaled(self.maps.read, rows).T @ fit.dual[rows]
        weights_FK = (weights_FK / self.size).astype(np.float32)
        return LinearExpert(frame.mean, frame.scale, frame.limit, weights_FK, fit.bias, fit.slope, fit.offset)


@dataclass(frozen=True, eq=False)
class LinearTraining:
    """What the linear experts of all modalities are fitted with.

    Parameters
    ----------
    compared : mapping of int to Compared
        By column, of those who have the modality.
    present : array (N, M), bool
    targets, parts : array (N,), int
        Column of the class; inner part.
    balance : array (N,)
        Weights of the loss.
    classes : int
        K.
    """

    compared: Mapping[int, Compared]
    present: NDArray
    targets: NDArray
    parts: NDArray
    balance: NDArray
    classes: int

    def fit(self, trust_NM: NDArray, inside: NDArray) -> tuple[dict[int, KernelFit], NDArray]:
        """Fit those `inside`, with penalty and calibration of least loss on people held out.

        Parameters
        ----------
        trust_NM : array (N, M)
            How far each scan counts in the regression; above 0.
        inside : array (N,), bool

        Returns
        -------
        fits : dict of int to KernelFit
            By column; none where nobody inside has the modality.
        said : array (N, M, K)
            Log probabilities of everybody: of those inside from the others of them, part by part; zeros where absent.
        """
        fits, said_NMK = {}, np.zeros((*self.present.shape, self.classes))
        for column, compared in self.compared.items():
            mine = np.flatnonzero(self.present[:, column])
            there = np.flatnonzero(inside[mine[compared.drawn]])
            known = mine[compared.drawn[there]]
            if len(known):
                _, fit, held_out = fit_kernel(
                    compared.kernel[np.ix_(there, there)],
                    self.targets[known],
                    self.parts[known],
                    self.classes,
                    balance=self.balance[known],
                    trust=trust_NM[known, column],
                )
                fits[column] = compared.spread(fit, there)
                said_NMK[mine, column] = compared.log_proba(fits[column])
                said_NMK[known, column] = held_out
        return fits, said_NMK


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


def trust_of(slant_NM: NDArray, present_NM: NDArray) -> NDArray:
    """Turn a gate's logits by quality (N, M) into how far scans count, 1 on average of each modality."""
    level_M = (np.exp(slant_NM) * present_NM).sum(axis=0) / np.maximum(present_NM.sum(axis=0), 1)
    return trust(slant_NM, np.maximum(level_M, np.finfo(float).tiny))
