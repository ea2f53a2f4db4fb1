"""Rigid motion of the volumes of a series."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuromoe.core.errors import InputError
from neuromoe.imaging.images import solid

if TYPE_CHECKING:
    from neuromoe.registration._motion_fit import Level

SMOOTHING_MM = (10.0, 5.0)
LAST_STEPS = 4
MAX_POINTS = (6_000, 50_000)
# Slices with signal, over the brightest; how many are neighbours; and the logarithm of brightness that is a fault.
_SEEN, _NEIGHBOURS, _FAULT = 0.2, 5, 0.06


def estimate_motion(
    series: ArrayLike,
    affine: ArrayLike,
    reference: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    passes: int = 2,
    *,
    weights: ArrayLike | None = None,
    initial: ArrayLike | None = None,
    smoothing_mm: tuple[float, ...] = SMOOTHING_MM,
    steps: int = 12,
    robust: bool = True,
    slice_axis: int = 2,
) -> NDArray[np.float64]:
    """Estimate one rigid transform per volume, with a free gain and offset of each volume's intensity.

    Each volume I_v is fitted by `g R(x) + b` at `I_v(T_v x)`. The derivatives are those of the reference R,
    computed once (inverse compositional [1]_), and a step that makes the fit worse is shortened; but not the last few,
    which no longer look at the sum of squares, because interpolation makes it smaller between voxels, where noise
    averages out. Without a reference, the first pass goes to the mean of the volumes that resemble the others
    most, each next one to the mean of the volumes as the pass before aligned them, and g may grow along the slices in
    the last steps: they are excited one after the other, and breathing between them looks like motion across them.

    Parameters
    ----------
    series : array (X, Y, Z, V)
        Volumes on one grid.
    affine : array (4, 4)
        Voxel to world, mm.
    reference : array (X, Y, Z) or (X, Y, Z, V), default=None
        One target for all volumes or one for each. With it, `passes` is not used.
    mask : bool array (X, Y, Z), default=None
        Where the images are compared; by default the bright, connected part of the reference and its rim.
    passes : int, default=2
        Passes without a reference.
    weights : array (X, Y, Z), default=None
        Multiplies the squared differences.
    initial : array (V, 4, 4), default=None
        Where to start; by default, no motion.
    smoothing_mm : tuple of float, default=(10, 5)
        FWHM of the Gaussian smoothing at each resolution, coarse to fine.
    steps : int, default=12
        Gauss-Newton steps at each resolution, at most, before the last few.
    robust : bool, default=True
        Give voxels with large differences (dropout, moving tissue) less weight in the last steps.
    slice_axis : int, default=2
        The slices' axis; not used with a reference.

    Returns
    -------
    array (V, 4, 4)
        Maps world points of the reference to world points of volume v.

    Raises
    ------
    InputError
        For a series that is not 4-D, holds values that are not finite, or has no signal.

    References
    ----------
    .. [1] Baker and Matthews 2004, doi:10.1023/B:VISI.0000011205.11775.fd
    """
    series, affine = _checked(series), np.asarray(affine, dtype=float)
    count = series.shape[3]
    motion = np.tile(np.eye(4), (count, 1, 1)) if initial is None else np.array(initial, dtype=float)
    keep = None if mask is None else np.asarray(mask, dtype=bool)
    factor = None if weights is None else np.asarray(weights, dtype=np.float32)
    search, last = _levels(smoothing_mm, steps)
    if reference is not None:
        target = np.asarray(reference, dtype=np.float32)
        return _one_pass(series, affine, target, keep, factor, motion, search + last, robust, None)
    series = mend_slices(series, slice_axis)
    target = _typical_volume(series)
    for number in range(passes):
        plan = (search if number == 0 else []) + (last if number == passes - 1 else [])
        motion = _one_pass(series, affine, target, keep, factor, motion, plan, robust, slice_axis)
        if number < passes - 1:
            target = mean_of_aligned(series, affine, motion)
    return motion


def mend_slices(series: NDArray, axis: int = 2) -> NDArray[np.float32]:
    """Give slices that are brighter or darker than their neighbours in one volume the neighbours' brightness.

    A slice's brightness is taken relative to the run's median. Motion changes it in many slices in a row, a spike
    or a fault of excitation in single ones, which the median of five slices leaves out.

    Parameters
    ----------
    series : array (X, Y, Z, V)
        Volumes on one grid.
    axis : int, default=2
        The slices' axis.

    Returns
    -------
    array (X, Y, Z, V)
        The series itself where there is nothing to mend.
    """
    from scipy.ndimage import median_filter

    means = series.mean(axis=tuple(other for other in range(3) if other != axis), dtype=np.float64)
    usual = np.median(means, axis=1, keepdims=True)
    seen = usual[:, 0] > _SEEN * usual.max()
    gain = np.ones_like(means)
    if seen.sum() >= _NEIGHBOURS:
        ratio = np.log(np.maximum(means[seen] / usual[seen], 1e-3))
        apart = ratio - median_filter(ratio, (_NEIGHBOURS, 1), mode="nearest")
        gain[seen] = np.exp(np.where(np.abs(apart) > _FAULT, apart, 0))
    faulty = np.flatnonzero((gain != 1).any(axis=0))
    if not len(faulty):
        return series
    mended = series.copy()
    shape = [-1 if other == axis else 1 for other in range(3)]
    mended[..., faulty] /= gain[:, faulty].reshape(*shape, len(faulty))
    return mended


def mean_of_aligned(series: NDArray, affine: NDArray, motion: NDArray) -> NDArray[np.float32]:
    """Return the mean of the volumes, each moved onto the reference grid.

    Parameters
    ----------
    series : array (X, Y, Z, V)
        Volumes on one grid.
    affine : array (4, 4)
        Voxel to world, mm.
    motion : array (V, 4, 4)
        As `estimate_motion` returns it.

    Returns
    -------
    array (X, Y, Z)
        The mean of the volumes that cover a place; 0 where none does.
    """
    import torch

    from neuromoe.registration._motion_stack import chunks, sample, stack_of, to_voxels

    shape = series.shape[:3]
    points = torch.from_numpy(np.indices(shape, dtype=np.float32).reshape(3, -1).T.copy())
    total, covered = torch.zeros(len(points)), torch.zeros(len(points))
    for volumes in chunks(series):
        values, inside = sample(stack_of(series[..., volumes]), to_voxels(motion[volumes], affine), points)
        total += (values * inside).sum(0)
        covered += inside.sum(0)
    return (total / covered.clamp(min=1)).reshape(shape).numpy()


def _checked(series: ArrayLike) -> NDArray[np.float32]:
    array = np.asarray(series, dtype=np.float32)
    finite = bool(np.isfinite(array).all())
    if array.ndim != 4 or not finite or not array.any():
        state = "all zero" if finite and not array.any() else "finite" if finite else "not all finite"
        raise InputError(
            expected="a series (X, Y, Z, V) of finite values that are not all zero",
            found=f"shape {array.shape}, values {state}",
            where="series",
            fix="check the image; leave it out of the dataset if it is damaged",
        )
    return array


def _levels(smoothing_mm: tuple[float, ...], steps: int) -> tuple[list["Level"], list["Level"]]:
    from neuromoe.registration._motion_fit import Level

    search = [Level(fwhm_mm, MAX_POINTS[0], steps) for fwhm_mm in smoothing_mm]
    return search, [Level(smoothing_mm[-1], MAX_POINTS[1], LAST_STEPS, last=True)]


def _typical_volume(series: NDArray) -> NDArray[np.float32]:
    """Mean of the up to nine volumes most correlated with the one that resembles all others most."""
    thinned = series[::3, ::3, ::2].reshape(-1, series.shape[3]).T.astype(np.float64)
    thinned -= thinned.mean(axis=1, keepdims=True)
    thinned /= np.maximum(np.linalg.norm(thinned, axis=1, keepdims=True), 1e-12)
    alike = thinned @ thinned.T
    medoid = int(np.argmax(np.median(alike, axis=1)))
    nearest = np.argsort(-alike[medoid], kind="stable")[: min(9, max(1, series.shape[3] // 3))]
    return series[..., np.sort(nearest)].mean(axis=3, dtype=np.float64).astype(np.float32)


def _one_pass(
    series: NDArray,
    affine: NDArray,
    reference: NDArray,
    mask: NDArray | None,
    weights: NDArray | None,
    motion: NDArray,
    levels: list["Level"],
    robust: bool,
    slice_axis: int | None,
) -> NDArray[np.float64]:
    from neuromoe.registration._motion_fit import fit_level

    mask = _bright(reference if reference.ndim == 3 else reference.mean(axis=3)) if mask is None else mask
    for level in levels:
        motion = fit_level(series, reference, affine, mask, weights, motion, level, robust, slice_axis)
    return motion


def _bright(reference: NDArray) -> NDArray[np.bool_]:
    """Return the largest bright part of the reference with a rim of two voxels: edges show motion best."""
    from scipy import ndimage

    bright = reference > 0.25 * np.percentile(reference, 98)
    head = solid(ndimage.binary_opening(bright))
    return ndimage.binary_dilation(head, iterations=2) if head.any() else np.ones(reference.shape, dtype=bool)
