"""Volumes as stacks of tensors: smoothed, made finer, and looked up at moved places.

Axis letters: V volume, N point.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CHUNK_BYTES = 8 * 2**20
_KERNEL_REACH = 3.5
# Weights of the kernel below this share of its peak are left out.
_NEGLIGIBLE = 1e-3
Fineness = tuple[int, int, int]
_WHOLE: Fineness = (1, 1, 1)


def chunks(series: NDArray, fineness: Fineness = _WHOLE) -> Iterator[slice]:
    """Yield slices of a few volumes: arrays that fit the allocator's reused memory take half the time."""
    count = max(1, CHUNK_BYTES // (4 * int(np.prod(series.shape[:3]) * np.prod(fineness))))
    return (slice(start, start + count) for start in range(0, series.shape[3], count))


def to_voxels(motion: NDArray, affine: NDArray) -> NDArray[np.float64]:
    """Return the motion as matrices between voxel indices."""
    return np.linalg.inv(affine) @ motion @ affine


def stack_of(series: NDArray) -> Tensor:
    """Return a volume (X, Y, Z) or volumes (X, Y, Z, V) as a contiguous (V, X, Y, Z)."""
    array = series[..., None] if series.ndim == 3 else series
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(array, 3, 0), dtype=np.float32))


def smooth(stack: Tensor, affine: NDArray, fwhm_mm: float, fineness: Fineness = _WHOLE) -> Tensor:
    """Smooth (V, X, Y, Z) with a Gaussian, on a grid `fineness` times as fine; the border has weights of its own."""
    sigma = fwhm_mm / 2.3548 / np.linalg.norm(affine[:3, :3], axis=0)
    # The last axis first: it is the slowest to take apart, and the array is still small.
    for axis in (3, 2, 1):
        count = fineness[axis - 1]
        shape = list(stack.shape)
        # Beyond the last voxel there is nothing to weigh.
        shape[axis] = count * (shape[axis] - 1) + 1
        finer = stack.new_empty(shape)
        for part in range(count):
            places = [slice(None)] * 4
            places[axis] = slice(part, None, count)
            _smooth_along(stack, axis, sigma[axis - 1], part / count, finer[tuple(places)])
        stack = finer
    return stack


def _smooth_along(stack: Tensor, axis: int, sigma: float, shift: float, out: Tensor) -> None:
    """Put Gaussian means at the voxels' places plus `shift` voxels along one axis into `out`."""
    size, wanted = stack.shape[axis], out.shape[axis]
    reach = min(int(np.ceil(_KERNEL_REACH * sigma)), size - 1)
    steps = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * ((steps - shift) / max(sigma, 1e-3)) ** 2)
    kernel /= max(kernel.sum(), 1e-12)
    torch.mul(stack.narrow(axis, 0, wanted), float(kernel[reach]), out=out)
    present, peak = np.full(wanted, kernel[reach]), kernel.max()
    # Sums of shifted volumes: a matrix product or a convolution of torch takes ten times as long for few taps.
    for step, weight in zip(steps.tolist(), kernel.tolist(), strict=True):
        first, last = max(-step, 0), min(size - step, wanted)
        if step and last > first and weight > _NEGLIGIBLE * peak:
            out.narrow(axis, first, last - first).add_(stack.narrow(axis, first + step, last - first), alpha=weight)
            present[first:last] += weight
    for place in np.flatnonzero(present < 1 - 1e-6):
        out.select(axis, int(place)).mul_(float(1 / max(present[place], 1e-12)))


def sample(
    stack: Tensor, voxel_motion: NDArray, voxels_N3: Tensor, fineness: Fineness = _WHOLE
) -> tuple[Tensor, Tensor]:
    """Return values (V, N) of the stack (V, X, Y, Z) at the moved voxels, and 1 where inside, else 0."""
    # grid_sample wants coordinates from -1 to 1, fastest axis first: both are put into the matrix.
    scale = 2 / np.maximum((np.array(stack.shape[1:]) - 1) / fineness, 1)
    matrix = voxel_motion[:, :3] * scale[:, None]
    matrix[:, :, 3] -= 1
    columns = torch.from_numpy(matrix[:, ::-1].transpose(0, 2, 1).astype(np.float32))
    places = torch.baddbmm(columns[:, 3:], voxels_N3.expand(len(stack), -1, -1), columns[:, :3])
    inside = (places.abs().amax(dim=2) <= 1 + 1e-5).float()
    sampled = torch.nn.functional.grid_sample(
        stack[:, None], places[:, None, None], padding_mode="border", align_corners=True
    )
    return sampled[:, 0, 0, 0], inside
