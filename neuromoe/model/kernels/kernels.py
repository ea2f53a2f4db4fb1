"""Kernels between people, from one modality or from several.

Axis letters: T people to compare, N training people or landmarks among them, C channel.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuromoe.model.shared.maps import Frame, Read

KINDS = ("linear", "product", "rbf")


@dataclass(frozen=True, eq=False)
class Likeness:
    """Inner products of centred maps; zeros where a person lacks the modality, as if the mean map stood there.

    Parameters
    ----------
    inner : array (T, N), or of each channel (C, T, N)
    left, right : array (T,) and (N,), or (C, T) and (C, N)
        Squared lengths.
    """

    inner: NDArray
    left: NDArray
    right: NDArray

    def weighed(self, weights_C: NDArray) -> "Likeness":
        """Sum the channels, each counting as much as its weight."""
        return Likeness(*(np.tensordot(weights_C, part, 1) for part in (self.inner, self.left, self.right)))

    def trusted(self, left: NDArray, right: NDArray) -> "Likeness":
        """Shrink each person's map towards the mean map; 1 leaves it as it is."""
        return Likeness(self.inner * left[:, None] * right, self.left * left**2, self.right * right**2)

    def rows(self, left: NDArray, right: NDArray) -> "Likeness":
        """Take some of the people."""
        inner = self.inner[..., left[:, None], right]
        return Likeness(inner, self.left[..., left], self.right[..., right])


@dataclass(frozen=True, eq=False)
class Maps:
    """One modality of the people whom others are compared with.

    Parameters
    ----------
    read : Read
        Of those who have the modality.
    owners : array (n,), int
        Whose they are among these people.
    frame : Frame
        Where the training people's maps lie.
    """

    read: Read
    owners: NDArray
    frame: Frame


def likeness_between(read: Read, places: NDArray, people: int, maps: Maps, others: int) -> Likeness:
    """Compare people with others over each channel of one modality.

    Parameters
    ----------
    read : Read
        Of those of the people who have the modality.
    places : array (n,), int
        Which of the people they are.
    people, others : int
        How many there are in all, with the modality or without: T, N.
    maps : Maps
        Of the others.
    """
    frame, channels = maps.frame, len(maps.frame.scale)
    inner = np.zeros((channels, people, others))
    left, right = np.zeros((channels, people)), np.zeros((channels, others))
    for mine in read.blocks(len(places)):
        chunk = frame.scaled(read, mine)
        left[:, places[mine]] = (chunk**2).sum(axis=2, dtype=float)
        for theirs in maps.read.blocks(len(maps.owners)):
            other = frame.scaled(maps.read, theirs)
            right[:, maps.owners[theirs]] = (other**2).sum(axis=2, dtype=float)
            for channel in range(channels):
                block = chunk[channel] @ other[channel].T
                inner[channel][np.ix_(places[mine], maps.owners[theirs])] = block
    return Likeness(inner, left, right)


def compare(kind: str, parts: Sequence[Likeness]) -> NDArray:
    """Compare people over one or several modalities, before scaling by :func:`size_of`.

    Parameters
    ----------
    kind : str
        `linear`: the sum of inner products, early fusion. `product`: prod (1 + k_m) - 1, which holds the sum and the
        products between modalities [1]_. `rbf`: the summed squared distances.
    parts : sequence of Likeness

    Returns
    -------
    array (T, N)

    References
    ----------
    .. [1] Durrande N et al. 2013, doi:10.1016/j.jmva.2012.08.016.
    """
    if kind == "product":
        return np.prod([1 + part.inner for part in parts], axis=0) - 1
    inner_TN = np.sum([part.inner for part in parts], axis=0)
    if kind == "linear":
        return inner_TN
    left_T, right_N = np.sum([part.left for part in parts], axis=0), np.sum([part.right for part in parts], axis=0)
    return np.maximum(left_T[:, None] + right_N - 2 * inner_TN, 0)


def size_of(kind: str, compared_NN: NDArray) -> float:
    """Return the training people's mean diagonal, for `rbf` their median squared distance."""
    if kind == "rbf":
        apart = compared_NN[np.triu_indices(len(compared_NN), 1)]
        return float(np.median(apart)) if len(apart) and np.median(apart) > 0 else 1.0
    return float(np.mean(np.diag(compared_NN))) or 1.0


def finish(kind: str, compared_TN: NDArray, size: float) -> NDArray:
    """Scale to a diagonal of about 1."""
    return np.exp(-compared_TN / size) if kind == "rbf" else compared_TN / size
