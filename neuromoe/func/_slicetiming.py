"""Slice timing: bring every slice to one moment of the volume."""

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline
from scipy.ndimage import correlate1d, spline_filter1d

_ORDER = 5


def correct_slice_timing(
    series: NDArray,
    slice_times_s: NDArray,
    *,
    axis: int,
    repetition_time_s: float,
    moment_s: float | None = None,
) -> NDArray[np.float32]:
    """Interpolate each slice's time course at one moment of the repetition time.

    A quintic spline is used: it is local, so that a spike of motion stays where it is (a Fourier shift would
    spread it over the run), and nearly exact up to 0.7 of the highest frequency.

    Parameters
    ----------
    series : array (X, Y, Z, V)
        Not moved: voxels still belong to the slice that was excited.
    slice_times_s : array (slices,)
        When each slice along `axis` was excited, s after the volume's start.
    axis : int
        The slices' axis.
    repetition_time_s : float
        Time between volumes, s.
    moment_s : float, default=None
        The moment within a volume, s; by default the middle of the slice times.

    Returns
    -------
    array (X, Y, Z, V)
    """
    moment = middle_s(slice_times_s) if moment_s is None else moment_s
    slices = np.moveaxis(np.asarray(series, np.float32), axis, 0)
    shifted = np.empty_like(slices)
    for time_s in np.unique(slice_times_s):
        same = slice_times_s == time_s
        shifted[same] = shift_in_time(slices[same], (moment - time_s) / repetition_time_s)
    return np.ascontiguousarray(np.moveaxis(shifted, 0, axis))


def middle_s(slice_times_s: NDArray) -> float:
    """Return the middle of the slice times, s."""
    return float((slice_times_s.min() + slice_times_s.max()) / 2)


def shift_in_time(series: NDArray, volumes: float) -> NDArray[np.float32]:
    """Return the series (..., V) at the times n + `volumes`, with `volumes` between -1 and 1."""
    if volumes == 0:
        return series
    taps = np.arange(-3, 4)
    weights = BSpline.basis_element(np.arange(-3, 4), extrapolate=False)(np.clip(volumes - taps, -3, 3))
    coefficients = spline_filter1d(series, _ORDER, axis=-1, output=np.float64, mode="mirror")
    return correlate1d(coefficients, weights, axis=-1, mode="mirror").astype(np.float32)
