"""Cosine drifts and the principal components of noise regions."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRIFT_PERIOD_S = 128.0


@dataclass(frozen=True, eq=False)
class Components:
    """Principal components of a noise region.

    Parameters
    ----------
    courses : array (V, K)
        Unit norm.
    singular_values : array (K,)
        In falling order.
    variance_explained : array (K,)
        Shares of the region's variance.
    """

    courses: NDArray
    singular_values: NDArray
    variance_explained: NDArray


def cosine_drifts(volumes: int, repetition_time_s: float, period_s: float = DRIFT_PERIOD_S) -> NDArray:
    """Return the discrete cosines (V, K), without the constant, that are slower than `period_s`.

    Examples
    --------
    >>> cosine_drifts(100, 2.0).shape
    (100, 2)
    """
    count = max(int(np.floor(2 * volumes * repetition_time_s / period_s)), 1)
    phase = np.pi / volumes * (np.arange(volumes) + 0.5)
    return np.sqrt(2 / volumes) * np.cos(phase[:, None] * np.arange(1, count))


def anatomical_components(
    series: NDArray, drifts: NDArray, count: int, kept: NDArray[np.bool_] | None = None
) -> Components:
    """Return the first principal components of a noise region (aCompCor).

    Parameters
    ----------
    series : array (N, V)
        Time courses of the region's voxels.
    drifts : array (V, K)
        Taken out first, with the mean.
    count : int
        Components wanted; fewer where the region has fewer voxels.
    kept : bool array (V,), optional
        Volumes that make the components, which are 0 elsewhere; all where that would be less than half.

    References
    ----------
    Behzadi et al. 2007, doi:10.1016/j.neuroimage.2007.04.042
    """
    volumes = series.shape[1]
    if kept is None or 2 * kept.sum() < volumes:
        kept = np.ones(volumes, bool)
    series, drifts = series[:, kept], drifts[kept]
    model, _ = np.linalg.qr(np.column_stack([np.ones(series.shape[1]), drifts]))
    clean = series.astype(np.float64) - (series @ model) @ model.T
    spread = clean.std(axis=1, keepdims=True)
    clean = clean[spread[:, 0] > 1e-9] / spread[spread[:, 0] > 1e-9]
    # The eigenvectors of V x V: a region can have many more voxels than there are volumes.
    values, vectors = np.linalg.eigh(clean.T @ clean)
    squares = np.clip(values[::-1], 0, None)
    found = min(count, int((squares > 1e-9 * max(squares[0], 1e-12)).sum()))
    courses = np.zeros((volumes, found))
    courses[kept] = _fixed_sign(vectors[:, ::-1][:, :found])
    return Components(courses, np.sqrt(squares[:found]), squares[:found] / max(squares.sum(), 1e-12))


def _fixed_sign(courses: NDArray) -> NDArray:
    largest = np.abs(courses).argmax(axis=0)
    return courses * np.sign(courses[largest, np.arange(courses.shape[1])])
