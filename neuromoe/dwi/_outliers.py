"""Slices whose signal was lost to motion during their read-out.

Axis letters: V volumes of a shell, Z slices.
"""

import numpy as np
from numpy.typing import NDArray

from neuromoe.dwi._motion import LEAST_DIRECTIONS, align
from neuromoe.dwi._prediction import predict_left_out
from neuromoe.imaging.gradients import Gradients
from neuromoe.registration.motion import mean_of_aligned

_LEAST_VOXELS = 20
_LEAST_LOSS = 0.1
# Lost slices spoil the predictions of their neighbours: found once, they are replaced and looked for again.
_ROUNDS = 2


def lost_slices(observed: NDArray, expected: NDArray, mask: NDArray, *, axis: int = 2, limit: float = 4.0) -> NDArray:
    """Find slices that are darker than expected.

    A slice counts when its mean lies `limit` robust standard deviations and a tenth of the signal below
    the prediction.

    Parameters
    ----------
    observed, expected : array (X, Y, Z, V)
        The volumes of a shell, and what the others predict, both as acquired.
    mask : bool array (X, Y, Z)
    axis : int, default=2
        Of the slices.
    limit : float, default=4
        Robust standard deviations.

    Returns
    -------
    bool array (Z, V)

    References
    ----------
    Andersson JLR et al. 2016, doi:10.1016/j.neuroimage.2016.06.058.
    """
    mask = np.moveaxis(mask, axis, 2)
    sizes = mask.sum(axis=(0, 1))
    seen = sizes >= _LEAST_VOXELS
    signal, wanted = (
        np.einsum("xyzv,xyz->zv", np.moveaxis(series, axis, 2), mask.astype(series.dtype))[seen] / sizes[seen, None]
        for series in (observed, expected)
    )
    relative = (signal - wanted) / np.maximum(np.median(wanted, axis=1, keepdims=True), 1e-6)
    relative = relative - np.median(relative, axis=0) if len(relative) else relative
    spread = 1.4826 * np.median(np.abs(relative)) + 1e-6 if relative.size else 1.0
    found = np.zeros((len(sizes), observed.shape[3]), bool)
    found[seen] = (relative < -limit * spread) & (relative < -_LEAST_LOSS)
    return found


def replace_lost(
    series: NDArray,
    affine: NDArray,
    gradients: Gradients,
    motion: NDArray,
    mask: NDArray,
    *,
    reach_rad: float,
    noise: float,
    axis: int = 2,
) -> tuple[NDArray, NDArray]:
    """Put what the other directions predict in place of slices that lost their signal.

    Parameters
    ----------
    series : array (X, Y, Z, V)
        As acquired, on one grid.
    affine : array (4, 4)
        Voxel to world, mm.
    gradients : Gradients
        World directions, not turned.
    motion : array (V, 4, 4)
        Reference world to each volume's world.
    mask : bool array (X, Y, Z)
        Brain in the reference.
    reach_rad, noise : float
        See `neuromoe.dwi._prediction.leave_one_out_weights`.
    axis : int, default=2
        Of the slices.

    Returns
    -------
    replaced : array (X, Y, Z, V)
    lost : bool array (Z, V)
        Over all volumes; shells of fewer than 6 directions and b=0 volumes are not looked at.
    """
    lost = np.zeros((series.shape[axis], len(gradients)), bool)
    replaced = series
    turned = gradients.rotated(np.linalg.inv(motion[:, :3, :3]))
    for shell in gradients.shells():
        if len(shell) < LEAST_DIRECTIONS:
            continue
        for _ in range(_ROUNDS):
            aligned = align(replaced[..., shell], affine, motion[shell])
            expected = align(
                predict_left_out(aligned, turned[shell], reach_rad, noise), affine, np.linalg.inv(motion[shell])
            )
            lost[:, shell] = lost_slices(series[..., shell], expected, mask, axis=axis)
            if not lost[:, shell].any():
                break
            replaced = replaced.copy() if replaced is series else replaced
            for place in np.argwhere(lost[:, shell]):
                index = [slice(None)] * 3
                index[axis] = place[0]
                replaced[(*index, shell[place[1]])] = expected[(*index, place[1])]
    return replaced, lost


def where_lost(lost: NDArray, shape: tuple[int, ...], affine: NDArray, motion: NDArray, axis: int = 2) -> NDArray:
    """Tell which voxels of the aligned volumes come from lost slices, bool (X, Y, Z, V).

    Nowhere more than a third of the volumes: the others must still determine the tensor.
    """
    found = np.zeros((*shape, lost.shape[1]), bool)
    for volume in np.flatnonzero(lost.any(axis=0)):
        along = np.moveaxis(np.zeros(shape, np.float32), axis, 2)
        along[:, :, lost[:, volume]] = 1
        marked = np.moveaxis(along, 2, axis)[..., None]
        found[..., volume] = mean_of_aligned(marked, affine, motion[[volume]]) > 0.1
    return found & (found.sum(axis=3) <= lost.shape[1] // 3)[..., None]
