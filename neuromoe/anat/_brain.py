"""Brain extraction: register the whole head to the template's, bring its mask back, let the border follow the image."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from neuromoe.anat._edge import settle
from neuromoe.anat._head import at_voxel_mm, crop_neck, foreground, stretch
from neuromoe.anat._start import Alignment, align, better, correlation, detail_correlation, linear
from neuromoe.imaging.geometry import map_points
from neuromoe.imaging.images import Image, dice, resample, sample, solid
from neuromoe.imaging.template import Template
from neuromoe.imaging.transforms import Affine, Chain
from neuromoe.registration.greedy import Deformation, greedy_deformable

# How far around the brain the last linear and the deformable step look, mm.
NEAR_MM, TOUCHING_MM = 8.0, 4.0


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
    numbers : dict
        What the mask is judged by.
    """

    mask: NDArray[np.bool_]
    start: str
    scores: dict[str, float]
    to_template: Chain
    numbers: dict[str, float] = field(default_factory=dict)


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
    inside = resample(template.mask, target.grid) > 0.5
    near, touching = (_grown(inside, mm, target) for mm in (NEAR_MM, TOUCHING_MM))
    heads = {"cropped": at_voxel_mm(crop_neck(head), voxel_mm), "whole": at_voxel_mm(head, voxel_mm)}
    best, scores = align(target, inside, heads, seed)
    # The scalp must not pull: the last steps look at the brain and what touches it.
    affine, inverse, fits = _fit(target, best, inside, near, touching, seed)
    coarse = sample(template.mask, map_points(inverse, best.moving.grid.world())).reshape(best.moving.data.shape)
    found = solid(stretch(best.moving.like(coarse), head) > 0.5)
    numbers = _numbers(affine) | fits | {"turn_deg": best.turn_deg}
    if found.any():
        edge = settle(head, found)
        found = solid(edge.mask)
        numbers |= {"edge_shift_mm": edge.shift_mm, "edge_contrast": edge.contrast, "edge_share": edge.rim_share}
    # With nothing found the head itself is shown, and fails.
    if not found.any():
        found = stretch(best.moving.like(foreground(best.moving) * 1.0), head) > 0.5
        numbers["edge_contrast"] = 0.0
    return Brain(found, best.start, scores, inverse, numbers)


def with_mask(brain: Brain, mask: NDArray[np.bool_]) -> Brain:
    """Take another mask, and judge it by how it overlaps the one found and not by the border of that one."""
    numbers = {name: value for name, value in brain.numbers.items() if not name.startswith("edge_")}
    numbers["template_dice"] = dice(mask, brain.mask)
    return replace(brain, mask=mask, numbers=numbers)


def _fit(
    target: Image, best: Alignment, inside: NDArray, near: NDArray, touching: NDArray, seed: int
) -> tuple[Affine, Chain, dict[str, float]]:
    """Refine the linear map near the brain, then deform; return both and how the brains correlate."""
    masks = [target.like(region.astype(np.float32)) for region in (near, touching)]
    nearer = linear(target, best.moving, best.affine, fixed_mask=masks[0], iterations="30x10", seed=seed)
    _, affine = better(target, best.moving, best.affine, nearer, inside)
    chain, inverse = greedy_deformable(
        target, best.moving, initial=affine, fixed_mask=masks[1], how=Deformation(iterations="60x20"), seed=seed
    )
    fits = {
        "brain_ncc": correlation(target, best.moving, chain, inside),
        "detail_ncc": detail_correlation(target, best.moving, chain, inside),
    }
    return affine, inverse, fits


def _numbers(affine: Affine) -> dict[str, float]:
    scales = np.linalg.svd(affine.matrix[:3, :3], compute_uv=False)
    return {"affine_volume": float(scales.prod()), "affine_stretch": float(scales[0] / scales[-1])}


def _grown(mask: NDArray, radius_mm: float, image: Image) -> NDArray:
    from scipy.ndimage import distance_transform_edt

    return distance_transform_edt(~mask, sampling=image.voxel_mm) <= radius_mm


def _within_reach(target: Image, template: Template) -> Image:
    """Cut the template's head where a person's is cut: well below the brain."""
    lowest_mm = template.grid.world()[template.brain_mask.ravel(), 2].min() - 25
    bottom = max(0, int((lowest_mm - target.affine[2, 3]) / target.voxel_mm[2]))
    affine = target.affine.copy()
    affine[:3, 3] += target.affine[:3, 2] * bottom
    return Image(target.data[:, :, bottom:], affine)
