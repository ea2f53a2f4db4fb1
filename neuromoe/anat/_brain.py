"""Brain extraction: register the whole head to the template's, bring the template's mask back."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuromoe.anat._head import at_voxel_mm, crop_neck, foreground, stretch
from neuromoe.core.geometry import map_points, resample, rigid_matrix, sample
from neuromoe.core.greedy import greedy_affine, greedy_deformable
from neuromoe.core.images import Image
from neuromoe.core.template import Template
from neuromoe.core.transforms import Affine, Chain

# Volumes of brains from childhood to old age, with room for how tightly a mask is drawn, ml.
PLAUSIBLE_ML = (700.0, 2200.0)
# Heads with a right alignment reach .6 and more; a head laid wrongly stays below.
GOOD_CORRELATION = 0.6


@dataclass(frozen=True, eq=False)
class Brain:
    """A brain mask and how it was found.

    Parameters
    ----------
    mask : array (X, Y, Z) of bool
        On the grid of the head that was given.
    start : str
        The start of the registration that was kept.
    scores : dict
        Correlation with the template's head after each start.
    to_template : tuple of transforms
        World points of the head to world points of the template, as well as the mask needed it.
    """

    mask: NDArray
    start: str
    scores: dict[str, float]
    to_template: Chain


def find_brain(head: Image, template: Template, *, voxel_mm: float = 4.0, seed: int = 0) -> Brain:
    """Find the brain in a bias-corrected head.

    Parameters
    ----------
    head : Image (X, Y, Z)
        RAS+ order.
    template : Template
        With a whole head.
    voxel_mm : float, default=4.0
        Resolution of the registration. On real heads with a whole-head template 4 mm was level with 2 mm.
    seed : int, default=0
        Of the registration.
    """
    target = _within_reach(at_voxel_mm(template.head, voxel_mm), template)
    moving = at_voxel_mm(crop_neck(head), voxel_mm)
    start, affine, scores = _best_affine(target, moving, seed)
    # The scalp must not pull: the last steps look at the brain and what touches it.
    brain = resample(template.mask, target.grid) > 0.5
    near, touching = (target.like(_grown(brain, mm, target)) for mm in (8.0, 4.0))
    affine = greedy_affine(target, moving, initial=affine, fixed_mask=near, iterations="30x10", seed=seed)
    _, inverse = greedy_deformable(target, moving, initial=affine, fixed_mask=touching, iterations="60x20", seed=seed)
    coarse = sample(template.mask, map_points(inverse, moving.grid.world())).reshape(moving.data.shape)
    mask = _tidy(stretch(moving.like(coarse), head) > 0.5)
    # With nothing found the head itself is shown; its volume or its score tells that it is no brain.
    if not mask.any():
        mask = stretch(moving.like(foreground(moving) * 1.0), head) > 0.5
    return Brain(mask, start, scores, inverse)


def _best_affine(target: Image, moving: Image, seed: int) -> tuple[str, Affine, dict[str, float]]:
    """Try the starts in turn until one gives a good correlation; return the best."""
    affines: dict[str, Affine] = {}
    scores: dict[str, float] = {}
    for name, start in _starts(target, moving).items():
        affines[name] = _two_stages(target, moving, start, seed)
        scores[name] = correlation(target, moving, (affines[name],))
        if scores[name] >= GOOD_CORRELATION:
            break
    best = max(scores, key=lambda name: scores[name])
    return best, affines[best], scores


def _grown(mask: NDArray, radius_mm: float, image: Image) -> NDArray:
    from scipy.ndimage import distance_transform_edt

    return (distance_transform_edt(~mask, sampling=image.voxel_mm) <= radius_mm).astype(np.float32)


def _within_reach(target: Image, template: Template) -> Image:
    """Cut the template's head where a person's is cut: well below the brain."""
    lowest_mm = template.grid.world()[template.brain_mask.ravel(), 2].min() - 25
    bottom = max(0, int((lowest_mm - target.affine[2, 3]) / target.voxel_mm[2]))
    affine = target.affine.copy()
    affine[:3, 3] += target.affine[:3, 2] * bottom
    return Image(target.data[:, :, bottom:], affine)


def _starts(target: Image, moving: Image) -> dict[str, Affine]:
    """Lay the tops of the heads on each other, level and nodding 15 degrees either way."""
    anchor_target, anchor_moving = _anchor(target), _anchor(moving)
    starts = {}
    for name, degrees in (("level", 0.0), ("chin down", -15.0), ("chin up", 15.0)):
        shift = np.concatenate([anchor_moving - anchor_target, [np.deg2rad(degrees), 0, 0]])
        starts[name] = Affine(rigid_matrix(shift, anchor_target))
    return starts


def _anchor(head: Image) -> NDArray:
    """Return the middle of the uppermost 130 mm of the head, mm (3,)."""
    points = head.grid.world()[foreground(head).ravel()]
    return points[points[:, 2] > points[:, 2].max() - 130].mean(axis=0)


def _two_stages(target: Image, moving: Image, start: Affine, seed: int) -> Affine:
    similarity = greedy_affine(target, moving, initial=start, dof=7, iterations="60x30", seed=seed)
    return greedy_affine(target, moving, initial=similarity, iterations="60x30", seed=seed)


def correlation(target: Image, moving: Image, chain: Chain, inside: NDArray | None = None) -> float:
    """Correlate two images where `inside` (default: where the target is above zero)."""
    inside = target.data > 0 if inside is None else inside
    points = map_points(chain, target.grid.world()[inside.ravel()])
    return float(np.corrcoef(target.data[inside], sample(moving, points))[0, 1])


def _tidy(mask: NDArray) -> NDArray:
    """Leave out air and specks, fill holes."""
    from scipy.ndimage import binary_fill_holes, label

    pieces, _ = label(mask)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return binary_fill_holes(pieces == sizes.argmax()) if sizes.max() else mask


def volume_ml(mask: NDArray, image: Image) -> float:
    """Return the volume of a mask, ml."""
    return float(mask.sum() * np.prod(image.voxel_mm) / 1000)


def judge(brain: Brain, head: Image) -> tuple[str, list[str]]:
    """Judge a brain mask by its volume and by how the heads correlate: pass, warn or fail, and why."""
    volume, score = volume_ml(brain.mask, head), brain.scores[brain.start]
    low, high = PLAUSIBLE_ML
    if not low <= volume <= high:
        return "fail", [f"brain volume {volume:.0f} ml is outside {low:.0f}-{high:.0f} ml"]
    if score < GOOD_CORRELATION:
        return "warn", [f"the head correlates with the template's by {score:.2f}, less than {GOOD_CORRELATION}"]
    return "pass", []
