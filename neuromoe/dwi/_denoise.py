"""Marchenko-Pastur PCA denoising, many patches at a time.

Axis letters: N patches, P voxels of a patch, V volumes.
"""

import numpy as np
from numpy.typing import NDArray

_PATCHES_AT_ONCE = 4096


def denoise(series: NDArray, mask: NDArray, *, radius: int = 2, stride: int = 1) -> tuple[NDArray, NDArray]:
    """Remove the part of each patch's principal components that noise alone explains.

    Patches are averaged where they overlap, weighted by how few components they keep.

    Parameters
    ----------
    series : array (X, Y, Z, V)
        The raw series, before any interpolation.
    mask : bool array (X, Y, Z)
        Where patches are centred.
    radius : int, default=2
        Half the edge of a patch, voxels; grown where a patch would have fewer voxels than there are
        volumes, shrunk where the image is thinner than a patch.
    stride : int, default=1
        Distance of the patches' centres along each axis, voxels; at most `radius`, so that patches overlap.

    Returns
    -------
    denoised : array (X, Y, Z, V), float32
        Unchanged where no patch reaches; never negative.
    sigma : array (X, Y, Z), float32
        Standard deviation of the noise; 0 where no patch reaches.

    References
    ----------
    Veraart J et al. 2016, doi:10.1016/j.neuroimage.2016.08.016 (the threshold); Manjon JV et al. 2013,
    doi:10.1371/journal.pone.0073021 (Eqs. 1-3, overlapping patches).
    """
    series = np.asarray(series, np.float32)
    reach = patch_reach(series.shape, radius)
    offsets = np.indices(tuple(2 * reach + 1)).reshape(3, -1).T - reach
    inside = _centers(mask, reach, min(stride, radius))
    shape = mask.shape
    apart = np.array([shape[1] * shape[2], shape[2], 1])
    flat = series.reshape(-1, series.shape[3])
    total = np.zeros(flat.shape, np.float32)
    weight, variance = np.zeros(len(flat)), np.zeros(len(flat))
    centers = np.argwhere(inside) @ apart
    for first in range(0, len(centers), _PATCHES_AT_ONCE):
        places_NP = centers[first : first + _PATCHES_AT_ONCE, None] + offsets @ apart
        estimate_NPV, theta_N, variance_N = _patches(flat[places_NP])
        # Within one offset no place comes twice, so that plain indexing adds up rightly.
        for column in range(len(offsets)):
            place = places_NP[:, column]
            total[place] += theta_N[:, None] * estimate_NPV[:, column]
            weight[place] += theta_N
            variance[place] += theta_N * variance_N
    reached = weight > 0
    denoised = flat.copy()
    denoised[reached] = np.maximum(total[reached] / weight[reached, None], 0)
    sigma = np.sqrt(np.divide(variance, weight, out=np.zeros_like(weight), where=reached))
    return denoised.reshape(series.shape), sigma.reshape(shape).astype(np.float32)


def _centers(mask: NDArray, reach: NDArray, stride: int) -> NDArray:
    from scipy.ndimage import maximum_filter

    # The last place of each axis is always taken, or the outermost slices would stay noisy.
    lines = [np.unique([*range(r, n - r, stride), n - 1 - r]) for r, n in zip(reach, mask.shape, strict=True)]
    lattice = np.zeros(mask.shape, bool)
    lattice[np.ix_(*lines)] = True
    return lattice & maximum_filter(mask, 2 * (stride - 1) + 1)


def patch_reach(shape: tuple[int, ...], radius: int) -> NDArray:
    """Return half the edges (3,) of a patch with as many voxels as there are volumes, in an image (X, Y, Z, V)."""
    while (2 * radius + 1) ** 3 - 1 < shape[3]:
        radius += 1
    return np.minimum(radius, (np.array(shape[:3]) - 1) // 2)


def _patches(patches_NPV: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    samples, volumes = patches_NPV.shape[1:]
    mean_N1V = patches_NPV.mean(axis=1, keepdims=True)
    centered_NPV = patches_NPV - mean_N1V
    covariance_NVV = centered_NPV.transpose(0, 2, 1) @ centered_NPV / samples
    values_NV, vectors_NVV = np.linalg.eigh(covariance_NVV)
    variance_N = noise_variance(values_NV, samples)
    threshold_N = (1 + np.sqrt(volumes / samples)) ** 2 * variance_N
    is_signal_NV = values_NV >= threshold_N[:, None]
    kept_NVV = vectors_NVV * is_signal_NV[:, None, :]
    estimate_NPV = centered_NPV @ (kept_NVV @ kept_NVV.transpose(0, 2, 1)) + mean_N1V
    return estimate_NPV, 1.0 / (1.0 + is_signal_NV.sum(axis=1)), variance_N


def noise_variance(eigenvalues: NDArray, samples: int) -> NDArray:
    """Find the variance of the noise under which the smallest eigenvalues follow Marchenko and Pastur.

    Parameters
    ----------
    eigenvalues : array (N, V)
        Of each patch's covariance, ascending.
    samples : int
        Voxels of a patch.

    Returns
    -------
    array (N,)

    References
    ----------
    Veraart J et al. 2016, doi:10.1002/mrm.26059 (Eq. 12).
    """
    eigenvalues = eigenvalues[:, -(samples - 1) :]
    count = np.arange(1, eigenvalues.shape[1] + 1)
    variance_NV = np.cumsum(eigenvalues, axis=1, dtype=np.float64) / count
    spread_NV = eigenvalues - eigenvalues[:, :1]
    fits_NV = spread_NV <= 4 * np.sqrt(count / samples) * variance_NV
    last = eigenvalues.shape[1] - 1 - np.argmax(fits_NV[:, ::-1], axis=1)
    return variance_NV[np.arange(len(last)), np.where(fits_NV.any(axis=1), last, 0)]
