"""Volumes cut into patches, the tokens of the encoders.

Axis letters: N people, C channel, D H W voxels along x y z, T token, F voxels of a patch over all channels.
"""

import numpy as np
from numpy.typing import NDArray

PATCH = 4


def patch_grid(shape: tuple[int, ...], patch: int = PATCH) -> tuple[int, int, int]:
    """Count the patches along each axis; the last ones may reach beyond the volume.

    Examples
    --------
    >>> patch_grid((8, 9, 4))
    (2, 3, 1)
    """
    d, h, w = (-(-size // patch) for size in shape)
    return d, h, w


def cut_patches(maps_NCDHW: NDArray, patch: int = PATCH) -> NDArray:
    """Cut volumes into patches in C order of the patch grid.

    Parameters
    ----------
    maps_NCDHW : array (N, C, D, H, W)
        Volumes; sides that are no multiple of `patch` are filled up with zeros.
    patch : int, default=4
        Side of a patch, voxels.

    Returns
    -------
    array (N, T, F)
        One row per patch, F = C * patch**3: channels first, then x, y, z.
    """
    n, channels, *shape = maps_NCDHW.shape
    d, h, w = patch_grid(tuple(shape), patch)
    filling = [(0, count * patch - size) for count, size in zip((d, h, w), shape, strict=True)]
    if any(after for _, after in filling):
        maps_NCDHW = np.pad(maps_NCDHW, [(0, 0), (0, 0), *filling])
    blocks = maps_NCDHW.reshape(n, channels, d, patch, h, patch, w, patch)
    return blocks.transpose(0, 2, 4, 6, 1, 3, 5, 7).reshape(n, d * h * w, channels * patch**3)


def brain_patches(mask_DHW: NDArray, patch: int = PATCH) -> NDArray:
    """Find the patches that touch the mask.

    Parameters
    ----------
    mask_DHW : array (D, H, W), bool
        The brain.
    patch : int, default=4
        Side of a patch, voxels.

    Returns
    -------
    array (T, 3), int
        Places on the patch grid, in C order.
    """
    touched = cut_patches(np.asarray(mask_DHW, bool)[None, None], patch)[0].any(axis=1)
    return np.argwhere(touched.reshape(patch_grid(mask_DHW.shape, patch)))


def flat_places(places_T3: NDArray, grid: tuple[int, int, int]) -> NDArray:
    """Give the row of each place among all patches of the grid (T,)."""
    return np.ravel_multi_index(tuple(np.asarray(places_T3).T), grid)


def spread_patches(tokens_NTF: NDArray, places_T3: NDArray, grid: tuple[int, int, int]) -> NDArray:
    """Put in-brain patches back on the full grid, zeros elsewhere (N, D*H*W, F)."""
    n, _, features = tokens_NTF.shape
    full = np.zeros((n, int(np.prod(grid)), features), tokens_NTF.dtype)
    full[:, flat_places(places_T3, grid)] = tokens_NTF
    return full


def join_patches(tokens_NTF: NDArray, places_T3: NDArray, grid: tuple[int, int, int], patch: int = PATCH) -> NDArray:
    """Undo :func:`cut_patches`: the volumes (N, C, D, H, W), zero outside the given patches."""
    d, h, w = grid
    full = spread_patches(tokens_NTF, places_T3, grid)
    blocks = full.reshape(len(full), d, h, w, -1, patch, patch, patch)
    return blocks.transpose(0, 4, 1, 5, 2, 6, 3, 7).reshape(len(full), -1, d * patch, h * patch, w * patch)
