"""Head motion of a diffusion series: every volume against what the other volumes predict for it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.coregister import coregister
from neuromoe.core.geometry import rigid_parameters
from neuromoe.core.gradients import Gradients
from neuromoe.core.images import Image
from neuromoe.core.motion import estimate_motion, mean_of_aligned

_HEAD_RADIUS_MM = 50.0


@dataclass(frozen=True)
class MotionSettings:
    """How motion is estimated.

    Parameters
    ----------
    passes : int, default=1
        Rounds of predicting the weighted volumes and aligning each to its prediction.
    reach_rad : float, default=1.2
        Angle beyond which two gradient directions tell nothing about each other.
    noise : float, default=0.2
        Variance of the noise over that of the signal between directions.
    smoothing_mm : float, default=2
        FWHM of the smoothing under which a volume is compared with its prediction.
    seed : int, default=0
        Seed of the registration of the weighted to the unweighted volumes.
    """

    passes: int = 1
    reach_rad: float = 1.2
    noise: float = 0.2
    smoothing_mm: float = 2.0
    seed: int = 0


def estimate_dwi_motion(series: NDArray, affine: NDArray, gradients: Gradients, settings: MotionSettings) -> NDArray:
    """Estimate one rigid matrix per volume.

    The unweighted volumes go to their mean. Each weighted one goes there by mutual information, then to
    the signal that the others of its shell predict for its direction, so that contrast which differs
    between directions is not taken for motion; last, their mean goes to the b=0 mean again, at the finest
    scale.

    Parameters
    ----------
    series : array (X, Y, Z, V)
        Denoised, on one grid.
    affine : array (4, 4)
        Voxel to world, mm.
    gradients : Gradients
        World directions.
    settings : MotionSettings

    Returns
    -------
    array (V, 4, 4)
        World points of the mean b=0 volume to world points of each volume.
    """
    motion = np.tile(np.eye(4), (len(gradients), 1, 1))
    b0 = np.flatnonzero(gradients.is_b0)
    if len(b0) > 1:
        motion[b0] = estimate_motion(series[..., b0], affine)
    anchor = Image(mean_of_aligned(series[..., b0], affine, motion[b0]), affine)
    for shell in gradients.shells():
        found = _to_anchor(series[..., shell], anchor, settings)
        if len(shell) >= 6:
            found = _refine(series[..., shell], affine, gradients[shell], found, settings)
        mean = Image(mean_of_aligned(series[..., shell], affine, found), affine)
        motion[shell] = found @ coregister(mean, anchor, seed=settings.seed, search=False).matrix
    return motion


def _to_anchor(volumes: NDArray, anchor: Image, settings: MotionSettings) -> NDArray:
    found = []
    for index in range(volumes.shape[3]):
        moving = Image(volumes[..., index], anchor.affine)
        found.append(coregister(moving, anchor, seed=settings.seed, search=False, scales=2).matrix)
    return np.stack(found)


def _refine(
    volumes: NDArray, affine: NDArray, gradients: Gradients, motion: NDArray, settings: MotionSettings
) -> NDArray:
    for _ in range(settings.passes):
        turned = gradients.rotated(np.linalg.inv(motion[:, :3, :3]))
        aligned = align(volumes, affine, motion)
        expected = predict_left_out(aligned, turned, settings.reach_rad, settings.noise)
        motion = estimate_motion(volumes, affine, expected, initial=motion, smoothing_mm=(settings.smoothing_mm,))
    return motion


def align(series: NDArray, affine: NDArray, motion: NDArray) -> NDArray:
    """Move each volume onto the reference, trilinearly, for estimation only."""
    volumes = [mean_of_aligned(series[..., [v]], affine, motion[[v]]) for v in range(series.shape[3])]
    return np.stack(volumes, axis=-1)


def leave_one_out_weights(directions: NDArray, reach_rad: float, noise: float) -> NDArray:
    """Weights that predict each direction's signal from the other directions of a shell.

    A Gaussian process with a spherical covariance of the angle between the directions' axes, around the
    mean of the other volumes.

    Parameters
    ----------
    directions : array (V, 3)
        Unit vectors.
    reach_rad : float
        Angle at which the covariance reaches zero.
    noise : float
        Variance of the noise over that of the signal.

    Returns
    -------
    array (V, V)
        Row i predicts volume i; its own weight is zero and the row sums to one.

    References
    ----------
    Andersson JLR, Sotiropoulos SN 2015, doi:10.1016/j.neuroimage.2015.07.067 (Eq. 13).
    """
    angle = np.arccos(np.clip(np.abs(directions @ directions.T), 0, 1)) / reach_rad
    covariance = np.where(angle < 1, 1 - 1.5 * angle + 0.5 * angle**3, 0.0)
    count = len(directions)
    weights = np.zeros((count, count))
    for i in range(count):
        others = np.delete(np.arange(count), i)
        inverse = np.linalg.inv(covariance[np.ix_(others, others)] + noise * np.eye(count - 1))
        row = covariance[i, others] @ inverse
        weights[i, others] = row + (1 - row.sum()) / (count - 1)
    return weights


def predict_left_out(aligned: NDArray, gradients: Gradients, reach_rad: float, noise: float) -> NDArray:
    """Predict every volume (X, Y, Z, V) of a shell from the others; see :func:`leave_one_out_weights`."""
    weights = leave_one_out_weights(gradients.directions, reach_rad, noise)
    return aligned @ weights.T.astype(aligned.dtype)


def framewise_displacement_mm(motion: NDArray, center_mm: NDArray) -> NDArray:
    """Compute Power's framewise displacement between volumes in the order of acquisition.

    Parameters
    ----------
    motion : array (V, 4, 4)
        Reference world to each volume's world.
    center_mm : array (3,)
        Centre of the head; rotations count as arcs of 50 mm.

    Returns
    -------
    array (V,)
        mm; the first is 0.

    References
    ----------
    Power JD et al. 2012, doi:10.1016/j.neuroimage.2011.10.018.
    """
    parameters = np.stack([rigid_parameters(matrix, center_mm) for matrix in motion])
    parameters[:, 3:] *= _HEAD_RADIUS_MM
    return np.concatenate([[0.0], np.abs(np.diff(parameters, axis=0)).sum(axis=1)])
