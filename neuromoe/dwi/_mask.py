"""The brain in a diffusion series."""

import numpy as np
from numpy.typing import NDArray

from neuromoe.imaging.images import largest_piece


def brain_mask(b0: NDArray, weighted: NDArray, voxel_mm: NDArray) -> NDArray:
    """Find the brain from what stays bright under diffusion weighting.

    Fat is suppressed, free water (eyes, cerebrospinal fluid) loses its signal and tissue keeps it: the
    geometric mean of the b=0 and the weighted mean is bright in the brain alone. Fluid between folds comes
    back with the closing.

    Parameters
    ----------
    b0, weighted : array (X, Y, Z)
        Mean b=0 and mean weighted volume, aligned.
    voxel_mm : array (3,)
        Voxel size.

    Returns
    -------
    bool array (X, Y, Z)
        The largest part, without holes.

    References
    ----------
    Otsu N 1979, doi:10.1109/TSMC.1979.4310076 (the threshold).
    """
    from scipy.ndimage import binary_fill_holes, gaussian_filter

    contrast = gaussian_filter(np.sqrt(np.maximum(b0, 0) * np.maximum(weighted, 0)), 1.5 / voxel_mm)
    ceiling = np.quantile(contrast, 0.98)
    bright = contrast > otsu_threshold(np.minimum(contrast, ceiling))
    core = largest_piece(_grow(bright, -4.0, voxel_mm))
    mask = _grow(core, 5.5, voxel_mm) & bright
    padded = np.pad(mask, 4, mode="edge")
    closed = _grow(_grow(padded, 8.0, voxel_mm), -8.0, voxel_mm)[4:-4, 4:-4, 4:-4]
    return largest_piece(binary_fill_holes(closed | mask))


def _grow(mask: NDArray, distance_mm: float, voxel_mm: NDArray) -> NDArray:
    from scipy.ndimage import distance_transform_edt

    if distance_mm >= 0:
        return distance_transform_edt(~mask, sampling=voxel_mm) <= distance_mm if mask.any() else mask
    return distance_transform_edt(np.pad(mask, 1, mode="edge"), sampling=voxel_mm)[1:-1, 1:-1, 1:-1] > -distance_mm


def otsu_threshold(values: NDArray, bins: int = 256) -> float:
    """Return the threshold that parts values into the two most homogeneous groups.

    Examples
    --------
    >>> 1 < otsu_threshold(np.array([0.0, 1, 0, 1, 8, 9, 8, 9])) < 8
    True
    """
    counts, edges = np.histogram(values, bins)
    centers = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    total = np.cumsum(counts * centers)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (total / below - (total[-1] - total) / above) ** 2
    return float(centers[np.argmax(np.nan_to_num(between))])
