"""White matter and CSF on the BOLD grid: only voxels that hold nothing else."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neuromoe.imaging.geometry import Transform, apply_affine, map_points
from neuromoe.imaging.images import Image, resample

LEAST_VOXELS = 30
_SHARES = (0.95, 0.9, 0.8, 0.7, 0.6)


def pull_share(probability: Image, boldref: Image, chain: Sequence[Transform]) -> NDArray[np.float32]:
    """Return the tissue's share of each BOLD voxel; `chain` maps BOLD world to the world of `probability`."""
    # A box of a BOLD voxel has this spread; the finer image is averaged over it before it is sampled.
    spread = np.sqrt(np.maximum(boldref.voxel_mm.mean() ** 2 - probability.voxel_mm**2, 0) / 12)
    smooth = ndimage.gaussian_filter(probability.data, spread / probability.voxel_mm, output=np.float32)
    return resample(probability.like(smooth), boldref.grid, chain)


def push_share(probability: Image, boldref: Image, chain: Sequence[Transform]) -> NDArray[np.float32]:
    """Return the tissue's share of each BOLD voxel; `chain` maps the world of `probability` to BOLD world.

    Every voxel of `probability` is counted in the BOLD voxel it falls into: for a deformation whose inverse
    is not at hand, and a grid finer than the BOLD's.
    """
    shape = boldref.data.shape
    world = map_points(chain, probability.grid.world())
    voxels = np.rint(apply_affine(np.linalg.inv(boldref.affine), world)).astype(int)
    inside = ((voxels >= 0) & (voxels < shape)).all(axis=1)
    places = np.ravel_multi_index(tuple(voxels[inside].T), shape)
    total = np.bincount(places, probability.data.ravel()[inside], minlength=int(np.prod(shape)))
    count = np.bincount(places, minlength=int(np.prod(shape)))
    return (total / np.maximum(count, 1)).reshape(shape).astype(np.float32)


def noise_masks(shares: Mapping[str, NDArray], brain: NDArray) -> dict[str, NDArray[np.bool_]]:
    """Choose the voxels of white matter and CSF that stand for noise.

    Parameters
    ----------
    shares : mapping of "wm" and "csf" to array (X, Y, Z)
        Share of the tissue in each BOLD voxel, 0 to 1.
    brain : bool array (X, Y, Z)
        Brain mask; CSF is looked for in its inside first, which are the ventricles.

    Returns
    -------
    dict of "wm" and "csf" to bool array (X, Y, Z)
        At least 30 voxels each where the tissue is there at all, with the highest share that gives as many.
    """
    inner = ndimage.binary_erosion(brain, iterations=2)
    return {
        "wm": _purest(shares["wm"], (ndimage.binary_erosion(brain), brain)),
        "csf": _purest(shares["csf"], (inner, brain)),
    }


def _purest(share: NDArray, places: Sequence[NDArray]) -> NDArray[np.bool_]:
    candidates = [place & (share > least) for place in places for least in _SHARES]
    enough = [mask for mask in candidates if mask.sum() >= LEAST_VOXELS]
    return enough[0] if enough else candidates[-1]
