"""Inner products of people's maps, read in blocks, so that memory does not grow with the voxels of a cohort.

Axis letters: T people to compare, N training people, n those who have the modality, F voxels or clinical features.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from neuromoe.model._clinical import ClinicalEncoder
from neuromoe.model._kernels import Likeness
from neuromoe.model.cohort import CLINICAL, Cohort

# Values of a block of people: 64 MB of float32.
_BLOCK = 2**24

Read = Callable[[NDArray], NDArray]


def reader_of(cohort: Cohort, name: str, rows: NDArray, encoder: ClinicalEncoder) -> Read:
    """Return what reads the maps, or the encoded clinical features, of these people, who have the modality."""
    if name == CLINICAL:
        encoded_NF = encoder.encode_rows(cohort, rows)
        return lambda chosen: encoded_NF[chosen]
    return lambda chosen: cohort.patches(name, rows[chosen]).reshape(len(chosen), -1)


@dataclass(frozen=True, eq=False)
class Frame:
    """Where the training people's maps lie.

    Parameters
    ----------
    mean : array (F,), float32
        Their mean, taken off.
    scale : array (1,), float32
        What maps are then divided by: their root mean square distance to the mean.
    """

    mean: NDArray
    scale: NDArray

    def scaled(self, read: Read, rows: NDArray) -> NDArray:
        """Return maps (n, F) less the mean map, their squared length 1 on average over the training people."""
        return (read(rows).astype(np.float32) - self.mean) / self.scale

    def oddness(self, read: Read, count: int) -> NDArray:
        """Return the logarithm of the squared distance to the mean map (count,)."""
        squares = [(self.scaled(read, rows) ** 2).sum(axis=1, dtype=float) for rows in self.blocks(count)]
        return np.log(np.maximum(np.concatenate([np.zeros(0), *squares]), np.finfo(float).tiny))

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
    def fit(cls, read: Read, owners: NDArray) -> Self:
        """Learn the mean map and the mean squared distance to it; two passes over the maps."""
        features = read(np.arange(1)).shape[1]
        total, squares = np.zeros(features), 0.0
        for rows in blocks(len(owners), features):
            total += read(rows).sum(axis=0, dtype=float)
        mean = (total / len(owners)).astype(np.float32)
        for rows in blocks(len(owners), features):
            squares += float(((read(rows).astype(np.float32) - mean) ** 2).sum(dtype=float))
        size = squares / len(owners) or 1.0
        return cls(read, owners, Frame(mean, np.array([np.sqrt(size)], np.float32)))


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
