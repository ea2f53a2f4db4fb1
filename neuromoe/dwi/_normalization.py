"""Tensor maps of a diffusion series and its way to the template, from arrays to arrays."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.errors import InputError
from neuromoe.dwi._by_dipy import fit_tensor_by_dipy
from neuromoe.dwi._tensor import Maps, fit_tensor, tensor_maps
from neuromoe.imaging.geometry import Grid, Transform, map_points
from neuromoe.imaging.gradients import LEAST_DIRECTIONS, Gradients, determines_tensor
from neuromoe.imaging.images import Image, resample, sample
from neuromoe.imaging.template import Template
from neuromoe.imaging.transforms import Affine, Chain

_DEFORMATION_MM = 3.0


def select_shell(gradients: Gradients, tolerance: float, where: object) -> NDArray:
    """Return the positions of the b=0 volumes and of the weakest shell that determines a tensor.

    Raises
    ------
    InputError
        No shell has six directions that span the tensor's six numbers.
    """
    shells = gradients.shells(tolerance)
    for shell in shells:
        if determines_tensor(gradients.directions[shell]):
            return np.sort(np.concatenate([np.flatnonzero(gradients.is_b0), shell]))
    found = ", ".join(f"{len(shell)} at b={np.median(gradients.bvals_s_mm2[shell]):.0f}" for shell in shells)
    raise InputError(
        expected=f"a shell of at least {LEAST_DIRECTIONS} directions that determine a tensor",
        found=found or "no weighted volume", where=str(where),
        fix="leave the image out, or widen `shell_tolerance`",
    )  # fmt: skip


def fit_maps(
    series: NDArray, gradients: Gradients, mask: NDArray, *, robust: bool = False, by: str = "torch"
) -> tuple[Maps, float]:
    """Fit tensors in the mask.

    Parameters
    ----------
    series : array (X, Y, Z, V)
    gradients : Gradients
        World directions.
    mask : bool array (X, Y, Z)
    robust : bool, default=False
        See `neuromoe.dwi._tensor.fit_tensor`; of our own fit alone.
    by : str, default="torch"
        `torch`, our own fit, or `dipy`.

    Returns
    -------
    maps : Maps
        Of the voxels in the mask, in C order.
    residual : float
        Median over voxels of the root mean square of what the tensor leaves, as a share of the b=0 signal.
    """
    signals = series[mask]
    tensor = fit_tensor_by_dipy(signals, gradients) if by == "dipy" else fit_tensor(signals, gradients, robust=robust)
    squares = np.where(signals > 0, tensor.predict(gradients) - signals, 0) ** 2
    left = np.sqrt(squares.sum(axis=1) / np.maximum((signals > 0).sum(axis=1), 1))
    share = left / np.maximum(tensor.s0, 1e-6)
    return tensor_maps(tensor), float(np.median(share)) if len(share) else float("nan")


def unmask(values: NDArray, mask: NDArray) -> NDArray:
    """Put the values (N[, 3]) of the mask's voxels back into a volume, zero elsewhere; float32."""
    volume = np.zeros((*mask.shape, *values.shape[1:]), np.float32)
    volume[mask] = values
    return volume


def carry(maps: dict[str, NDArray], mask: Image, grid: Grid, chain: Sequence[Transform]) -> dict[str, NDArray]:
    """Bring maps onto a grid in one interpolation that reads from the mask alone.

    Parameters
    ----------
    maps : dict of str to array (X, Y, Z)
        On the mask's grid, zero outside it.
    mask : Image (X, Y, Z)
        Where the maps are known.
    grid : Grid
        Where the results lie.
    chain : sequence of transforms
        World points of `grid` to world points of the maps.

    Returns
    -------
    dict of str to array
        Zero where less than half of a point's neighbourhood lies in the mask; `mask` tells where that is
        not so.
    """
    points = map_points(chain, grid.world())
    share = sample(mask, points)
    known = share > 0.5
    scale = np.where(known, 1 / np.maximum(share, 0.5), 0)
    carried = {name: (sample(mask.like(data), points) * scale).reshape(grid.shape) for name, data in maps.items()}
    return {**carried, "mask": known.reshape(grid.shape)}


def to_template_without_t1w(
    b0: Image, maps: dict[str, NDArray], mask: Image, template: Template, seed: int
) -> tuple[Chain, float]:
    """Register diffusion to the template directly.

    An affine by mutual information of the b=0 volume, then a deformation of an image with a T1w's order of
    tissues (white matter by its anisotropy, fluid by its diffusivity).

    Parameters
    ----------
    b0 : Image (X, Y, Z)
        Mean b=0 volume.
    maps : dict of str to array (X, Y, Z)
        `fa` and `md` (mm^2/s).
    mask : Image (X, Y, Z)
        Brain.
    template : Template
    seed : int

    Returns
    -------
    chain : tuple of transforms
        Template world to diffusion world.
    score : float
        Of the affine; see `neuromoe.registration.coregister.Coregistration`.
    """
    from neuromoe.registration.coregister import coregister
    from neuromoe.registration.greedy import Deformation, greedy_deformable

    brain = b0.like(np.where(mask.data > 0.5, b0.data, 0))
    fixed = template.brain
    found = coregister(brain, fixed, moving_mask=mask, fixed_mask=template.mask, dof=12, seed=seed, max_shift_mm=60)
    moving = b0.like(t1w_like(maps["fa"], maps["md"], mask.data > 0.5))
    # The deformation is no finer than the diffusion voxels: estimating it at 3 mm costs a third.
    coarse = fixed.grid.at_voxel_mm(max(_DEFORMATION_MM, float(fixed.voxel_mm.max())))
    chain, _ = greedy_deformable(
        Image(resample(fixed, coarse), coarse.affine),
        moving,
        initial=Affine(found.matrix),
        how=Deformation(iterations="60x40x10", smoothing="2.0vox 0.7vox"),
    )
    return chain, found.score


def t1w_like(fa: NDArray, md: NDArray, mask: NDArray) -> NDArray:
    """Make an image with a T1w's order of tissues: dark fluid, grey matter, bright white matter; float32.

    Examples
    --------
    >>> fa, md = np.array([0.05, 0.1, 0.6]), np.array([3e-3, 9e-4, 7e-4])
    >>> fluid, grey, white = t1w_like(fa, md, np.ones(3, bool))
    >>> bool(fluid < grey < white)
    True
    """
    tissue = np.clip((2.5e-3 - md) / 1.7e-3, 0, 1)
    return np.where(mask, tissue * (0.5 + np.clip(fa, 0, 0.7)), 0).astype(np.float32)


def field_of_view(image: Image, grid: Grid, chain: Sequence[Transform]) -> NDArray:
    """Tell which voxels of `grid` lie inside the image's field of view, bool (X, Y, Z)."""
    everywhere = image.like(np.ones(image.data.shape[:3], np.float32))
    return (sample(everywhere, map_points(chain, grid.world())) > 0.5).reshape(grid.shape)
