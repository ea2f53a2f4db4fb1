"""Numbers per volume: how far the head moved and how much the signal changed."""

import numpy as np
from numpy.typing import NDArray

from neuromoe.imaging.geometry import rigid_parameters

HEAD_RADIUS_MM = 50.0
RMSD_RADIUS_MM = 80.0


def motion_parameters(motion: NDArray, center_mm: NDArray) -> NDArray:
    """Return translations (mm) and rotations (rad) about `center_mm`, (V, 6), of matrices (V, 4, 4)."""
    return np.stack([rigid_parameters(matrix, center_mm) for matrix in motion])


def framewise_displacement(parameters: NDArray) -> NDArray:
    """Return Power's framewise displacement, mm (V,); the first is NaN.

    Parameters
    ----------
    parameters : array (V, 6)
        Translations in mm and rotations in rad about the head's centre; rotations count as arcs at 50 mm.

    References
    ----------
    Power et al. 2012, doi:10.1016/j.neuroimage.2011.10.018
    """
    moved = np.abs(np.diff(parameters, axis=0))
    return np.concatenate([[np.nan], moved[:, :3].sum(axis=1) + HEAD_RADIUS_MM * moved[:, 3:].sum(axis=1)])


def rms_displacement(motion: NDArray, center_mm: NDArray) -> NDArray:
    """Return the RMS displacement in a sphere of 80 mm between volumes, mm (V,); the first is NaN.

    References
    ----------
    Jenkinson et al. 2002, doi:10.1006/nimg.2002.1132
    """
    change = motion[1:] @ np.linalg.inv(motion[:-1]) - np.eye(4)
    turned, shifted = change[:, :3, :3], change[:, :3, :3] @ center_mm + change[:, :3, 3]
    squares = RMSD_RADIUS_MM**2 / 5 * (turned**2).sum(axis=(1, 2)) + (shifted**2).sum(axis=1)
    return np.concatenate([[np.nan], np.sqrt(squares)])


def dvars(series: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Return DVARS and its two standardised forms, each (V,); the first is NaN.

    Parameters
    ----------
    series : array (N, V)
        Motion-corrected time courses of the brain's voxels.

    Returns
    -------
    dvars : array (V,)
        Root mean square over voxels of the change between volumes, in units of a median of 1000.
    std_dvars : array (V,)
        Divided by what an AR(1) process of each voxel's robust spread would show: 1 is usual.
    voxel_std_dvars : array (V,)
        The same, with each voxel divided by its own.

    References
    ----------
    Power et al. 2012, doi:10.1016/j.neuroimage.2011.10.018; Nichols 2013, arXiv 1704.01469 (standardised).
    """
    scaled = series[series.std(axis=1) > 1e-6].astype(np.float64)
    if not len(scaled):
        return (np.full(series.shape[1], np.nan),) * 3
    scaled *= 1000 / max(float(np.median(scaled)), 1e-6)
    low, high = np.percentile(scaled, [25, 75], axis=1, method="lower")
    robust_sd = (high - low) / 1.349
    expected = robust_sd * np.sqrt(2 * np.clip(1 - _lag_one(scaled), 0, None))
    scaled = np.diff(scaled, axis=1)
    change = np.sqrt(np.square(scaled).mean(axis=0))
    scaled = scaled[expected > 0] / expected[expected > 0, None]
    by_voxel = np.sqrt(np.square(scaled).mean(axis=0)) if len(scaled) else np.full_like(change, np.nan)
    plain, standard, voxels = (
        np.concatenate([[np.nan], part]) for part in (change, change / max(float(expected.mean()), 1e-6), by_voxel)
    )
    return plain, standard, voxels


def _lag_one(series: NDArray) -> NDArray:
    centered = series - series.mean(axis=1, keepdims=True)
    return (centered[:, 1:] * centered[:, :-1]).sum(axis=1) / np.square(centered).sum(axis=1).clip(1e-12)


def temporal_snr(series: NDArray) -> NDArray:
    """Return mean over standard deviation along time, without linear drift, (N,) of a series (N, V)."""
    time = np.linspace(-1, 1, series.shape[1])
    mean = series.mean(axis=1)
    slope = series @ time / (time @ time)
    spread = np.sqrt(np.clip(series.var(axis=1) - slope**2 * time.var(), 0, None))
    return mean / np.maximum(spread, 1e-6 * np.abs(mean).max())


def unsteady_volumes(global_signal: NDArray, window: int = 50, threshold: float = 3.5) -> int:
    """Count the leading volumes that are brighter than the rest, before the magnetisation is steady.

    References
    ----------
    Iglewicz and Hoaglin 1993, How to Detect and Handle Outliers (the modified z-score and its 3.5).
    """
    first = np.asarray(global_signal, float)[:window]
    deviation = first - np.median(first)
    spread = np.median(np.abs(deviation))
    high = 0.6745 * deviation > threshold * spread if spread > 0 else np.zeros(len(first), bool)
    steady = np.flatnonzero(~high)
    return int(steady[0]) if len(steady) else 0
