"""Head motion of a diffusion series: every volume against what the other volumes predict for it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuromoe.dwi._bridge import bridge
from neuromoe.dwi._prediction import predict_left_out
from neuromoe.imaging.geometry import apply_affine, rigid_parameters
from neuromoe.imaging.gradients import Gradients
from neuromoe.imaging.images import Image
from neuromoe.registration.coregister import coregister
from neuromoe.registration.motion import estimate_motion, mean_of_aligned

LEAST_DIRECTIONS = 6
_HEAD_RADIUS_MM = 50.0
_MARGIN_MM = 12.0


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
    bridge_mm : float, default=0.2
        Standard error of the offset between weighted and b=0 volumes by mutual information.
    seed : int, default=0
        Seed of the registration of the weighted to the unweighted volumes.
    """

    passes: int = 1
    reach_rad: float = 1.2
    noise: float = 0.2
    smoothing_mm: float = 2.0
    bridge_mm: float = 0.2
    seed: int = 0


def estimate_dwi_motion(
    series: NDArray,
    affine: NDArray,
    gradients: Gradients,
    settings: MotionSettings,
    *,
    runs: NDArray | None = None,
) -> NDArray:
    """Estimate one rigid matrix per volume.

    The unweighted volumes go to their mean. Each weighted one goes there by mutual information, then to
    the signal that the others of its shell predict for its direction, so that contrast which differs
    between directions is not taken for motion; last, the shell goes to the b=0 volumes as one
    (`neuromoe.dwi._bridge`).

    Parameters
    ----------
    series : array (X, Y, Z, V)
        Denoised, on one grid.
    affine : array (4, 4)
        Voxel to world, mm.
    gradients : Gradients
        World directions.
    settings : MotionSettings
    runs : int array (V,), optional
        The run that each volume is from; by default all are from one.

    Returns
    -------
    array (V, 4, 4)
        World points of the first b=0 volume to world points of each volume.
    """
    runs = np.zeros(len(gradients), int) if runs is None else runs
    b0 = np.flatnonzero(gradients.is_b0)
    box, affine = _around_head(series[..., b0].mean(axis=3), affine)
    series = series[box]
    motion = np.tile(np.eye(4), (len(gradients), 1, 1))
    if len(b0) > 1:
        motion[b0] = estimate_motion(series[..., b0], affine)
    anchor = Image(mean_of_aligned(series[..., b0], affine, motion[b0]), affine)
    for shell in gradients.shells():
        volumes = series[..., shell]
        found = _to_anchor(volumes, anchor, settings.seed)
        if len(shell) >= LEAST_DIRECTIONS:
            found = refine(volumes, affine, gradients[shell], found, settings)
        mean = Image(mean_of_aligned(volumes, affine, found), affine)
        offset = bridge(mean, anchor, motion, found, shell, b0, runs, sd_mm=settings.bridge_mm, seed=settings.seed)
        motion[shell] = found @ offset
    return motion @ np.linalg.inv(motion[b0[0]])


def _around_head(b0: NDArray, affine: NDArray) -> tuple[tuple[slice, ...], NDArray]:
    # What lies far from the head costs time and tells nothing.
    head = np.argwhere(b0 > b0.mean())
    margin = np.ceil(_MARGIN_MM / np.linalg.norm(affine[:3, :3], axis=0)).astype(int)
    low = np.maximum(head.min(axis=0) - margin, 0)
    high = np.minimum(head.max(axis=0) + margin + 1, b0.shape)
    moved = affine.copy()
    moved[:3, 3] = apply_affine(affine, low)
    return tuple(slice(a, b) for a, b in zip(low, high, strict=True)), moved


def _to_anchor(volumes: NDArray, anchor: Image, seed: int) -> NDArray:
    found = []
    for index in range(volumes.shape[3]):
        moving = Image(volumes[..., index], anchor.affine)
        found.append(coregister(moving, anchor, seed=seed, search=False, scales=2).matrix)
    return np.stack(found)


def refine(
    volumes: NDArray, affine: NDArray, gradients: Gradients, motion: NDArray, settings: MotionSettings
) -> NDArray:
    """Align each volume of a shell to what the others predict for it, from `motion` (V, 4, 4) on."""
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
