"""The fit of a shift along one axis.

Axis letters: A B C knots, X Y Z voxels, Z along phase encoding.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neuromoe.imaging.geometry import Grid
from neuromoe.imaging.images import Image, resample
from neuromoe.imaging.transforms import Affine
from neuromoe.registration._levels import thin

if TYPE_CHECKING:
    from torch import Tensor as Array

_BINS = 24
_EVENING_MM = 30.0
_ROUNDS, _STEPS = 3, 20
_LEAST_STRETCH, _MOST_STRETCH = 0.4, 2.5
# Half of a chi-squared variable's values lie below .455; noise is taken as wider, since anatomy adds to it.
_SPREAD = 2.0**2 / 0.455


@dataclass(frozen=True, eq=False)
class Level:
    """Both images at one scale, phase encoding last.

    Parameters
    ----------
    grid : Grid
        In the image's own order of axes.
    axis : int
        Of phase encoding there.
    voxel_mm : float
    seen : array (X, Y, Z)
        The echo-planar image over its mean in the brain.
    anatomy, share : array (X, Y, Z)
        The T1w and the brain's share.
    bases : list of array
        (X, A), (Y, B) and (Z, C): values of the B-splines.
    """

    grid: Grid
    axis: int
    voxel_mm: float
    seen: NDArray
    anatomy: NDArray
    share: NDArray
    bases: list[NDArray]


def make_level(
    image: Image,
    t1w: Image,
    t1w_mask: Image,
    matrix: NDArray,
    axis: int,
    voxel_mm: float,
    knots_mm: float,
    fwhm_mm: float,
) -> Level:
    """Bring both images onto a cubic grid along the echo-planar image's axes; see `Level`."""
    grid = image.grid.at_voxel_mm(voxel_mm)
    back = [Affine(np.linalg.inv(matrix))]
    seen = np.moveaxis(resample(_smooth(image, fwhm_mm), grid), axis, 2)
    brain = t1w_mask.like(t1w_mask.data.astype(np.float32))
    anatomy, share = (
        np.moveaxis(resample(_smooth(thin(one, 1.5), fwhm_mm), grid, back), axis, 2) for one in (t1w, brain)
    )
    seen = seen / max(float(seen[share > 0.5].mean()) if (share > 0.5).any() else 1.0, 1e-6)
    bases = [_b_splines(count, knots_mm / voxel_mm) for count in seen.shape]
    return Level(grid, axis, voxel_mm, seen, anatomy, share, bases)


def fit_shift(level: Level, start: NDArray, max_shift_mm: float, stiffness: float) -> NDArray:
    """Fit the shift, mm, on the level's grid, in its own order of axes, from a `start` there.

    `stiffness` weighs the mean square of the second derivatives, in units of 0.1 / mm.
    B-splines are positive and sum to one: limits of their coefficients are limits of the shift.
    """
    import torch

    bases = [torch.from_numpy(basis).float() for basis in level.bases]
    inverses = [np.linalg.pinv(basis) for basis in level.bases]
    voxels = np.moveaxis(start, level.axis, 2) / level.voxel_mm
    coefficients = np.einsum("ax,by,cz,xyz->abc", *inverses, voxels, optimize=True)
    for _ in range(_ROUNDS):
        coefficients = _climb(level, bases, coefficients, max_shift_mm / level.voxel_mm, stiffness)
    shift = _unfolded(_spline(torch.from_numpy(coefficients).float(), bases).numpy())
    return np.moveaxis(shift, 2, level.axis) * level.voxel_mm


def _unfolded(shift: NDArray) -> NDArray:
    steepest = -float(np.diff(shift, axis=2).min(initial=0))
    return shift * min(1.0, (1 - 0.1) / max(steepest, 1e-6))


def _climb(level: Level, bases: list["Array"], coefficients: NDArray, limit: float, stiffness: float) -> NDArray:
    import torch
    from scipy.optimize import minimize

    seen = torch.from_numpy(level.seen).float()
    weight = torch.from_numpy(np.where(level.share > 0.5, level.share, 0)).float()
    with torch.no_grad():
        straight = _pulled(seen, _spline(torch.from_numpy(coefficients).float(), bases))
        expected = torch.from_numpy(expected_signal(straight.numpy(), level)).float()
        spread = ((straight - expected)[weight > 0] ** 2).median() * _SPREAD if weight.any() else torch.ones(())

    def cost(values: NDArray) -> tuple[float, NDArray]:
        knots = torch.from_numpy(values.reshape(coefficients.shape)).float().requires_grad_()
        shift = _spline(knots, bases)
        off = (_pulled(seen, shift) - expected) ** 2 / spread.clamp(min=1e-9)
        total = (weight * off / (1 + off / 9)).sum() / weight.sum().clamp(min=1) + _penalty(
            shift, level.voxel_mm, stiffness
        )
        (slope,) = torch.autograd.grad(total, knots)
        return float(total.detach()), slope.double().numpy().ravel()

    found = minimize(
        cost, coefficients.ravel(), jac=True, method="L-BFGS-B", bounds=[(-limit, limit)] * coefficients.size,
        options={"maxiter": _STEPS, "ftol": 1e-6},
    )  # fmt: skip
    return found.x.reshape(coefficients.shape)


def _spline(knots_ABC: "Array", bases: list["Array"]) -> "Array":
    import torch

    for axis, basis in enumerate(bases):
        knots_ABC = torch.movedim(torch.tensordot(basis, knots_ABC, dims=([1], [axis])), 0, axis)
    return knots_ABC


def _pulled(seen: "Array", shift: "Array") -> "Array":
    """Return the image as seen at each place plus its shift, voxels, linearly along the last axis."""
    import torch

    last = seen.shape[2] - 1
    at = torch.arange(last + 1).float() + shift
    lower = at.detach().floor().clamp(0, last - 1)
    share = (at - lower).clamp(0, 1)
    first, second = seen.gather(2, lower.long()), seen.gather(2, lower.long() + 1)
    return first + share * (second - first)


def _penalty(shift: "Array", voxel_mm: float, stiffness: float) -> "Array":
    import torch

    bent = sum((torch.diff(shift, n=2, dim=axis) / voxel_mm).square().mean() for axis in range(3))
    stretch = 1 + torch.diff(shift, dim=2)
    beyond = torch.relu(_LEAST_STRETCH - stretch).square() + torch.relu(stretch - _MOST_STRETCH).square()
    return 100 * stiffness * bent + 0.1 * beyond.sum()


def expected_signal(straight: NDArray, level: Level) -> NDArray:
    """Return the T1w in the contrast of the undistorted image (X, Y, Z), times a slow field."""
    from scipy.ndimage import gaussian_filter

    inside = level.share > 0.9
    if inside.sum() < _BINS:
        return straight
    low, high = np.quantile(level.anatomy[inside], [0.005, 0.995])
    place = np.clip((level.anatomy - low) / max(high - low, 1e-6), 0, 1) * (_BINS - 1)
    lower = np.minimum(place.astype(np.intp), _BINS - 2)
    upper = place - lower
    sums = np.zeros((2, _BINS))
    for bins, weight in ((lower, 1 - upper), (lower + 1, upper)):
        for row, values in zip(sums, (straight, np.ones_like(straight)), strict=True):
            row += np.bincount(bins[inside], (weight * values)[inside], minlength=_BINS)
    total, count = gaussian_filter(sums, (0, 1))
    mean = total / np.maximum(count, 1e-6)
    signal = level.share * ((1 - upper) * mean[lower] + upper * mean[lower + 1])
    brain = np.where(level.share > 0.5, level.share, 0)
    sigma = _EVENING_MM / 2.3548 / level.voxel_mm
    known = gaussian_filter(brain * signal**2, sigma)
    return signal * gaussian_filter(brain * signal * straight, sigma) / np.maximum(known, 1e-3 * known.max())


def _b_splines(count: int, spacing: float) -> NDArray:
    """Return the cubic B-splines (count, K) whose knots lie `spacing` voxels apart."""
    knots = np.arange(int(np.ceil((count - 1) / spacing)) + 3) - 1
    apart = np.abs(np.arange(count)[:, None] / spacing - knots)
    near, far = 2 / 3 - apart**2 + apart**3 / 2, (2 - apart) ** 3 / 6
    return np.where(apart < 1, near, np.where(apart < 2, far, 0))


def _smooth(image: Image, fwhm_mm: float) -> Image:
    from scipy.ndimage import gaussian_filter

    return image.like(gaussian_filter(image.data.astype(np.float32), fwhm_mm / 2.3548 / image.voxel_mm))
