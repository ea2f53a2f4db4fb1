"""Which file is which channel, and a channel's values made alike between people.

Axis letters: C channel, X Y Z voxels of the template grid, D H W voxels of the tensor grid.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.errors import InputError
from neuromoe.tensors._grid import TensorGrid

# Entities whose value can name a channel; beside them, the suffix can.
_ENTITIES = ("label", "stat", "param", "desc")
# In these 0 is a value like any other; elsewhere exactly 0 means that the image does not reach there.
_ZERO_IS_A_VALUE = ("_probseg.", "_stat-logjacobian_", "_stat-modulatedGM_")


def channel_files(paths: list[Path], channels: list[str], modality: str) -> list[Path]:
    """Find the file of each channel by the entities and the suffix of its name.

    Raises
    ------
    InputError
        A channel has no file, or several.

    Examples
    --------
    >>> files = [Path("sub-1_param-md_dwimap.nii.gz"), Path("sub-1_param-fa_dwimap.nii.gz")]
    >>> [path.name for path in channel_files(files, ["fa", "md"], "dwi")]
    ['sub-1_param-fa_dwimap.nii.gz', 'sub-1_param-md_dwimap.nii.gz']
    """
    found = {channel: [path for path in paths if channel in _names(path)] for channel in channels}
    wrong = {channel: files for channel, files in found.items() if len(files) != 1}
    if wrong:
        raise InputError(
            expected=f"one {modality} file for each of {', '.join(channels)}",
            found="; ".join(f"{name}: {', '.join(p.name for p in files) or 'none'}" for name, files in wrong.items()),
            where=f"tensors.pack.{modality}_channels",
            fix=f"name them by an entity or the suffix of {', '.join(p.name for p in paths) or 'a map'}",
        )
    return [files[0] for files in found.values()]


def _names(path: Path) -> set[str]:
    *entities, suffix = path.name.split(".")[0].split("_")
    pairs = (entity.partition("-") for entity in entities)
    return {suffix, *(value for key, _, value in pairs if key in _ENTITIES)}


def reached(volumes: list[NDArray], paths: list[Path]) -> NDArray:
    """Tell which template voxels the session's images reach (X, Y, Z)."""
    there = np.ones(volumes[0].shape, bool)
    for volume, path in zip(volumes, paths, strict=True):
        if not any(part in path.name for part in _ZERO_IS_A_VALUE):
            there &= volume != 0
    return there


def coarsen(volumes: list[NDArray], there_XYZ: NDArray, mask_XYZ: NDArray, grid: TensorGrid) -> tuple[NDArray, NDArray]:
    """Average each block's template voxels that are brain and that the images reach.

    Returns
    -------
    values : array (C, D, H, W), float64
        0 where not `known`.
    known : array (D, H, W), bool
        Brain of which the images reach at least half.
    """
    used = there_XYZ & mask_XYZ
    count, brain_count = grid.sum_blocks(used), grid.sum_blocks(mask_XYZ)
    known = grid.brain(mask_XYZ) & (2 * count >= brain_count)
    sums = np.stack([grid.sum_blocks(np.where(used, volume, 0)) for volume in volumes])
    return np.where(known, sums / np.maximum(count, 1), 0.0), known


def standardize(values_CDHW: NDArray, known_DHW: NDArray, *, tail: float, limit: float) -> NDArray:
    """Bring each channel to mean 0 and standard deviation 1 over its own known voxels.

    Parameters
    ----------
    values_CDHW : array (C, D, H, W)
        From :func:`coarsen`.
    known_DHW : array (D, H, W), bool
        Voxels that count.
    tail : float
        Share of the voxels at either end that is pulled in to the rest before mean and deviation are taken.
    limit : float
        Largest value, in standard deviations.

    Returns
    -------
    array (C, D, H, W), float16
        0 where not known, and all over a channel without spread.
    """
    result = np.zeros(values_CDHW.shape, np.float16)
    for channel, volume in enumerate(values_CDHW):
        values = volume[known_DHW]
        trimmed = np.clip(values, *np.quantile(values, [tail, 1 - tail]))
        deviation = trimmed.std()
        # A channel that is constant but for rounding has no spread to scale by.
        if deviation > 1e-6 * max(np.abs(trimmed).max(), np.finfo(float).tiny):
            result[channel][known_DHW] = np.clip((values - trimmed.mean()) / deviation, -limit, limit)
    return result
