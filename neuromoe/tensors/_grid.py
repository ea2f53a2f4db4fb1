"""The tensor grid: a crop of the template grid around the brain, coarsened by whole-number block means.

Axis letters: C channel, X Y Z voxels of the template grid, D H W voxels of the tensor grid.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.errors import InputError


@dataclass(frozen=True, eq=False)
class TensorGrid:
    """Blocks of template voxels.

    Parameters
    ----------
    start : array (3,), int
        Template voxel where the first block begins; may lie before the template's own first voxel.
    factor : array (3,), int
        Template voxels per tensor voxel along each axis.
    shape : tuple of 3 int
        Tensor voxels.
    affine : array (4, 4)
        Tensor voxel to RAS+ world, mm.
    """

    start: NDArray
    factor: NDArray
    shape: tuple[int, int, int]
    affine: NDArray

    def crop(self, volume_XYZ: NDArray) -> NDArray:
        """Cut the grid's box out of a volume on the template grid, zeros beyond it (D*f, H*f, W*f)."""
        box = np.zeros(np.array(self.shape) * self.factor, volume_XYZ.dtype)
        low = np.maximum(self.start, 0)
        high = np.minimum(self.start + box.shape, volume_XYZ.shape)
        inside = tuple(slice(a, b) for a, b in zip(low - self.start, high - self.start, strict=True))
        box[inside] = volume_XYZ[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        return box

    def sum_blocks(self, volume_XYZ: NDArray) -> NDArray:
        """Add up the template voxels of each tensor voxel (D, H, W), float64."""
        d, h, w = self.shape
        a, b, c = self.factor
        return self.crop(volume_XYZ).reshape(d, a, h, b, w, c).sum(axis=(1, 3, 5), dtype=float)

    def brain(self, mask_XYZ: NDArray) -> NDArray:
        """Return the tensor voxels of which at least half is brain (D, H, W), bool."""
        return self.sum_blocks(np.asarray(mask_XYZ, bool)) >= self.factor.prod() / 2


def tensor_grid(mask_XYZ: NDArray, affine: NDArray, *, voxel_mm: float, patch: int) -> TensorGrid:
    """Lay the tensor grid around the brain.

    Parameters
    ----------
    mask_XYZ : array (X, Y, Z), bool
        The template's brain.
    affine : array (4, 4)
        Template voxel to RAS+ world, mm.
    voxel_mm : float
        Edge of a tensor voxel, a whole multiple of the template's.
    patch : int
        The shape is filled up to a multiple of this, evenly on both sides.

    Raises
    ------
    InputError
        `voxel_mm` is no whole multiple of the template's voxels, or the mask is empty.
    """
    fine_mm = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    factor = np.maximum(np.round(voxel_mm / fine_mm).astype(int), 1)
    if not np.allclose(factor * fine_mm, voxel_mm, rtol=1e-3) or not mask_XYZ.any():
        raise InputError(
            expected="a brain mask, and a voxel size that is a whole multiple of the template's",
            found=f"{voxel_mm:g} mm over {fine_mm.round(3).tolist()} mm, {int(mask_XYZ.sum())} brain voxels",
            where="tensors: voxel_mm",
            fix=f"set it to a multiple of template_voxel_mm, such as {2 * fine_mm[0]:g}",
        )
    occupied = np.argwhere(mask_XYZ)
    low, high = occupied.min(axis=0), occupied.max(axis=0) + 1
    step = factor * patch
    blocks = -(-(high - low) // step)
    start = low - (blocks * step - (high - low)) // 2
    coarse = affine.astype(float).copy()
    coarse[:3, 3] = affine[:3, :3] @ (start + (factor - 1) / 2) + affine[:3, 3]
    coarse[:3, :3] = affine[:3, :3] * factor
    d, h, w = (int(count) * patch for count in blocks)
    return TensorGrid(start, factor, (d, h, w), coarse)
