"""Inverse compositional Gauss-Newton fit of rigid motion, all volumes at once.

Axis letters: V volume, N point of the reference in the mask, K column of the model (6 rigid, gain, offset).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from torch import Tensor

CHUNK_BYTES = 8 * 2**20
ARC_MM = 50.0
STOP_MM = 2e-3
LONGEST_STEP_MM = 8.0
# Where Tukey's weight becomes zero, in robust standard deviations: 95 % efficient in Gaussian noise.
TUKEY = 4.685
ROUNDS = 3
_KERNEL_REACH, _SMOOTH_ENOUGH = 3.5, 1.25
Fineness = tuple[int, int, int]
_WHOLE: Fineness = (1, 1, 1)


@dataclass(frozen=True)
class Level:
    """One resolution.

    Parameters
    ----------
    fwhm_mm : float
        Smoothing.
    points, steps : int
        How many places are compared, and Gauss-Newton steps, both at most.
    sharp : bool
        Interpolate the smoothed volumes between half voxels: between whole ones, a volume looks blurred the more
        the farther it lies from the grid, which draws the estimate towards the grid.
    """

    fwhm_mm: float
    points: int
    steps: int
    sharp: bool = False

    def fineness(self, affine: NDArray) -> Fineness:
        """Return into how many parts each axis' voxels are divided; smooth volumes need no more than one."""
        sigma = self.fwhm_mm / 2.3548 / np.linalg.norm(affine[:3, :3], axis=0)
        x, y, z = np.where(self.sharp & (sigma < _SMOOTH_ENOUGH), 2, 1).tolist()
        return x, y, z


def fit_level(
    series: NDArray,
    reference: NDArray,
    affine: NDArray,
    mask: NDArray,
    weights: NDArray | None,
    motion: NDArray,
    level: Level,
    robust: bool,
) -> NDArray[np.float64]:
    """Refine `motion` (V, 4, 4) of volumes (X, Y, Z, V) to a reference (X, Y, Z[, V]) at one resolution."""
    points = points_of(mask, affine, level)
    factor = torch.ones(len(points)) if weights is None else torch.from_numpy(weights[tuple(points.T)])
    shared = model_of(reference, affine, points, factor, level) if reference.ndim == 3 else None
    refined, fineness = motion.copy(), level.fineness(affine)
    for volumes in chunks(series, fineness):
        model = shared or model_of(reference[..., volumes], affine, points, factor, level)
        stack = smooth(stack_of(series[..., volumes]), affine, level.fwhm_mm, fineness)
        refined[volumes] = _fit_stack(stack, model, factor[None], motion[volumes], affine, level.steps, robust)
    return refined


def _fit_stack(
    stack: Tensor, model: "Model", weights: Tensor, motion: NDArray, affine: NDArray, steps: int, robust: bool
) -> NDArray[np.float64]:
    found = fit(stack, model, weights, motion, affine, steps)
    if not robust:
        return found
    for _ in range(ROUNDS):
        trusted = trust(stack, model, weights, to_voxels(found, affine))
        found = fit(stack, model, trusted, found, affine, steps)
    return found


def chunks(series: NDArray, fineness: Fineness = _WHOLE) -> Iterator[slice]:
    """Yield slices of a few volumes: arrays that fit the allocator's reused memory take half the time."""
    count = max(1, CHUNK_BYTES // (4 * int(np.prod(series.shape[:3]) * np.prod(fineness))))
    return (slice(start, start + count) for start in range(0, series.shape[3], count))


def points_of(mask: NDArray, affine: NDArray, level: Level) -> NDArray[np.intp]:
    """Return the voxels (N, 3) of the mask that are compared, thinned where there are more than enough."""
    voxels = np.argwhere(mask)
    voxel_mm = np.linalg.norm(affine[:3, :3], axis=0)
    # Neighbours closer than a third of the smoothing tell nothing new.
    stride = np.maximum(1, np.floor(level.fwhm_mm / 3 / voxel_mm)).astype(int)
    thinned = voxels[(voxels % stride == 0).all(axis=1)]
    thinned = thinned if len(thinned) >= 500 else voxels
    return thinned[:: max(1, -(-len(thinned) // level.points))]


@dataclass(frozen=True)
class Model:
    """The reference at the points and its derivatives; a leading axis of 1 or V. Volumes are as fine as `fineness`."""

    voxels_N3: Tensor
    center_mm: NDArray
    reference_VN: Tensor
    columns_VNK: Tensor
    normal_VKK: Tensor
    fineness: Fineness


def model_of(reference: NDArray, affine: NDArray, points: NDArray, weights_N: Tensor, level: Level) -> Model:
    """Prepare the reference and its derivatives at the points."""
    stack = smooth(stack_of(reference), affine, level.fwhm_mm)
    stack = stack / stack.flatten(1).abs().amax(dim=1)[:, None, None, None].clamp(min=1e-12)
    world = points @ affine[:3, :3].T + affine[:3, 3]
    center = world.mean(axis=0)
    index = tuple(torch.from_numpy(points.T.copy()))
    gradient_VN3, values_VN1 = _gradient(stack, index, affine), stack[:, *index][..., None]
    offset_VN3 = torch.from_numpy((world - center).astype(np.float32)).expand_as(gradient_VN3)
    arc_VN3 = torch.linalg.cross(offset_VN3, gradient_VN3) / ARC_MM
    columns_VNK = torch.cat([gradient_VN3, arc_VN3, values_VN1, torch.ones_like(values_VN1)], dim=2)
    normal = torch.matmul((columns_VNK * weights_N[:, None]).transpose(1, 2).double(), columns_VNK.double())
    voxels_N3 = torch.from_numpy(points.astype(np.float32))
    return Model(
        voxels_N3, center, values_VN1[..., 0].contiguous(), columns_VNK.contiguous(), normal, level.fineness(affine)
    )


def _gradient(stack: Tensor, index: tuple, affine: NDArray) -> Tensor:
    """Return the gradient per mm along the world axes at the points, (V, N, 3)."""
    along = [difference[:, *index] for difference in torch.gradient(stack, dim=(1, 2, 3))]
    to_world = torch.from_numpy(np.linalg.inv(affine[:3, :3]).astype(np.float32))
    return torch.stack(along, dim=2) @ to_world


def _of(model: Model, volumes: NDArray) -> Model:
    if len(model.reference_VN) == 1:
        return model
    rows = {name: getattr(model, name)[volumes] for name in ("reference_VN", "columns_VNK", "normal_VKK")}
    return replace(model, **rows)


def fit(
    stack: Tensor, model: Model, weights: Tensor, motion: NDArray, affine: NDArray, steps: int
) -> NDArray[np.float64]:
    """Gauss-Newton steps of a stack (V, X, Y, Z), shortened wherever the fit did not get better."""
    best, trial = motion.copy(), motion.copy()
    cost = np.full(len(stack), np.inf)
    step = np.zeros((len(stack), 6))
    active = np.arange(len(stack))
    for _ in range(steps):
        part = stack if len(active) == len(stack) else stack[active]
        factor = weights if len(weights) == 1 else weights[active]
        found, proposed = _propose(part, _of(model, active), factor, to_voxels(trial[active], affine))
        better = found < cost[active]
        good, bad = active[better], active[~better]
        best[good], cost[good], step[good] = trial[good], found[better], proposed[better]
        step[bad] /= 4
        trial[active] = best[active] @ _inverse_twists(step[active], model.center_mm)
        active = active[np.abs(step[active]).max(axis=1) > STOP_MM]
        if not len(active):
            break
    return best


def _propose(stack: Tensor, model: Model, weights: Tensor, voxel_motion: NDArray) -> tuple[NDArray, NDArray]:
    """Return each volume's cost (V,) where it is, and the step (V, 6), mm, that the linear model asks for."""
    values, inside = sample(stack, voxel_motion, model.voxels_N3, model.fineness)
    weights = inside * weights
    difference, gain = _unexplained(values, weights, model.reference_VN)
    # A volume that is half outside must not look good for having little left to compare.
    cost = (weights * difference.square()).sum(1) / weights.sum(1).clamp(min=1e-6) / inside.mean(1).clamp(min=1e-3)
    right = torch.matmul((weights * difference)[:, None], model.columns_VNK)[:, 0].double()
    ridge = torch.diag_embed(1e-6 * torch.diagonal(model.normal_VKK, dim1=1, dim2=2) + 1e-9)
    solved = torch.linalg.solve((model.normal_VKK + ridge).expand(len(stack), 8, 8), right)[:, :6]
    step = (solved / gain.double()[:, None]).clamp(-LONGEST_STEP_MM, LONGEST_STEP_MM)
    return cost.double().numpy(), step.numpy()


def _unexplained(values: Tensor, weights: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Return values - (gain reference + offset) with each volume's best gain and offset, and the gain."""
    total = weights.sum(1, keepdim=True).clamp(min=1e-6)
    centered = reference - (weights * reference).sum(1, keepdim=True) / total
    shifted = values - (weights * values).sum(1, keepdim=True) / total
    spread = (weights * centered.square()).sum(1, keepdim=True).clamp(min=1e-12)
    gain = (weights * centered * shifted).sum(1, keepdim=True) / spread
    # A gain near zero or below would turn the step round: far from the place, contrast can be anything.
    floor = 0.1 * ((weights * shifted.square()).sum(1, keepdim=True) / spread).sqrt()
    gain = gain.maximum(floor).clamp(min=1e-12)
    return shifted - gain * centered, gain[:, 0]


def trust(stack: Tensor, model: Model, weights: Tensor, voxel_motion: NDArray) -> Tensor:
    """Return weights (V, N) after Tukey: little for what differs by much more than the volume's median."""
    values, inside = sample(stack, voxel_motion, model.voxels_N3, model.fineness)
    difference, _ = _unexplained(values, inside * weights, model.reference_VN)
    scale = 1.4826 * difference.abs().median(dim=1, keepdim=True).values.clamp(min=1e-12)
    return weights * (1 - (difference / (TUKEY * scale)).square()).clamp(min=0).square()


def _inverse_twists(step: NDArray, center_mm: NDArray) -> NDArray[np.float64]:
    """Return the inverses (V, 4, 4) of small motions `step` (V, 6): mm, then mm of arc round the centre."""
    inverse = np.tile(np.eye(4), (len(step), 1, 1))
    turn = Rotation.from_rotvec(step[:, 3:] / ARC_MM).as_matrix().transpose(0, 2, 1)
    inverse[:, :3, :3] = turn
    inverse[:, :3, 3] = center_mm - np.einsum("vij,vj->vi", turn, center_mm + step[:, :3])
    return inverse


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
    present = np.full(wanted, kernel[reach])
    # Sums of shifted volumes: a matrix product or a convolution of torch takes ten times as long for few taps.
    for step, weight in zip(steps.tolist(), kernel.tolist(), strict=True):
        first, last = max(-step, 0), min(size - step, wanted)
        if step and last > first:
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
