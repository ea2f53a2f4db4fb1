"""Inner products of people's maps, read in blocks, so that memory does not grow with the voxels of a cohort.

Axis letters: T people to compare, N training people, n those who have the modality, F voxels or clinical features.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np
from numpy.typing import NDArray

from neuromoe.cohort.clinical import ClinicalEncoder
from neuromoe.cohort.cohort import CLINICAL, Cohort
from neuromoe.model.kernels.kernels import Likeness

# Values of a block of people: 64 MB of float32.
_BLOCK = 2**24
# So many times as far from the mean map as is usual, a map is a fault of its scale or worse.
_FAR = 10.0

Read = Callable[[NDArray], NDArray]


def reader_of(cohort: Cohort, name: str, rows: NDArray, encoder: ClinicalEncoder) -> Read:
    """Return what reads the maps, or the encoded clinical features, of these people, who have the modality."""
    if name == CLINICAL:
        return partial(take, encoder.encode_rows(cohort, rows))
    return partial(_read, cohort, name, rows)


# Functions and no closures: a fitted model can be pickled by who wants it in other processes.
def take(values_NF: NDArray, chosen: NDArray) -> NDArray:
    """Return rows of an array."""
    return values_NF[chosen]


def _read(cohort: Cohort, name: str, rows: NDArray, chosen: NDArray) -> NDArray:
    return cohort.patches(name, rows[chosen]).reshape(len(chosen), -1)


@dataclass(frozen=True, eq=False)
class Frame:
    """Where the training people's maps lie.

    Parameters
    ----------
    mean : array (F,), float32
        Their mean, taken off.
    scale : array (1,), float32
        What maps are then divided by: their root mean square distance to the mean.
    limit : array (1,)
        Distance from the mean of the training people's furthest map, or ten times the usual one if less. What
        lies beyond is read as if it lay there: a linear model would be the surer of a map the more it is spoilt.
    """

    mean: NDArray
    scale: NDArray
    limit: NDArray

    def scaled(self, read: Read, rows: NDArray) -> NDArray:
        """Return maps (n, F) less the mean map, their squared length 1 on average over the training people."""
        return pull(read(rows).astype(np.float32) - self.mean, float(self.limit[0])) / self.scale

    def oddness(self, read: Read, count: int) -> NDArray:
        """Return the logarithm of the squared distance to the mean map (count,)."""
        away = [_lengths(read(rows).astype(np.float32) - self.mean) for rows in self.blocks(count)]
        return 2 * np.log(np.maximum(np.concatenate([np.zeros(0), *away]), np.finfo(float).tiny))

    def blocks(self, count: int) -> list[NDArray]:
        """Part the rows 0..count-1 into blocks of at most 64 MB."""
        return blocks(count, len(self.mean))


@dataclass(frozen=True, eq=False)
class Maps:
    """One modality of the training people.

    Parameters
    ----------
    read : function
        From rows 0..n-1 to maps (n, F) of those who have the modality.
    owners : array (n,), int
        Whose they are among the training people.
    frame : Frame
        Where their maps lie.
    """

    read: Read
    owners: NDArray
    frame: Frame

    @classmethod
    def fit(cls, read: Read, owners: NDArray, *, far: float = _FAR) -> Self:
        """Learn where maps lie; three passes over them. Those `far` times as far as usual count as pulled back."""
        every = blocks(len(owners), read(np.arange(1)).shape[1])
        longest = far * _usual(np.concatenate([_lengths(read(rows)) for rows in every]))
        total = sum(pull(read(rows), longest).sum(axis=0, dtype=float) for rows in every)
        mean = (total / len(owners)).astype(np.float32)
        away = np.concatenate([_lengths(read(rows).astype(np.float32) - mean) for rows in every])
        limit = min(far * _usual(away), float(away.max()))
        scale = np.sqrt(np.mean(np.minimum(away, limit) ** 2)) or 1.0
        # From the mean of the others they are so much further away: nobody new is part of the mean.
        limit *= len(away) / max(len(away) - 1, 1)
        return cls(read, owners, Frame(mean, np.array([scale], np.float32), np.array([limit])))


def _lengths(maps_nF: NDArray) -> NDArray:
    # In double precision: squares of large values go beyond float32.
    return np.sqrt(np.einsum("nf,nf->n", maps_nF, maps_nF, dtype=float))


def _usual(lengths: NDArray) -> float:
    """Return the median of those that are not zero, as all may be."""
    return float(np.median(lengths[lengths > 0])) if lengths.any() else 0.0


def pull(maps_nF: NDArray, limit: float) -> NDArray:
    """Shorten maps that are longer than a limit."""
    lengths = _lengths(maps_nF)
    far = lengths > limit
    if not far.any():
        return maps_nF
    near = maps_nF.astype(np.float32)
    near[far] *= (limit / lengths[far])[:, None]
    return near


def blocks(count: int, features: int) -> list[NDArray]:
    """Part the rows 0..count-1 into blocks of at most 64 MB."""
    rows = max(_BLOCK // max(features, 1), 1)
    return [np.arange(start, min(start + rows, count)) for start in range(0, count, rows)]


def likeness_between(read: Read, places: NDArray, people: int, maps: Maps, trained: int) -> Likeness:
    """Compare people with the training people over one modality.

    Parameters
    ----------
    read : function
        From rows 0..n-1 to maps (n, F) of those who have the modality.
    places : array (n,), int
        Which of the people they are.
    people, trained : int
        How many there are in all, with the modality or without: T, N.
    maps : Maps
        Of the training people.
    """
    frame = maps.frame
    inner, left, right = np.zeros((people, trained)), np.zeros(people), np.zeros(trained)
    for mine in frame.blocks(len(places)):
        chunk = frame.scaled(read, mine)
        left[places[mine]] = (chunk**2).sum(axis=1, dtype=float)
        for theirs in frame.blocks(len(maps.owners)):
            other = frame.scaled(maps.read, theirs)
            right[maps.owners[theirs]] = (other**2).sum(axis=1, dtype=float)
            inner[np.ix_(places[mine], maps.owners[theirs])] = chunk @ other.T
    return Likeness(inner, left, right)
