"""Linear experts on all voxels of a modality, solved in closed form, which stand beside a network's experts.

Axis letters: N people, n those who have the modality, L landmarks among them, C channel, P voxels of a channel, K
class.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from neuromoe.model.kernels.channels import MOST, gains, weigh
from neuromoe.model.kernels.kernels import Maps, likeness_between
from neuromoe.model.kernels.linear import log_softmax
from neuromoe.model.kernels.pooling import trust
from neuromoe.model.kernels.ridge import KernelFit, fit_kernel
from neuromoe.model.shared.maps import Frame, Read

# Of more people, an expert is a function of 1000 landmarks.
EXACT, LANDMARKS = 2000, 1000


@dataclass(frozen=True, eq=False)
class LinearExpert:
    """Calibrated ridge regression onto the classes: softmax(slope * (x @ weights + bias) + offset), x in the frame.

    Parameters
    ----------
    frame : Frame
    weights : array (C, P, K), float32
    bias, offset : array (K,)
    slope : array (1,)
    """

    frame: Frame
    weights: NDArray
    bias: NDArray
    slope: NDArray
    offset: NDArray

    def log_proba(self, read: Read, count: int) -> NDArray:
        """Return log probabilities (count, K) of those whose maps `read` gives."""
        scores = np.zeros((count, len(self.bias)))
        for rows in read.blocks(count):
            scores[rows] = np.matmul(self.frame.scaled(read, rows), self.weights).sum(axis=0)
        return log_softmax(self.slope * (scores + self.bias) + self.offset)

    def arrays(self, name: str) -> dict[str, NDArray]:
        """Return what `from_arrays` reads."""
        parts = {part: getattr(self, part) for part in ("weights", "bias", "slope", "offset")}
        return self.frame.arrays(name) | {f"{name}.{part}": value for part, value in parts.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray], name: str) -> Self:
        """Rebuild the expert."""
        parts = (arrays[f"{name}.{part}"] for part in ("weights", "bias", "slope", "offset"))
        return cls(Frame.from_arrays(arrays, name), *parts)


@dataclass(frozen=True, eq=False)
class LinearFit:
    """A fit on the landmarks, and how much each channel counted (C,)."""

    fit: KernelFit
    channels: NDArray


@dataclass(frozen=True, eq=False)
class Compared:
    """The people who have a modality, compared once, so that linear experts of any of them cost no more reading.

    Parameters
    ----------
    read : Read
    marks : array (L,), int
        The rows that are landmarks: all of them, or 1000 of more than 2000.
    frame : Frame
    kernels : array (C, n, L)
        Each channel's inner products.
    """

    read: Read
    marks: NDArray
    frame: Frame
    kernels: NDArray

    @classmethod
    def of(cls, read: Read, count: int, *, seed: int) -> Self:
        """Compare; `seed` decides who the landmarks are."""
        few = EXACT if count <= EXACT else LANDMARKS
        marks = np.sort(np.random.default_rng(seed).permutation(count)[:few])
        frame = Frame.fit(read, count)
        maps = Maps(read.some(marks), np.arange(len(marks)), frame)
        return cls(read, marks, frame, likeness_between(read, np.arange(count), count, maps, len(marks)).inner)

    def fit(
        self,
        there: NDArray,
        targets: NDArray,
        parts: NDArray,
        classes: int,
        *,
        balance: NDArray,
        trust: NDArray,
        channels: NDArray,
    ) -> tuple[LinearFit, NDArray]:
        """Fit those of the rows that are `there` (n,); the others are looked at nowhere.

        `channels` are those of :meth:`channel_weights` of the same rows.

        Returns
        -------
        fit : LinearFit
        log_proba : array (n, K)
            Of those there from the others of them, part by part, and of the others.
        """
        rows, columns = np.flatnonzero(there), np.flatnonzero(there[self.marks])
        compared = np.tensordot(channels, self.kernels, 1)
        marks = np.searchsorted(rows, self.marks[columns])
        known = compared[np.ix_(rows, columns)], marks, targets[rows], parts[rows], classes
        _, fit, held_out = fit_kernel(*known, balance=balance[rows], trust=trust[rows])
        dual_LK = np.zeros((len(self.marks), classes))
        dual_LK[columns] = fit.dual
        found = LinearFit(replace(fit, dual=dual_LK), channels)
        said_nK = found.fit.log_proba(compared)
        said_nK[rows] = held_out
        return found, said_nK

    def channel_weights(
        self, there: NDArray, targets: NDArray, parts: NDArray, classes: int, balance: NDArray
    ) -> NDArray:
        """Weigh the channels (C,) by what each says of people held out, among those that are `there`."""
        columns = np.flatnonzero(there[self.marks])[:MOST]
        rows = self.marks[columns]
        if len(self.kernels) == 1 or not len(rows):
            return np.full(len(self.kernels), 1 / len(self.kernels))
        kernels = self.kernels[:, rows][:, :, columns]
        return weigh(gains(kernels, targets[rows], parts[rows], classes, balance[rows]), len(rows))

    def expert(self, found: LinearFit) -> LinearExpert:
        """Turn a fit on the landmarks into weights of voxels."""
        fit, frame = found.fit, self.frame
        weights_CPK = np.zeros((*frame.mean.shape, fit.dual.shape[1]))
        read = self.read.some(self.marks)
        for rows in read.blocks(len(self.marks)):
            weights_CPK += np.matmul(frame.scaled(read, rows).transpose(0, 2, 1), fit.dual[rows])
        weights_CPK = (weights_CPK * found.channels[:, None, None]).astype(np.float32)
        return LinearExpert(frame, weights_CPK, fit.bias, fit.slope, fit.offset)


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

    def fit(
        self, trust_NM: NDArray, inside: NDArray, channels: Mapping[int, NDArray]
    ) -> tuple[dict[int, LinearFit], NDArray]:
        """Fit those `inside`, with penalty and calibration of least loss on people held out.

        Parameters
        ----------
        trust_NM : array (N, M)
            How far each scan counts in the regression; above 0.
        inside : array (N,), bool
        channels : mapping of int to array (C,)
            Those of :meth:`channel_weights` of the same people.

        Returns
        -------
        fits : dict of int to LinearFit
            By column; none where nobody inside has the modality.
        said : array (N, M, K)
            Log probabilities of everybody: of those inside from the others of them, part by part; zeros where absent.
        """
        fits, said_NMK = {}, np.zeros((*self.present.shape, self.classes))
        for column, compared in self.compared.items():
            mine = np.flatnonzero(self.present[:, column])
            if inside[mine[compared.marks]].any():
                known = self.targets[mine], self.parts[mine], self.classes
                weighed = {"balance": self.balance[mine], "trust": trust_NM[mine, column], "channels": channels[column]}
                fits[column], said_NMK[mine, column] = compared.fit(inside[mine], *known, **weighed)
        return fits, said_NMK

    def channel_weights(self, inside: NDArray) -> dict[int, NDArray]:
        """Weigh the channels of each modality (C,) by people `inside` alone."""
        found = {}
        for column, compared in self.compared.items():
            mine = np.flatnonzero(self.present[:, column])
            known = self.targets[mine], self.parts[mine], self.classes, self.balance[mine]
            found[column] = compared.channel_weights(inside[mine], *known)
        return found


def trust_of(slant_NM: NDArray, present_NM: NDArray) -> NDArray:
    """Turn a gate's logits by quality (N, M) into how far scans count, 1 on average of each modality."""
    level_M = (np.exp(slant_NM) * present_NM).sum(axis=0) / np.maximum(present_NM.sum(axis=0), 1)
    return trust(slant_NM, np.maximum(level_M, np.finfo(float).tiny))
