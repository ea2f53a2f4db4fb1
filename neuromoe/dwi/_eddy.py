"""What eddy currents do to weighted volumes: shear and scale along phase encoding, beside the head's motion.

A weighted volume shows a world point q at q + e (a . (q - c)): e is the axis of phase encoding, a (3,) the slopes,
and c the centre. A shift along e cannot be told from the head's own.
"""

import numpy as np
from numpy.typing import NDArray

from neuromoe.dwi._motion import LEAST_DIRECTIONS, MotionSettings, align, refine
from neuromoe.dwi._prediction import predict_left_out
from neuromoe.imaging.geometry import apply_affine, rigid_matrix, rigid_parameters
from neuromoe.imaging.gradients import Gradients
from neuromoe.imaging.images import Image

_SMOOTHING_MM = 4.0
_MOST_POINTS = 25_000
_ROUNDS, _STEPS = 3, 5
# Slopes count as arcs do: at 50 mm from the centre.
_ARC_MM, _STOP_MM = 50.0, 0.005


def distortion(slopes: NDArray, axis: NDArray, center_mm: NDArray) -> NDArray:
    """Return the matrix (4, 4) from undistorted to distorted world points.

    Parameters
    ----------
    slopes : array (3,)
        mm along `axis` for each mm from the centre along the world axes.
    axis : array (3,)
        Unit vector of phase encoding.
    center_mm : array (3,)
    """
    matrix = np.eye(4)
    matrix[:3, :3] += np.outer(axis, slopes)
    matrix[:3, 3] = -axis * (slopes @ center_mm)
    return matrix


def estimate_eddy(
    series: NDArray,
    affine: NDArray,
    gradients: Gradients,
    motion: NDArray,
    axes: NDArray,
    mask: NDArray,
    settings: MotionSettings,
) -> tuple[NDArray, NDArray]:
    """Fit motion, shear and scale of each weighted volume to what the others of its shell predict for it.

    Single volumes take contrast that the prediction misses for shear, and what all volumes have in common shows in
    the prediction too. Eddy currents follow the gradients: of the slopes, only what is linear in the gradient counts.
    Last, the motion of the volumes without their distortion is refined as before.

    Parameters
    ----------
    series : array (X, Y, Z, V)
        On one grid.
    affine : array (4, 4)
    gradients : Gradients
        World directions, not turned.
    motion : array (V, 4, 4)
        Reference world to each volume's world, rigid.
    axes : array (V, 3)
        Unit vector of phase encoding of each volume.
    mask : bool array (X, Y, Z)
        Head in the reference.
    settings : MotionSettings

    Returns
    -------
    motion : array (V, 4, 4)
        Refined, rigid.
    distortions : array (V, 4, 4)
        The world of each volume to where its eddy currents put it; identity for b=0 and shells below 6 volumes.

    References
    ----------
    Andersson JLR, Sotiropoulos SN 2016, doi:10.1016/j.neuroimage.2015.10.019.
    """
    center = apply_affine(affine, np.argwhere(mask).mean(axis=0))
    motion, slopes = motion.copy(), np.zeros((len(motion), 3))
    for shell in gradients.shells():
        if len(shell) < LEAST_DIRECTIONS:
            continue
        for _ in range(_ROUNDS):
            whole = _whole(motion[shell], slopes[shell], axes[shell], center)
            turned = gradients[shell].rotated(np.linalg.inv(motion[shell][:, :3, :3]))
            aligned = align(series[..., shell], affine, whole)
            expected = predict_left_out(aligned, turned, settings.reach_rad, settings.noise)
            for place, volume in enumerate(shell):
                motion[volume], slopes[volume] = _fit(
                    series[..., volume], expected[..., place], affine, mask, motion[volume], slopes[volume],
                    axes[volume], center,
                )  # fmt: skip
            slopes[shell] = _of_gradients(slopes[shell], gradients.directions[shell])
        eddies = _whole(np.tile(np.eye(4), (len(shell), 1, 1)), slopes[shell], axes[shell], center)
        straight = align(series[..., shell], affine, eddies)
        motion[shell] = refine(straight, affine, gradients[shell], motion[shell], settings)
    return motion, _whole(np.tile(np.eye(4), (len(motion), 1, 1)), slopes, axes, center)


def _whole(motion: NDArray, slopes: NDArray, axes: NDArray, center_mm: NDArray) -> NDArray:
    return np.stack([distortion(s, e, center_mm) @ m for m, s, e in zip(motion, slopes, axes, strict=True)])


def _of_gradients(slopes: NDArray, directions: NDArray) -> NDArray:
    design = np.column_stack([directions, np.ones(len(directions))])
    return directions @ np.linalg.lstsq(design, slopes, rcond=None)[0][:3]


def _fit(
    volume: NDArray,
    expected: NDArray,
    affine: NDArray,
    mask: NDArray,
    motion: NDArray,
    slopes: NDArray,
    axis: NDArray,
    center_mm: NDArray,
) -> tuple[NDArray, NDArray]:
    """Gauss-Newton steps of one volume, with the prediction's derivatives and a free gain and offset."""
    from scipy.ndimage import gaussian_filter, map_coordinates, spline_filter

    sigma = _SMOOTHING_MM / 2.3548 / np.linalg.norm(affine[:3, :3], axis=0)
    seen, target = (gaussian_filter(data.astype(np.float32), sigma) for data in (volume, expected))
    points, columns, values = _model(Image(target, affine), mask, axis, center_mm)
    solver = np.linalg.pinv(columns)
    seen = spline_filter(seen, order=3, output=np.float32)
    parameters = np.concatenate([rigid_parameters(motion, center_mm), slopes])
    for _ in range(_STEPS):
        matrix = distortion(parameters[6:], axis, center_mm) @ rigid_matrix(parameters[:6], center_mm)
        voxels = apply_affine(np.linalg.inv(affine) @ matrix, points)
        found = map_coordinates(seen, voxels.T, order=3, mode="nearest", prefilter=False)
        step = solver @ (found - values)
        parameters[:3] -= step[:3] / max(1 + step[9], 0.1)
        parameters[3:] -= step[3:9] / _ARC_MM / max(1 + step[9], 0.1)
        if np.abs(step[:9]).max() < _STOP_MM:
            break
    return rigid_matrix(parameters[:6], center_mm), parameters[6:]


def _model(expected: Image, mask: NDArray, axis: NDArray, center_mm: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Return points (N, 3), mm, the prediction's derivatives there (N, 11) and its values (N,)."""
    voxels = np.argwhere(mask)
    voxels = voxels[:: max(1, -(-len(voxels) // _MOST_POINTS))]
    index = tuple(voxels.T)
    along = np.stack([part[index] for part in np.gradient(expected.data)], axis=1)
    gradient = along @ np.linalg.inv(expected.affine[:3, :3])
    points, values = apply_affine(expected.affine, voxels), expected.data[index]
    arms = (points - center_mm) / _ARC_MM
    columns = [gradient, np.cross(arms, gradient), (gradient @ axis)[:, None] * arms, values[:, None]]
    return points, np.column_stack([*columns, np.ones(len(points))]), values
