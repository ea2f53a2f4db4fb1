"""Amplitude, regional homogeneity and connectivity of time courses."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def amplitude(
    series: NDArray, *, repetition_time_s: float, band_hz: Sequence[float]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the amplitude of low-frequency fluctuation, and its share of all frequencies.

    Parameters
    ----------
    series : array (N, V)
        Confounds taken out, not band-passed: the share needs the whole spectrum.
    repetition_time_s : float
        Time between volumes, s.
    band_hz : two float
        Lowest and highest frequency of the band, Hz.

    Returns
    -------
    alff : array (N,)
        Mean amplitude of the frequencies in the band, in the units of `series`.
    falff : array (N,)
        Sum of amplitudes in the band over that of all frequencies above zero; 0 for a constant course.

    References
    ----------
    Zang et al. 2007, doi:10.1016/j.braindev.2006.07.002; Zou et al. 2008, doi:10.1016/j.jneumeth.2008.04.012
    """
    volumes = series.shape[1]
    frequency = np.fft.rfftfreq(volumes, repetition_time_s)
    spectrum = 2 / volumes * np.abs(np.fft.rfft(series, axis=1))
    inside = (frequency >= band_hz[0]) & (frequency <= band_hz[1]) & (frequency > 0)
    low, whole = spectrum[:, inside], spectrum[:, 1:].sum(axis=1)
    share = np.divide(low.sum(axis=1), whole, out=np.zeros_like(whole), where=whole > 0)
    return low.mean(axis=1).astype(np.float32), share.astype(np.float32)


def ranks(series: NDArray) -> NDArray[np.uint16]:
    """Return the rank 1..V of each value in its time course (N, V); equal values in order of time."""
    order = np.argsort(series, axis=1, kind="stable")
    found = np.empty(series.shape, np.uint16)
    np.put_along_axis(found, order, np.arange(1, series.shape[1] + 1, dtype=np.uint16)[None], axis=1)
    return found


def homogeneity(
    rank: NDArray, mask: NDArray, *, spacing: Sequence[int] = (1, 1, 1), least_neighbours: int = 9
) -> NDArray[np.float32]:
    """Return Kendall's coefficient of concordance of each voxel with its 26 neighbours.

    Parameters
    ----------
    rank : array (N, V)
        Ranks 1..V of the voxels of `mask`, in C order.
    mask : bool array (X, Y, Z)
        Where courses exist; neighbours outside do not count.
    spacing : three int, default=(1, 1, 1)
        Voxels between neighbours: on a grid finer than acquired, adjacent voxels agree by interpolation.
    least_neighbours : int, default=9
        Voxels with fewer courses, itself included, get 0.

    Returns
    -------
    array (X, Y, Z)
        From 0, no agreement, to 1, equal ranks.

    References
    ----------
    Zang et al. 2004, doi:10.1016/j.neuroimage.2003.12.030
    """
    volumes = rank.shape[1]
    count = _box_sum(mask.astype(np.float32), spacing)
    squares, image = np.zeros(mask.shape, np.float32), np.zeros(mask.shape, np.float32)
    for column in rank.T:
        image[mask] = column - np.float32((volumes + 1) / 2)
        squares += np.square(_box_sum(image, spacing))
    concordance = 12 * squares / (np.maximum(count, 1) ** 2 * (float(volumes) ** 3 - volumes))
    return np.where(mask & (count >= least_neighbours), concordance, 0).astype(np.float32)


def connectivity(series: NDArray, course: NDArray) -> NDArray[np.float32]:
    """Return Fisher's z of the correlation of time courses (N, V) with one course (V,)."""
    centered, wanted = series - series.mean(axis=1, keepdims=True), course - course.mean()
    size = np.linalg.norm(centered, axis=1) * np.linalg.norm(wanted)
    product = centered @ wanted.astype(centered.dtype)
    correlation = np.divide(product, size, out=np.zeros_like(product), where=size > 0)
    return np.arctanh(np.clip(correlation, -0.999999, 0.999999)).astype(np.float32)


def sphere(points: NDArray, center_mm: Sequence[float], radius_mm: float) -> NDArray[np.bool_]:
    """Tell which world points (N, 3) lie within `radius_mm` of `center_mm`."""
    return np.linalg.norm(points - np.asarray(center_mm, float), axis=1) <= radius_mm


def _box_sum(image: NDArray, spacing: Sequence[int]) -> NDArray:
    for axis, step in enumerate(spacing):
        total = image.copy()
        ahead = [slice(None)] * 3
        behind = [slice(None)] * 3
        ahead[axis], behind[axis] = slice(step, None), slice(None, -step)
        total[tuple(behind)] += image[tuple(ahead)]
        total[tuple(ahead)] += image[tuple(behind)]
        image = total
    return image
