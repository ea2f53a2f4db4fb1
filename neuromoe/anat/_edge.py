"""Move the border of a registered brain mask to where the image has it.

A template's mask is drawn as tightly or as widely as its makers liked, and a head made around a bare brain has no skull
of its own. What all T1-weighted heads share is that the signal falls from brain tissue to a dark rim of fluid and bone.
The border goes where most of that fall is done, in one neighbourhood after the other, and never far from where the
registration put it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuromoe.anat._head import at_voxel_mm, stretch
from neuromoe.imaging.images import Image

WORK_MM, STRIDE = 2.0, 3
# Distances from the border at which the signal is averaged, mm; negative is inside.
SHELLS_MM = np.arange(-10.0, 8.1)
_TISSUE, _RIM = slice(1, 7), slice(6, 17)
# Share of the fall from tissue to rim that lies outside the border. 0.1-0.3 were nearly level on real heads.
REMAINDER = 0.2
# Standard deviation of a neighbourhood, and the most that it may depart from the whole border, mm.
NEIGHBOURHOOD_MM, MOST_MM = 12.0, 2.5


@dataclass(frozen=True, eq=False)
class Edge:
    """A mask whose border follows the image.

    Parameters
    ----------
    mask : array (X, Y, Z) of bool
        On the head's grid.
    shift_mm : float
        How far the border went outwards on the whole.
    contrast : float
        Fall of the signal from tissue to rim, as a share of the tissue's; 0 where there is no rim.
    rim_share : float
        Share of the border with at least half that contrast.
    """

    mask: NDArray
    shift_mm: float
    contrast: float
    rim_share: float


def settle(head: Image, mask: NDArray) -> Edge:
    """Move the border of `mask` to the edge of the brain.

    Parameters
    ----------
    head : Image (X, Y, Z)
        Bias-corrected, RAS+ order.
    mask : array (X, Y, Z) of bool
        The brain to a few millimetres.
    """
    work, inside = (at_voxel_mm(image, WORK_MM) for image in (head, head.like(mask.astype(np.float32))))
    tissue = float(np.median(work.data[inside.data > 0.5])) if (inside.data > 0.5).any() else 0.0
    if tissue <= 0:
        return Edge(mask, 0.0, 0.0, 0.0)
    distance = _signed_distance(inside.data > 0.5, work)
    level = np.clip(work.data / tissue, 0, 1.3)
    # Zeros are what a defacing or a scanner's own mask wrote: nothing was measured there.
    seen = level > 1e-3
    whole = _profile(level, seen, distance)
    shift, contrast = (float(value) for value in crossing(whole))
    local, local_contrast = crossing(_local_profiles(level, seen, distance, whole))
    departure = np.clip(local - shift, -MOST_MM, MOST_MM)
    near = np.abs(distance[::STRIDE, ::STRIDE, ::STRIDE]) < 6
    weight = near * np.clip(local_contrast / max(contrast, 1e-6), 0, 1)
    sigma = NEIGHBOURHOOD_MM / WORK_MM / STRIDE
    departure = _smooth(departure * weight, sigma) / (_smooth(weight, sigma) + 0.02)
    moved = distance - shift - _finer(departure, work)
    rim = float((local_contrast[near] > 0.5 * contrast).mean()) if near.any() else 0.0
    return Edge(stretch(work.like(moved), head) < 0, shift, contrast, rim)


def crossing(profiles: NDArray) -> tuple[NDArray, NDArray]:
    """Find where profiles across the border have fallen from tissue nearly to the rim.

    Parameters
    ----------
    profiles : array (..., K)
        Signal at `SHELLS_MM`.

    Returns
    -------
    shift : array (...)
        Distance of the crossing, mm; 0 where there is none.
    contrast : array (...)
        The fall, as a share of the tissue's level.

    Examples
    --------
    >>> step = np.where(SHELLS_MM < 2, 1.0, 0.0)
    >>> [round(float(value), 1) for value in crossing(step)]
    [1.8, 1.0]
    """
    tissue, rim = profiles[..., _TISSUE].max(axis=-1), profiles[..., _RIM].min(axis=-1)
    limit = rim + REMAINDER * (tissue - rim)
    below = profiles <= limit[..., None]
    below[..., : _RIM.start - 1] = False
    first = np.where(below.any(axis=-1), below.argmax(axis=-1), _RIM.start)
    before, after = (np.take_along_axis(profiles, k[..., None], axis=-1)[..., 0] for k in (first - 1, first))
    part = np.clip((before - limit) / np.maximum(before - after, 1e-6), 0, 1)
    shift = np.where(below.any(axis=-1) & (tissue > rim), SHELLS_MM[0] + first - 1 + part, 0.0)
    return shift, np.clip(1 - rim / np.maximum(tissue, 1e-6), 0, None)


def _signed_distance(inside: NDArray, image: Image) -> NDArray:
    """Distance to the border, mm, negative inside (X, Y, Z)."""
    from scipy.ndimage import distance_transform_edt

    spacing = image.voxel_mm
    distance = distance_transform_edt(~inside, sampling=spacing) - distance_transform_edt(inside, sampling=spacing)
    # Both transforms measure to the next voxel's centre; the border lies half a voxel before it.
    return (distance - np.sign(distance) * spacing.min() / 2).astype(np.float32)


def _profile(level: NDArray, seen: NDArray, distance: NDArray) -> NDArray:
    """Average the signal in shells around the whole border (K,)."""
    shells = [level[seen & (np.abs(distance - shell) < 0.75)] for shell in SHELLS_MM]
    means = np.array([shell.mean() if shell.size else np.nan for shell in shells])
    known = np.isfinite(means)
    return np.interp(SHELLS_MM, SHELLS_MM[known], means[known]) if known.any() else np.zeros_like(means)


def _local_profiles(level: NDArray, seen: NDArray, distance: NDArray, whole: NDArray) -> NDArray:
    """Average the signal in shells around each place of a coarse grid (x, y, z, K); the whole border's where empty."""
    sigma = NEIGHBOURHOOD_MM / 2 / WORK_MM
    every = (slice(None, None, STRIDE),) * 3
    profiles = []
    for shell, mean in zip(SHELLS_MM, whole, strict=True):
        there = seen & (np.abs(distance - shell) < 0.75)
        amount = _smooth(there, sigma)[every]
        profiles.append((_smooth(np.where(there, level, 0), sigma)[every] + 0.002 * mean) / (amount + 0.002))
    return np.stack(profiles, axis=-1)


def _smooth(values: NDArray, sigma: float) -> NDArray:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(values.astype(np.float32), sigma)


def _finer(values: NDArray, work: Image) -> NDArray:
    affine = work.affine @ np.diag([STRIDE, STRIDE, STRIDE, 1.0])
    return stretch(Image(values, affine), work)
