"""The registration of a brain to the template."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neuromoe.anat._head import at_voxel_mm
from neuromoe.anat._jacobian import determinants, log_jacobian
from neuromoe.imaging.geometry import Grid
from neuromoe.imaging.images import Image, dice, sample
from neuromoe.imaging.template import Template
from neuromoe.imaging.transforms import Affine, Chain, Displacement
from neuromoe.registration.greedy import Deformation, greedy_affine, greedy_field, greedy_inverse

MARGIN_MM, TAPER_MM = 16.0, 10.0


@dataclass(frozen=True)
class Preset:
    """Settings of greedy.

    Parameters
    ----------
    affine, deformable : str
        Iterations from the coarsest to the finest level.
    smoothing : str
        Standard deviation of the smoothing of each step and of the whole field.
    freer : str, optional
        Iterations of the deformable part once more, without smoothing of the whole field, where the brain asks for it.
    """

    affine: str
    deformable: str
    smoothing: str
    freer: str | None = None


PRESETS = {
    "sloppy": Preset("60x20x0", "50x20x0", "1.732vox 0.707vox"),
    "fast": Preset("60x40x0", "100x50x10", "2vox 1vox", "100x70x20"),
    "precise": Preset("60x40x0", "100x100x40", "2vox 1vox", "100x100x40"),
    "precise, smoother": Preset("60x40x0", "100x100x40", "3vox 1vox"),
}
# The log-Jacobian of a brain that a smooth map explains spreads less than this; see docs/methods.md.
ROUGH = 0.18
FREE = Deformation(metric="NCC 4x4x4", smoothing="1.732vox 0vox", step=0.25)
# A freer map is drawn towards the smooth one, by these shares, until no volume is below the least.
DRAWN, LEAST_VOLUME = (0.0, 0.05, 0.1, 0.2, 0.4, 1.0), 0.005


def brain_image(head: Image, mask: Image) -> Image:
    """Cut the brain out, with a margin of zeros."""
    inside = mask.data > 0.5
    low, high = (np.array(edge) for edge in zip(*((i.min(), i.max() + 1) for i in np.nonzero(inside)), strict=True))
    margin = np.ceil(MARGIN_MM / head.voxel_mm).astype(int)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    widths = [(int(m), int(m)) for m in margin]
    affine = head.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ (low - margin)
    return Image(np.pad(np.where(inside, head.data, 0)[box], widths), affine)


def register(
    brain: Image,
    template: Template,
    *,
    voxel_mm: float,
    preset: str = "fast",
    iterations: str | None = None,
    seed: int = 0,
) -> tuple[Chain, Chain, float]:
    """Register a brain to the template's brain by greedy.

    A brain whose map is rough, although smoothed, is registered once more with a freer map.

    Parameters
    ----------
    brain : Image (X, Y, Z)
        Zero outside the brain.
    template : Template
        The target.
    voxel_mm : float
        Neither image is used on finer voxels than this, mm.
    preset : str, default="fast"
        One of :data:`PRESETS`.
    iterations : str, optional
        Of the deformable part, in place of the preset's; no freer map is tried then.
    seed : int, default=0
        Of the registration.

    Returns
    -------
    chain, inverse : tuple of transforms
        Template to T1w world points, and back.
    freer : float
        Share of the freer map in the deformation, 0 where only the smooth one was made.
    """
    how = PRESETS[preset]
    fixed, moving = _coarse(brain, template, voxel_mm)
    start = Affine(centers_on_each_other(fixed, moving))
    affine = greedy_affine(fixed, moving, initial=start, iterations=how.affine, seed=seed)
    smooth = Deformation(iterations=iterations or how.deformable, smoothing=how.smoothing)
    field = greedy_field(fixed, moving, initial=affine, how=smooth, seed=seed)
    freer = 0.0
    if how.freer and not iterations and roughness(field, fixed) > ROUGH:
        print("a rough map: once more with a freer one", flush=True)
        free = greedy_field(fixed, moving, initial=affine, how=replace(FREE, iterations=how.freer), seed=seed)
        field, freer = unfolded(free, field, fixed)
    return (tapered(field), affine), (affine.inverse(), tapered(greedy_inverse(field))), freer


def roughness(field: Displacement, brain: Image) -> float:
    """Return the standard deviation of a displacement's log-Jacobian in a brain, zero outside, on the same grid."""
    return float(log_jacobian(_volumes(field))[brain.data > 0].std())


def _volumes(field: Displacement) -> NDArray:
    grid = Grid(field.field.shape[:3], field.affine)
    return determinants(grid.world() + field.field.reshape(-1, 3), grid)


def unfolded(free: Displacement, smooth: Displacement, brain: Image) -> tuple[Displacement, float]:
    """Draw a displacement towards a smoother one until nothing in the brain folds; return its share, too."""
    for share in DRAWN:
        mixed = Displacement((1 - share) * free.field + share * smooth.field, free.affine)
        if _volumes(mixed)[brain.data > 0].min() > LEAST_VOLUME:
            break
    return mixed, 1 - share


def _coarse(brain: Image, template: Template, voxel_mm: float) -> tuple[Image, Image]:
    """Return the template's brain and the brain on voxels no finer than `voxel_mm`."""
    fixed = no_finer(brain_image(template.head, template.mask), voxel_mm)
    return fixed, at_voxel_mm(brain, max(voxel_mm, float(brain.voxel_mm.min())))


def no_finer(image: Image, voxel_mm: float) -> Image:
    """Return the image, on cubic voxels of `voxel_mm` if its own are finer."""
    return image if image.voxel_mm.min() >= voxel_mm else at_voxel_mm(image, voxel_mm)


def register_by_ants(brain: Image, template: Template, *, voxel_mm: float, kind: str, seed: int) -> tuple[Chain, Chain]:
    """Register a brain to the template's brain by ANTs; `kind` is one of :data:`neuromoe.registration.ants.KINDS`."""
    from neuromoe.registration.ants import ants_deformable

    chain, inverse = ants_deformable(*_coarse(brain, template, voxel_mm), kind=kind, seed=seed)
    return tuple(map(tapered, chain)), tuple(map(tapered, inverse))


def register_by_fsl(brain: Image, template: Template) -> tuple[Chain, Chain]:
    """Register a brain to the template's brain by FLIRT and FNIRT; results as :func:`register` has them."""
    from neuromoe.fsl import fnirt

    chain, inverse = fnirt(brain_image(template.head, template.mask), brain)
    return tuple(map(tapered, chain)), tuple(map(tapered, inverse))


def tapered(transform: Affine | Displacement) -> Affine | Displacement:
    """Let a displacement fade to zero at the edge of its grid, as it is zero beyond."""
    if isinstance(transform, Affine):
        return transform
    weight = np.ones(transform.field.shape[:3], np.float32)
    voxel_mm = np.sqrt((transform.affine[:3, :3] ** 2).sum(axis=0))
    for axis in range(3):
        size = int(weight.shape[axis])
        to_edge_mm = np.minimum(np.arange(size), np.arange(size)[::-1]) * voxel_mm[axis]
        fade = np.clip(to_edge_mm / TAPER_MM, 0, 1).astype(np.float32)
        weight *= fade.reshape([-1 if a == axis else 1 for a in range(3)])
    return Displacement(transform.field * weight[..., None], transform.affine)


def centers_on_each_other(fixed: Image, moving: Image) -> NDArray:
    """Return the shift (4, 4) of the centre of a brain, zero outside, onto that of another."""
    centers = [image.grid.world()[image.data.ravel() > 0].mean(axis=0) for image in (fixed, moving)]
    matrix = np.eye(4)
    matrix[:3, 3] = centers[1] - centers[0]
    return matrix


def on_template(image: Image, grid: Grid, points: NDArray) -> NDArray:
    """Bring a map onto the template's grid in one linear interpolation.

    Parameters
    ----------
    image : Image (X, Y, Z)
        A map that is nowhere negative.
    grid : Grid
        The template's.
    points : array (N, 3)
        World points of the image for each voxel of the grid, mm.
    """
    return np.clip(sample(image, points), 0, None).reshape(grid.shape)


def overlap(head: Image, mask: Image, template: Template, points: NDArray) -> dict[str, float]:
    """Return how well brain and template agree.

    Parameters
    ----------
    head, mask : Image (X, Y, Z)
        The T1w and its brain.
    template : Template
        The target.
    points : array (N, 3)
        World points of the T1w for each voxel of the template, mm.

    Returns
    -------
    dict
        `template_dice`, of the masks within the image's field of view, and `template_ncc`, the correlation of the
        brains.
    """
    brought = on_template(mask, template.grid, points) > 0.5
    seen = on_template(mask.like(np.ones_like(mask.data)), template.grid, points) > 0.5
    expected = template.brain_mask & seen
    both = brought & expected
    agreement = float("nan")
    if both.any():
        values = on_template(head, template.grid, points)[both]
        agreement = float(np.corrcoef(values, template.head.data[both])[0, 1])
    return {
        "template_dice": dice(brought, expected),
        "template_ncc": agreement,
    }
