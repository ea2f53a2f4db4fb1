"""Inverse compositional Gauss-Newton fit of rigid motion, all volumes at once.

Axis letters: V volume, N point of the reference in the mask, K column of the model (6 rigid, gain, offset).
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from torch import Tensor

from neuromoe.registration._motion_stack import Fineness, chunks, sample, smooth, stack_of, to_voxels

ARC_MM = 50.0
STOP_MM = 2e-3
LONGEST_STEP_MM = 8.0
# Where Tukey's weight becomes zero, in robust standard deviations: 95 % efficient in Gaussian noise.
TUKEY = 4.685
_SMOOTH_ENOUGH = 1.25
# Columns of the model without a gain along the slices.
_PLAIN = 8


@dataclass(frozen=True)
class Level:
    """One resolution.

    Parameters
    ----------
    fwhm_mm : float
        Smoothing.
    points, steps : int
        How many places are compared, and Gauss-Newton steps, both at most.
    last : bool
        The estimate is close and is settled. The smoothed volumes are interpolated between half voxels: between whole
        ones, a volume looks blurred the more the farther it lies from the grid, which draws the estimate towards the
        grid.
    """

    fwhm_mm: float
    points: int
    steps: int
    last: bool = False

    def fineness(self, affine: NDArray) -> Fineness:
        """Return into how many parts each axis' voxels are divided; smooth volumes need no more than one."""
        sigma = self.fwhm_mm / 2.3548 / np.linalg.norm(affine[:3, :3], axis=0)
        x, y, z = np.where(self.last & (sigma < _SMOOTH_ENOUGH), 2, 1).tolist()
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
    slice_axis: int | None = None,
) -> NDArray[np.float64]:
    """Refine `motion` (V, 4, 4) of volumes (X, Y, Z, V) to a reference (X, Y, Z[, V]) at one resolution."""
    points = points_of(mask, affine, level)
    factor = torch.ones(len(points)) if weights is None else torch.from_numpy(weights[tuple(points.T)])
    axis = slice_axis if level.last else None
    shared = model_of(reference, affine, points, factor, level, axis) if reference.ndim == 3 else None
    refined, fineness = motion.copy(), level.fineness(affine)
    for volumes in chunks(series, fineness):
        model = shared or model_of(reference[..., volumes], affine, points, factor, level, axis)
        stack = smooth(stack_of(series[..., volumes]), affine, level.fwhm_mm, fineness)
        if level.last:
            refined[volumes] = settle(stack, model, factor[None], motion[volumes], affine, level, robust)
        else:
            refined[volumes] = fit(stack, model, factor[None], motion[volumes], affine, level.steps)
    return refined


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


def model_of(
    reference: NDArray,
    affine: NDArray,
    points: NDArray,
    weights_N: Tensor,
    level: Level,
    slice_axis: int | None = None,
) -> Model:
    """Prepare the reference and its derivatives at the points, with a gain that grows along an axis if one is given."""
    stack = smooth(stack_of(reference), affine, level.fwhm_mm)
    stack = stack / stack.flatten(1).abs().amax(dim=1)[:, None, None, None].clamp(min=1e-12)
    world = points @ affine[:3, :3].T + affine[:3, 3]
    center = world.mean(axis=0)
    index = tuple(torch.from_numpy(points.T.copy()))
    gradient_VN3, values_VN1 = _gradient(stack, index, affine), stack[:, *index][..., None]
    offset_VN3 = torch.from_numpy((world - center).astype(np.float32)).expand_as(gradient_VN3)
    arc_VN3 = torch.linalg.cross(offset_VN3, gradient_VN3) / ARC_MM
    voxels_N3 = torch.from_numpy(points.astype(np.float32))
    columns = [gradient_VN3, arc_VN3, values_VN1, torch.ones_like(values_VN1)]
    if slice_axis is not None:
        along = voxels_N3[:, slice_axis, None]
        columns.append(values_VN1 * (along - along.mean()) / along.std().clamp(min=1))
    columns_VNK = torch.cat(columns, dim=2)
    normal = torch.matmul((columns_VNK * weights_N[:, None]).transpose(1, 2).double(), columns_VNK.double())
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
    return cost.double().numpy(), _step(_solved(model, weights * difference), gain)


def _solved(model: Model, weighted: Tensor) -> Tensor:
    """Return what each column of the model explains of weighted differences (V, N), (V, K)."""
    right = torch.matmul(weighted[:, None], model.columns_VNK)[:, 0].double()
    ridge = torch.diag_embed(1e-6 * torch.diagonal(model.normal_VKK, dim1=1, dim2=2) + 1e-9)
    return torch.linalg.solve((model.normal_VKK + ridge).expand(len(weighted), -1, -1), right)


def _step(solved: Tensor, gain: Tensor) -> NDArray:
    return (solved[:, :6] / gain.double()[:, None]).clamp(-LONGEST_STEP_MM, LONGEST_STEP_MM).numpy()


def settle(
    stack: Tensor, model: Model, weights: Tensor, motion: NDArray, affine: NDArray, level: Level, robust: bool
) -> NDArray[np.float64]:
    """Take the last Gauss-Newton steps of a stack (V, X, Y, Z) whatever they do to the sum of squares.

    Interpolation between voxels averages noise, so the sum of squares is least where the volume is blurred most. The
    steps themselves are zero where the noise is uncorrelated with the reference's derivatives: the right place.
    """
    found, ramp = motion.copy(), torch.zeros(len(stack), 1)
    for _ in range(level.steps):
        values, inside = sample(stack, to_voxels(found, affine), model.voxels_N3, model.fineness)
        if model.columns_VNK.shape[2] > _PLAIN:
            values = values - ramp * model.columns_VNK[..., _PLAIN]
        trusted = inside * weights
        difference, gain = _unexplained(values, trusted, model.reference_VN)
        if robust:
            trusted = trusted * _trust(difference)
            difference, gain = _unexplained(values, trusted, model.reference_VN)
        solved = _solved(model, trusted * difference)
        ramp = ramp + solved[:, _PLAIN:].sum(1, keepdim=True).float()
        found = found @ _inverse_twists(_step(solved, gain), model.center_mm)
    near = np.linalg.norm((found - motion)[:, :3] @ np.append(model.center_mm, 1), axis=1) < level.fwhm_mm
    return np.where(near[:, None, None], found, motion)


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


def _trust(difference: Tensor) -> Tensor:
    """Return weights (V, N) after Tukey: little for what differs by much more than the volume's median."""
    scale = 1.4826 * difference.abs().median(dim=1, keepdim=True).values.clamp(min=1e-12)
    return (1 - (difference / (TUKEY * scale)).square()).clamp(min=0).square()


def _inverse_twists(step: NDArray, center_mm: NDArray) -> NDArray[np.float64]:
    """Return the inverses (V, 4, 4) of small motions `step` (V, 6): mm, then mm of arc round the centre."""
    inverse = np.tile(np.eye(4), (len(step), 1, 1))
    turn = Rotation.from_rotvec(step[:, 3:] / ARC_MM).as_matrix().transpose(0, 2, 1)
    inverse[:, :3, :3] = turn
    inverse[:, :3, 3] = center_mm - np.einsum("vij,vj->vi", turn, center_mm + step[:, :3])
    return inverse
