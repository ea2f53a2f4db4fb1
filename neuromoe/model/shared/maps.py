"""Where people's maps lie, channel by channel, read in blocks, so that memory does not grow with a cohort's voxels.

Axis letters: n people who have the modality, F voxels of all channels or clinical features, C channel, T token, V
voxels of a patch of one channel, P voxels of one channel.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np
from numpy.typing import NDArray

from neuromoe.cohort.clinical import ClinicalEncoder
from neuromoe.cohort.cohort import CLINICAL, Cohort

# Values of a block of people: 64 MB of float32.
_BLOCK = 2**24
# So many times as far from the mean map as is usual, a map is a fault of its scale or worse.
_FAR = 10.0


@dataclass(frozen=True, eq=False)
class Read:
    """Read the maps, or the encoded clinical features, of people who have the modality.

    Functions and no closures: a fitted model can be pickled by who wants it in other processes.

    Parameters
    ----------
    take : function
        From rows 0..n-1 to values (n, F).
    shape : tuple of int
        T, C, V.
    """

    take: Callable[[NDArray], NDArray]
    shape: tuple[int, int, int]

    def __call__(self, rows: NDArray) -> NDArray:
        """Return values by channel (C, n, P), float32."""
        tokens, channels, voxels = self.shape
        values_nTCV = self.take(rows).reshape(len(rows), tokens, channels, voxels)
        return values_nTCV.transpose(2, 0, 1, 3).reshape(channels, len(rows), tokens * voxels).astype(np.float32)

    def some(self, chosen: NDArray) -> "Read":
        """Return what reads some of the people, who are then rows 0..len(chosen)-1."""
        return Read(partial(_some, self.take, chosen), self.shape)

    def blocks(self, count: int) -> list[NDArray]:
        """Part the rows 0..count-1 into blocks of at most 64 MB."""
        rows = max(_BLOCK // max(int(np.prod(self.shape)), 1), 1)
        return [np.arange(start, min(start + rows, count)) for start in range(0, count, rows)]


def reader_of(cohort: Cohort, name: str, rows: NDArray, encoder: ClinicalEncoder) -> Read:
    """Return what reads these people, who have the modality."""
    if name == CLINICAL:
        values_NF = encoder.encode_rows(cohort, rows)
        return Read(partial(take, values_NF), (1, 1, values_NF.shape[1]))
    voxels = cohort.patch**3
    _, tokens, features = cohort.tokens[name].shape
    return Read(partial(_read, cohort, name, rows), (tokens, features // voxels, voxels))


def take(values_NF: NDArray, chosen: NDArray) -> NDArray:
    """Return rows of an array."""
    return values_NF[chosen]


def _read(cohort: Cohort, name: str, rows: NDArray, chosen: NDArray) -> NDArray:
    return cohort.patches(name, rows[chosen])


def _some(read: Callable[[NDArray], NDArray], chosen: NDArray, rows: NDArray) -> NDArray:
    return read(chosen[rows])


@dataclass(frozen=True, eq=False)
class Frame:
    """Where the training people's maps lie. Each channel is measured by itself: one rules no other by its unit.

    Parameters
    ----------
    mean : array (C, P), float32
        Their mean map, taken off.
    scale : array (C,)
        Root mean square distance to the mean; 1 where a channel is the same in everybody.
    limit : array (C,)
        Distance from the mean of the training people's furthest map, or ten times the usual one if less. What
        lies beyond is read as if it lay there: a linear model would be the surer of a map the more it is spoilt.
    """

    mean: NDArray
    scale: NDArray
    limit: NDArray

    @classmethod
    def fit(cls, read: Read, count: int) -> Self:
        """Learn where the maps of rows 0..count-1 lie, in three passes; those ten times as far as usual are pulled."""
        every, channels = read.blocks(count), read.shape[1]
        longest_C = _FAR * _usual(_each(every, lambda rows: _lengths(read(rows)), channels))
        total_CP = sum(pull(read(rows), longest_C).sum(axis=1, dtype=float) for rows in every)
        mean_CP = (total_CP / count).astype(np.float32)
        away_Cn = _each(every, lambda rows: _lengths(read(rows) - mean_CP[:, None]), channels)
        limit_C = np.minimum(_FAR * _usual(away_Cn), away_Cn.max(axis=1))
        size_C = np.sqrt(np.mean(np.minimum(away_Cn, limit_C[:, None]) ** 2, axis=1))
        # From the mean of the others they are so much further away: nobody new is part of the mean.
        return cls(mean_CP, np.where(size_C > 0, size_C, 1.0), limit_C * count / max(count - 1, 1))

    def scaled(self, read: Read, rows: NDArray) -> NDArray:
        """Return maps (C, n, P) less the mean map, each channel's squared length 1 on average in training."""
        return pull(read(rows) - self.mean[:, None], self.limit, 1 / self.scale)

    def oddness(self, read: Read, count: int) -> NDArray:
        """Return the logarithm of the squared distance to the mean map, the mean over channels (count,)."""
        away_Cn = _each(read.blocks(count), lambda rows: _lengths(read(rows) - self.mean[:, None]), len(self.scale))
        away_n = ((away_Cn / self.scale[:, None]) ** 2).mean(axis=0)
        return np.log(np.maximum(away_n, np.finfo(float).tiny))

    def arrays(self, name: str) -> dict[str, NDArray]:
        """Return what `from_arrays` reads."""
        return {f"{name}.mean": self.mean, f"{name}.scale": self.scale, f"{name}.limit": self.limit}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray], name: str) -> Self:
        """Rebuild the frame."""
        return cls(*(arrays[f"{name}.{part}"] for part in ("mean", "scale", "limit")))


def _each(blocks: list[NDArray], measure: Callable[[NDArray], NDArray], channels: int) -> NDArray:
    return np.concatenate([np.zeros((channels, 0)), *map(measure, blocks)], axis=1)


def _lengths(maps_CnP: NDArray) -> NDArray:
    # In double precision: squares of large values go beyond float32.
    return np.sqrt(np.einsum("cnp,cnp->cn", maps_CnP, maps_CnP, dtype=float))


def _usual(lengths_Cn: NDArray) -> NDArray:
    """Return each channel's median of those that are not zero, as all may be."""
    return np.array([np.median(one[one > 0]) if one.any() else 0.0 for one in lengths_Cn])


def pull(maps_CnP: NDArray, limit_C: NDArray, factor_C: NDArray | float = 1.0) -> NDArray:
    """Shorten maps that are longer than a channel's limit, and multiply them by its factor."""
    lengths_Cn, limit_C1 = _lengths(maps_CnP), limit_C[:, None]
    shorter_Cn = np.divide(limit_C1, lengths_Cn, out=np.ones(lengths_Cn.shape), where=lengths_Cn > limit_C1)
    shorter_Cn *= np.broadcast_to(factor_C, len(limit_C))[:, None]
    return maps_CnP * shorter_Cn[:, :, None].astype(np.float32)
