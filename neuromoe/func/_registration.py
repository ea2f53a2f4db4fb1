"""Where the BOLD lies: in the T1w, or straight in the template where there is no T1w."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuromoe.imaging.images import Image, largest_piece, resample, volume_ml
from neuromoe.imaging.template import Template
from neuromoe.imaging.transforms import Affine, Chain
from neuromoe.registration.coregister import Coregistration, coregister, lay_on_t1w
from neuromoe.registration.greedy import Deformation, greedy_deformable

_DEFORM_MM = 4.0
# Wider than any brain from birth on: a doubtful mask still tells more than none.
LEAST_BRAIN_ML, MOST_BRAIN_ML = 250.0, 2600.0
# Brightness of the tissues in a T2*-weighted image, relative to grey matter.
_WHITE, _FLUID = 0.8, 1.4


@dataclass(frozen=True, eq=False)
class Placement:
    """How the BOLD reference was brought to its target.

    Parameters
    ----------
    chain : tuple of transforms
        Target world to BOLD world, mm.
    brain : array (X, Y, Z)
        The target's brain on the BOLD grid, 0 to 1.
    found : Coregistration
        The linear part with its score and start.
    problems : tuple of str
        What is wrong with the target.
    """

    chain: Chain
    brain: NDArray
    found: Coregistration
    problems: tuple[str, ...] = ()


def place_in_t1w(
    boldref: Image, mask: NDArray, t1w: Image, t1w_mask: Image | None, *, seed: int, white: Image | None = None
) -> Placement:
    """Register the BOLD reference rigidly to the T1w of the same person; with its white matter, by FSL's epi_reg.

    An impossible brain mask of the T1w is not used.
    """
    problems = () if t1w_mask is None else mask_problems(t1w_mask)
    t1w_mask = None if problems else t1w_mask
    found = lay_on_t1w(boldref, t1w, moving_mask=boldref.like(mask), fixed_mask=t1w_mask, white=white, seed=seed)
    forward = Affine(found.matrix)
    if t1w_mask is None:
        return Placement((forward,), mask.astype(np.float32), found, problems)
    return Placement((forward,), brain_share(t1w_mask, boldref, (forward.inverse(),)), found)


def mask_problems(mask: Image) -> tuple[str, ...]:
    """Say why the T1w's brain mask cannot be one: no brain is as small, as large or in as many pieces."""
    inside = mask.data > 0.5
    volume = volume_ml(inside, mask.affine)
    if not LEAST_BRAIN_ML <= volume <= MOST_BRAIN_ML:
        return (f"the T1w's brain mask has {volume:.0f} ml and is not used",)
    share = largest_piece(inside).sum() / inside.sum()
    return (f"the T1w's brain mask is in pieces ({100 * share:.0f} % in one) and is not used",) if share < 0.9 else ()


def place_in_template(boldref: Image, mask: NDArray, template: Template, *, seed: int) -> Placement:
    """Register the BOLD reference to the template, linearly and then with a smooth deformation.

    The target is the template's tissues in the BOLD's contrast, so that a correlation can be used.
    """
    target, brain = _bold_contrast(template)
    moving = boldref.like(boldref.data * mask)
    found = coregister(boldref, target, moving_mask=boldref.like(mask), fixed_mask=brain, dof=12, seed=seed)
    smooth = Deformation(iterations="60x40", smoothing="3vox 1vox")
    chain, inverse = greedy_deformable(target, moving, initial=Affine(found.matrix), how=smooth, seed=seed)
    return Placement(chain, brain_share(brain, boldref, inverse), found)


def _bold_contrast(template: Template) -> tuple[Image, Image]:
    grid = template.grid.at_voxel_mm(_DEFORM_MM)
    parts = {name: resample(getattr(template, name), grid) for name in ("gm", "wm", "csf", "mask")}
    data = parts["gm"] + _WHITE * parts["wm"] + _FLUID * parts["csf"]
    return Image(data * (parts["mask"] > 0.5), grid.affine), Image(parts["mask"], grid.affine)


def brain_share(brain: Image, boldref: Image, chain: Chain) -> NDArray:
    """Return the share (X, Y, Z) of a brain in each voxel of the reference, whose world the chain leads from."""
    from scipy.ndimage import gaussian_filter

    # Smoothed to the BOLD's voxels, because a voxel at the rim is brain only in part.
    blur = 0.4 * np.maximum(boldref.voxel_mm.mean() / brain.voxel_mm - 1, 0)
    share = brain.like(gaussian_filter((brain.data > 0.5).astype(np.float32), blur))
    return resample(share, boldref.grid, chain)
