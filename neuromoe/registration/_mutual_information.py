"""Mutual information of two volumes at scattered points, with its exact gradient.

Axis letters: N points, F bins of the fixed intensity, K bins of the moving one.
"""

from dataclasses import dataclass

import numpy as np

# The cubic B-spline window reaches two bins to either side.
_MARGIN = 2


@dataclass(frozen=True)
class Sample:
    """Points of the fixed image with their intensity bins.

    Parameters
    ----------
    points : array (N, 3), mm
        World points (RAS+).
    bins : array (N,), int
        Bin of the fixed intensity at each point.
    count : int
        Number of bins of either intensity.
    """

    points: np.ndarray
    bins: np.ndarray
    count: int


def bin_intensities(values: np.ndarray, low: float, high: float, count: int) -> np.ndarray:
    """Place intensities on a scale of ``count`` bins that leaves room for the B-spline window.

    Parameters
    ----------
    values : array
        Intensities.
    low, high : float
        Intensities at the first and last bin; those beyond are clipped.
    count : int
        Number of bins.

    Returns
    -------
    array
        Continuous bin positions in [2, count - 3].

    Examples
    --------
    >>> bin_intensities(np.array([-1.0, 0.0, 5.0, 10.0]), 0.0, 10.0, 25)
    array([ 2.,  2., 12., 22.])
    """
    scaled = (values - low) / max(high - low, float(np.finfo(np.float32).tiny))
    return _MARGIN + np.clip(scaled, 0.0, 1.0) * (count - 1 - 2 * _MARGIN)


def interpolate(volume: np.ndarray, voxels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Interpolate trilinearly and differentiate at fractional voxel positions.

    Parameters
    ----------
    volume : array (X, Y, Z)
        Each side at least two voxels.
    voxels : array (N, 3)
        Positions in voxels.

    Returns
    -------
    values : array (N,)
    slopes : array (N, 3), per voxel
    weights : array (N,)
        1 inside the field of view, falling to 0 one voxel outside it.
    """
    size = np.array(volume.shape)
    weights = np.clip(np.minimum(voxels + 1, size - voxels), 0, 1).prod(axis=1)
    corner = np.clip(np.floor(voxels).astype(np.intp), 0, size - 2)
    x, y, z = np.clip(voxels - corner, 0, 1).T
    stride = np.array([volume.shape[1] * volume.shape[2], volume.shape[2], 1])
    first = corner @ stride
    flat = volume.ravel()
    v = [flat[first + a * stride[0] + b * stride[1] + c] for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    z_edges = [(v[i] + z * (v[i + 1] - v[i]), v[i + 1] - v[i]) for i in (0, 2, 4, 6)]
    (e00, d00), (e01, d01), (e10, d10), (e11, d11) = z_edges
    f0, f1 = e00 + y * (e01 - e00), e10 + y * (e11 - e10)
    dz0, dz1 = d00 + y * (d01 - d00), d10 + y * (d11 - d10)
    dy = (e01 - e00) + x * ((e11 - e10) - (e01 - e00))
    return f0 + x * (f1 - f0), np.stack([f1 - f0, dy, dz0 + x * (dz1 - dz0)], axis=1), weights


def _window(offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # Cubic B-spline of the four bins around, for a value `offset` (0 to 1) above the second of them.
    t = offset
    values = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]) / 6
    slopes = np.stack([-((1 - t) ** 2), 3 * t**2 - 4 * t, -3 * t**2 + 2 * t + 1, t**2]) / 2
    return values, slopes


def mutual_information(
    matrix: np.ndarray, sample: Sample, volume: np.ndarray, affine: np.ndarray
) -> tuple[float, np.ndarray, float]:
    """Compute mutual information of the fixed bins and the moving volume under an affine map.

    Parameters
    ----------
    matrix : array (4, 4)
        Maps fixed world points to moving world points, mm.
    sample : Sample
        The fixed image's points and bins.
    volume : array (X, Y, Z)
        The moving image as bin positions (see `bin_intensities`).
    affine : array (4, 4)
        The moving image's voxel to world matrix, mm.

    Returns
    -------
    information : float
        Mutual information in nats, of the points inside the moving field of view.
    gradient : array (3, 4)
        Its derivative with respect to the upper rows of ``matrix``.
    overlap : float
        Share of the points inside the moving field of view, 0 to 1.

    References
    ----------
    Mattes D et al. 2003, doi:10.1109/TMI.2003.809072 (Parzen window, analytic derivative).
    """
    to_voxel = np.linalg.inv(affine) @ matrix
    voxels = sample.points @ to_voxel[:3, :3].T + to_voxel[:3, 3]
    values, slopes, weights = interpolate(volume, voxels)
    total = weights.sum()
    if total < 1:
        return 0.0, np.zeros((3, 4)), 0.0
    lower = np.floor(values).astype(np.intp)
    window, window_slope = _window(values - lower)
    cells = sample.bins * sample.count + lower - 1 + np.arange(4)[:, None]
    size = sample.count**2
    joint = np.bincount(cells.ravel(), (window * weights).ravel(), minlength=size)[:size] / total
    joint_FK = joint.reshape(sample.count, sample.count)
    outer_FK = joint_FK.sum(1, keepdims=True) * joint_FK.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio_FK = np.where(joint_FK > 0, np.log(joint_FK / outer_FK), 0.0)
        conditional_FK = np.where(joint_FK > 0, np.log(joint_FK / joint_FK.sum(0)), 0.0)
    push = (conditional_FK.ravel()[cells] * window_slope).sum(0) * weights / total
    world_slopes = (push[:, None] * slopes) @ np.linalg.inv(affine)[:3, :3]
    homogeneous = np.concatenate([sample.points, np.ones((len(sample.points), 1))], axis=1)
    return float((joint_FK * ratio_FK).sum()), world_slopes.T @ homogeneous, float(total / len(weights))
