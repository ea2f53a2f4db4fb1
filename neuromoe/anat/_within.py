"""One template within a person: the mean of all sessions, halfway between them, and the way of each to it.

References
----------
.. [1] Reuter et al. (2012), Within-subject template estimation for unbiased longitudinal image analysis, NeuroImage 61,
   doi:10.1016/j.neuroimage.2012.02.084.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromoe.anat._attempts import Attempt, assess
from neuromoe.anat._register import brain_image, centers_on_each_other, no_finer, tapered
from neuromoe.imaging.geometry import Grid, apply_affine
from neuromoe.imaging.images import Image, load_image, resample
from neuromoe.imaging.template import Template
from neuromoe.imaging.transforms import Affine, Chain, read_transform
from neuromoe.registration.greedy import Deformation, greedy_affine, greedy_deformable

# The mean guides registrations on 2 mm voxels: finer ones than this would cost and bring nothing.
FINEST_MM = 1.0
ROUNDS = 2
BETWEEN_SESSIONS = Deformation(smoothing="3vox 1vox")


def mean_head(
    heads: Sequence[Image], masks: Sequence[Image], *, registration_mm: float, seed: int = 0
) -> tuple[Image, Image, tuple[Affine, ...]]:
    """Lay the sessions of a person on each other by rigid maps and take the median.

    The space lies halfway: over the sessions, rotations and shifts of the brain's centre have mean zero, so that none
    is interpolated more than the others. The mean is registered to and formed anew, :data:`ROUNDS` times.

    Parameters
    ----------
    heads, masks : sequence of Image (X, Y, Z)
        Bias-corrected T1w and the brain of each session, each on its own grid.
    registration_mm : float
        Registration runs on voxels no finer than this, mm.
    seed : int, default=0
        Of the registration.

    Returns
    -------
    head : Image (X, Y, Z)
        Median of the sessions, each divided by the median of its brain.
    mask : Image (X, Y, Z)
        The brain of at least half of the sessions.
    to_sessions : tuple of Affine
        World points of the mean to world points of each session.
    """
    small, small_masks = ([no_finer(image, registration_mm) for image in images] for images in (heads, masks))
    brains = [brain_image(head, mask) for head, mask in zip(small, small_masks, strict=True)]
    first = brains[0]
    center = first.grid.world()[first.data.ravel() > 0].mean(axis=0)
    maps = [Affine(np.eye(4)), *(rigid(first, brain, seed=seed) for brain in brains[1:])]
    for _ in range(ROUNDS):
        center, maps = halfway(center, maps)
        fixed = brain_image(*_mean(small, small_masks, _around(brains, maps, registration_mm), maps))
        maps = [rigid(fixed, brain, start=start, seed=seed) for brain, start in zip(brains, maps, strict=True)]
    _, maps = halfway(center, maps)
    finest = min(float(head.voxel_mm.min()) for head in heads)
    return *_mean(heads, masks, _around(brains, maps, max(FINEST_MM, finest)), maps), tuple(maps)


def rigid(fixed: Image, moving: Image, *, start: Affine | None = None, seed: int = 0) -> Affine:
    """Find the rigid map between two brains of one person, from centre on centre unless a start is given."""
    start = start or Affine(centers_on_each_other(fixed, moving))
    return greedy_affine(fixed, moving, initial=start, dof=6, iterations="60x40x10", seed=seed)


def halfway(center: NDArray, maps: Sequence[Affine]) -> tuple[NDArray, list[Affine]]:
    """Move the space that rigid maps start from to their middle.

    Parameters
    ----------
    center : array (3,)
        A point of that space, mm.
    maps : sequence of Affine
        From that space to each of several others.

    Returns
    -------
    center : array (3,)
        The same point in the new space: the mean of its places in the others.
    maps : list of Affine
        From the new space; their mean rotation is none.

    Examples
    --------
    >>> shift = np.eye(4)
    >>> shift[0, 3] = 8.0
    >>> center, maps = halfway(np.zeros(3), [Affine(np.eye(4)), Affine(shift)])
    >>> [float(found.matrix[0, 3]) for found in maps]
    [-4.0, 4.0]
    """
    from scipy.spatial.transform import Rotation

    middle = np.mean([found(center[None])[0] for found in maps], axis=0)
    back = np.eye(4)
    back[:3, :3] = Rotation.from_matrix([found.matrix[:3, :3] for found in maps]).mean().as_matrix().T
    back[:3, 3] = center - back[:3, :3] @ middle
    return middle, [Affine(found.matrix @ back) for found in maps]


def _mean(heads: Sequence[Image], masks: Sequence[Image], grid: Grid, maps: Sequence[Affine]) -> tuple[Image, Image]:
    """Return the median of the heads, and the brain of at least half of the sessions."""
    scaled = [
        head.like(head.data / np.median(head.data[mask.data > 0.5])) for head, mask in zip(heads, masks, strict=True)
    ]
    values = [resample(image, grid, (there,)) for image, there in zip(scaled, maps, strict=True)]
    inside = [resample(mask, grid, (there,)) > 0.5 for mask, there in zip(masks, maps, strict=True)]
    majority = np.mean(inside, axis=0) >= 0.5
    return Image(np.median(values, axis=0), grid.affine), Image(majority.astype(np.float32), grid.affine)


def _around(brains: Sequence[Image], maps: Sequence[Affine], voxel_mm: float) -> Grid:
    """Return a grid along the world's axes that holds all brains, each with its margin."""
    corners = []
    for brain, there in zip(brains, maps, strict=True):
        ends = np.array(np.meshgrid(*[(0, size - 1) for size in brain.data.shape])).reshape(3, -1).T
        corners.append(there.inverse()(apply_affine(brain.affine, ends)))
    low, high = np.min(np.concatenate(corners), axis=0), np.max(np.concatenate(corners), axis=0)
    shape = np.ceil((high - low) / voxel_mm).astype(int) + 1
    affine = np.diag([voxel_mm, voxel_mm, voxel_mm, 1.0])
    affine[:3, 3] = (low + high) / 2 - voxel_mm * (shape - 1) / 2
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)


@dataclass(frozen=True, eq=False)
class Average:
    """The mean of a person's sessions, its brain, and its ways to the template and back."""

    head: Image
    mask: Image
    chain: Chain
    inverse: Chain

    @classmethod
    def load(cls, head: Path, mask: Path, average_to_template: Path, template_to_average: Path) -> "Average":
        """Read what `anat average` wrote."""
        chain, inverse = read_transform(average_to_template), read_transform(template_to_average)
        return cls(load_image(head, ndim=3), load_image(mask, ndim=3), chain, inverse)


def register_by_average(
    head: Image, mask: Image, average: Average, template: Template, *, registration_mm: float, seed: int = 0
) -> tuple[Attempt, dict[str, Any]]:
    """Register a session to the average of its person, and go on to the template by the way that all sessions share.

    Parameters
    ----------
    head, mask : Image (X, Y, Z)
        The session's T1w and its own brain mask.
    average : Average
        Of the person.
    template : Template
        The target.
    registration_mm : float
        The registration runs on voxels no finer than this, mm.
    seed : int, default=0
        Of the registration.

    Returns
    -------
    attempt : Attempt
        The whole way, and its scores; `average_ncc` is the correlation with the average after the rigid map.
    record : dict
        Engine, setting and scores, for the sidecars.
    """
    chain, inverse, correlation = to_average(head, mask, average, registration_mm=registration_mm, seed=seed)
    ways = (average.chain + chain, inverse + average.inverse)
    found = assess("by the person's average", ways, head, mask, template)
    found.numbers["average_ncc"] = correlation
    return found, {"Engine": "greedy", "Setting": found.name, "Tried": [{"Setting": found.name, **found.numbers}]}


def to_average(
    head: Image, mask: Image, average: Average, *, registration_mm: float, seed: int = 0
) -> tuple[Chain, Chain, float]:
    """Register a session to the average: rigid for where the head lay, then deformable for what has changed.

    Both brains are cut out by the average's mask, so that sessions do not differ by how their masks came out.

    Returns
    -------
    chain, inverse : tuple of transforms
        Average to session world points, and back.
    correlation : float
        Of the two brains after the rigid map.
    """
    fixed = no_finer(brain_image(average.head, average.mask), registration_mm)
    linear = rigid(fixed, no_finer(brain_image(head, mask), registration_mm), seed=seed)
    shared = resample(average.mask, head.grid, (linear.inverse(),)) > 0.5
    moving = no_finer(brain_image(head, head.like(shared)), registration_mm)
    inside = fixed.data > 0
    correlation = float(np.corrcoef(fixed.data[inside], resample(moving, fixed.grid, (linear,))[inside])[0, 1])
    chain, inverse = greedy_deformable(fixed, moving, initial=linear, how=BETWEEN_SESSIONS, seed=seed)
    return tuple(map(tapered, chain)), tuple(map(tapered, inverse)), correlation
