"""Susceptibility distortion without a fieldmap: a shift along phase encoding, found by registration to the T1w.

The echo-planar image is compared with what its own contrast makes of the T1w: the mean signal of each T1w intensity,
times a slow field. The shift is a cubic B-spline along one axis. Stretching changes brightness too, but so do coils:
brightness is evened out in the result and says nothing in the estimate.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromoe.imaging.geometry import Grid
from neuromoe.imaging.images import Image, dice, resample
from neuromoe.imaging.transforms import Affine, Displacement
from neuromoe.registration._unwarp import fit_shift, make_level
from neuromoe.registration.coregister import Coregistration, coregister, rate

# Voxels, distance of the knots, smoothing (full width at half maximum), mm, coarse to fine.
_LEVELS_MM = ((4.0, 24.0, 6.0), (3.0, 16.0, 3.0))
# Images of little contrast need a stiff shift, others lose by it: the registration's score decides.
_STIFFNESSES = (3000.0, 300.0, 30.0)


@dataclass(frozen=True, eq=False)
class Undistorted:
    """An image without its distortion.

    Parameters
    ----------
    reference : Image (X, Y, Z)
        On the same grid; where signal was pressed together it is spread again.
    way : Displacement
        World points of it to those of the image as acquired.
    back : Displacement
        The other way.
    shift_mm : float
        The largest shift.
    """

    reference: Image
    way: Displacement
    back: Displacement
    shift_mm: float


@dataclass(frozen=True, eq=False)
class Registered:
    """A correction by registration, and whether it is better than none.

    Parameters
    ----------
    undistorted : Undistorted or None
        None where the score is no better with it.
    place : Coregistration
        T1w world to the world of the image, undistorted where that is kept.
    numbers : mapping of str to float
        `distortion_mean_mm` and `distortion_max_mm` of the shift in the brain, the registration's score and the Dice
        coefficient of the masks, before and after.
    """

    undistorted: Undistorted | None
    place: Coregistration
    numbers: Mapping[str, float]

    def record(self, axis: int) -> dict[str, Any]:
        """Return what the sidecar says; `axis` is that of phase encoding."""
        return {
            "Method": "registration to the T1w along phase encoding",
            "Axis": "ijk"[axis],
            "Kept": self.undistorted is not None,
            **{name: round(value, 6) for name, value in self.numbers.items()},
        }


def undistort_by_t1w(
    image: Image,
    mask: Image,
    t1w: Image,
    t1w_mask: Image,
    place: Coregistration,
    *,
    axis: int,
    max_shift_mm: float = 15.0,
    seed: int = 0,
) -> Registered:
    """Estimate the distortion of an echo-planar image and where it lies in the T1w, in turns.

    Parameters
    ----------
    image : Image (X, Y, Z)
        Mean b=0 or BOLD volume, as acquired.
    mask : Image (X, Y, Z)
        Its brain mask.
    t1w, t1w_mask : Image
        The T1w of the same person without its bias field, and the brain.
    place : Coregistration
        Where the image lies before.
    axis : int
        Axis of phase encoding of `image`.
    max_shift_mm : float, default=15
        The largest shift.
    seed : int, default=0
        Of the registration.

    References
    ----------
    Studholme C et al. 2000, doi:10.1109/42.896788 (registration with a model of the distortion); Bhushan C et al. 2015,
    doi:10.1016/j.neuroimage.2015.03.050 (the T1w in the other image's contrast); Wang S et al. 2017,
    doi:10.3389/fninf.2017.00017 (against fieldmaps).
    """
    pair = _Pair(image, mask, t1w, t1w_mask, axis, max_shift_mm, seed)
    first = rate(place.matrix, image, t1w, start=place.start, moving_mask=mask, fixed_mask=t1w_mask, seed=seed)
    tried = [pair.attempt(place, stiffness) for stiffness in _STIFFNESSES]
    best = max(tried, key=lambda one: one.place.score)
    best = max(best, pair.attempt(pair.placed(best), best.stiffness), key=lambda one: one.place.score)
    numbers = pair.numbers(place, first, best)
    better = best.place.score > first.score
    return Registered(best.found if better else None, best.place if better else place, numbers)


@dataclass(frozen=True, eq=False)
class _Attempt:
    stiffness: float
    found: Undistorted
    mask: Image
    place: Coregistration


@dataclass(frozen=True, eq=False)
class _Pair:
    image: Image
    mask: Image
    t1w: Image
    t1w_mask: Image
    axis: int
    max_shift_mm: float
    seed: int

    def attempt(self, place: Coregistration, stiffness: float) -> _Attempt:
        way = estimate_shift(
            self.image, self.t1w, self.t1w_mask, place.matrix,
            axis=self.axis, max_shift_mm=self.max_shift_mm, stiffness=stiffness,
        )  # fmt: skip
        found = undistorted(self.image, way, self.axis)
        share = resample(self.mask, self.mask.grid, [found.way])
        mask = self.mask.like(share > 0.5)
        place = rate(
            place.matrix, found.reference, self.t1w, start=place.start,
            moving_mask=mask, fixed_mask=self.t1w_mask, seed=self.seed,
        )  # fmt: skip
        return _Attempt(stiffness, found, mask, place)

    def placed(self, attempt: _Attempt) -> Coregistration:
        matrix = attempt.place.matrix
        t1w, inside = (Image(one.data, matrix @ one.affine) for one in (self.t1w, self.t1w_mask))
        straight, mask = attempt.found.reference, attempt.mask
        step = coregister(straight, t1w, moving_mask=mask, fixed_mask=inside, seed=self.seed, search=False)
        return replace(attempt.place, matrix=step.matrix @ matrix)

    def numbers(self, before: Coregistration, first: Coregistration, best: _Attempt) -> dict[str, float]:
        inside = [_share(self.t1w_mask, self.image.grid, one.matrix) > 0.5 for one in (before, best.place)]
        shifts = np.linalg.norm(best.found.way.field, axis=-1)[inside[1]]
        return {
            "distortion_mean_mm": float(shifts.mean()) if shifts.size else 0.0,
            "distortion_max_mm": float(shifts.max(initial=0)),
            "distortion_stiffness": best.stiffness,
            "score_before": first.score,
            "score_after": best.place.score,
            "dice_before": dice(self.mask.data > 0.5, inside[0]),
            "dice_after": dice(best.mask.data > 0.5, inside[1]),
        }


def estimate_shift(
    image: Image,
    t1w: Image,
    t1w_mask: Image,
    matrix: NDArray,
    *,
    axis: int,
    max_shift_mm: float = 15.0,
    stiffness: float = 30.0,
) -> Displacement:
    """Estimate the shift along one axis that leads from the undistorted to the distorted image.

    Parameters
    ----------
    image : Image (X, Y, Z)
        Distorted.
    t1w, t1w_mask : Image
        Not distorted.
    matrix : array (4, 4)
        T1w world to the world of the undistorted image, mm.
    axis : int
        Axis of phase encoding of `image`.
    max_shift_mm : float, default=15
        The largest shift.
    stiffness : float, default=30
        Weight of the mean square of the shift's second derivatives, in units of 0.1 / mm.

    Returns
    -------
    Displacement
        On a coarser grid along the image's axes; it does not fold.
    """
    shift = Image(np.zeros(image.data.shape, np.float32), image.affine)
    for scale_mm in _LEVELS_MM:
        level = make_level(image, t1w, t1w_mask, matrix, axis, *scale_mm)
        found = fit_shift(level, resample(shift, level.grid), max_shift_mm, stiffness)
        shift = Image(found.astype(np.float32), level.grid.affine)
    direction = image.affine[:3, axis] / image.voxel_mm[axis]
    return Displacement((shift.data[..., None] * direction).astype(np.float32), shift.affine)


def undistorted(image: Image, way: Displacement, axis: int) -> Undistorted:
    """Take a known shift along one axis out of an image, and even out what it did to the brightness."""
    world = image.grid.world()
    shift = (way(world) - world).reshape(*image.grid.shape, 3)
    voxels = (shift @ np.linalg.inv(image.affine[:3, :3]).T)[..., axis]
    stretched = np.clip(1 + np.gradient(voxels, axis=axis), 0.1, 10)
    data = resample(image, image.grid, [way]) * stretched
    way = Displacement(shift.astype(np.float32), image.affine)
    largest = float(np.linalg.norm(shift, axis=-1).max())
    return Undistorted(image.like(data.astype(np.float32)), way, inverted(way), largest)


def inverted(way: Displacement, steps: int = 20) -> Displacement:
    """Return the displacement that leads back: at each place, minus the shift at the place it came from."""
    world = Image(way.field[..., 0], way.affine).grid.world()
    back = np.zeros_like(world)
    for _ in range(steps):
        origin = world + back
        back = origin - way(origin)
    return Displacement(back.reshape(way.field.shape).astype(np.float32), way.affine)


def phase_axis(direction: str, stored_affine: NDArray) -> int | None:
    """Return the axis in RAS+ order that BIDS calls `i`, `j` or `k` of the file, or None for anything else.

    Examples
    --------
    >>> phase_axis("j-", np.eye(4)[[1, 0, 2, 3]]), phase_axis("", np.eye(4))
    (0, None)
    """
    import nibabel as nib

    known = direction[:1] in ("i", "j", "k")
    return int(nib.io_orientation(stored_affine)["ijk".index(direction[0])][0]) if known else None


def _share(mask: Image, grid: Grid, matrix: NDArray) -> NDArray:
    return resample(mask, grid, [Affine(np.linalg.inv(matrix))])
