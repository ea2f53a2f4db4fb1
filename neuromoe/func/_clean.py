"""A BOLD run on its own grid: its motion, its slices at one moment, and the image that it is aligned to."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.errors import InputError
from neuromoe.func._mask import epi_mask
from neuromoe.func._series import Series
from neuromoe.imaging.images import Image, load_image, resample
from neuromoe.registration.coregister import coregister
from neuromoe.registration.motion import estimate_motion, mean_of_aligned

# A single-band reference that is less like the run's mean, in the brain and a rim of two voxels, is another image.
LEAST_LIKENESS = 0.8
_MEAN = {"Reference": "mean of the aligned volumes"}


@dataclass(frozen=True, eq=False)
class Clean:
    """A run whose motion is known and whose slices are in step.

    Parameters
    ----------
    series : Series
        As acquired.
    timed : Image (X, Y, Z, V)
        Every slice at one moment of its volume, not moved.
    moment_s : float or None
        That moment, s after the volume's start; None where slice timing was not corrected.
    motion : array (V, 4, 4)
        World of `reference` to the world of each volume, mm.
    reference : Image (X, Y, Z)
        What is masked and registered.
    bright : bool array (X, Y, Z)
        Its brain by brightness.
    unsteady : int
        Volumes before the steady state.
    mean : Image (X, Y, Z)
        Mean of the volumes as they lie in `reference`.
    told : mapping
        What the sidecar says of the reference.
    problems : tuple of str
        What the user should know of it.
    """

    series: Series
    timed: Image
    moment_s: float | None
    motion: NDArray
    reference: Image
    bright: NDArray
    unsteady: int
    mean: Image
    told: Mapping[str, Any] = field(default_factory=lambda: _MEAN)
    problems: tuple[str, ...] = ()


def clean_series(series: Series, *, slice_timing: bool, passes: int, motion_by: str, timing_by: str) -> Clean:
    """Estimate motion, then correct slice timing; the reference is the mean of the aligned volumes.

    See `neuromoe.func.correct.correct` for the settings.
    """
    from neuromoe.fsl import mcflirt, slicetimer
    from neuromoe.func._slicetiming import middle_s

    image, times = series.image, series.slice_times_s if slice_timing else None
    repetition_time_s = series.repetition_time_s
    if motion_by == "fsl":
        motion = mcflirt(image, repetition_time_s=repetition_time_s)
    else:
        motion = estimate_motion(image.data, image.affine, passes=passes, slice_axis=series.slice_axis)
    moment_s = None
    if times is not None:
        moment_s = middle_s(times)
        by = slicetimer if timing_by == "fsl" else _own_slice_timing
        image = image.like(by(image, times, axis=series.slice_axis, repetition_time_s=repetition_time_s))
    unsteady = _unsteady(series.image)
    mean = _mean(image, motion, unsteady)
    return Clean(series, image, moment_s, motion, mean, epi_mask(mean), unsteady, mean)


def by_single_band(clean: Clean, sbref: Path, *, seed: int = 0) -> Clean:
    """Take the run's single-band reference for what the volumes are aligned to, if it looks like them.

    It is laid on the mean of the volumes by mutual information, and their motion goes on from there: so the motion
    between volumes is that which the volumes themselves tell, whose contrast is one.

    Parameters
    ----------
    clean : Clean
        With the mean as reference.
    sbref : path
        The image (X, Y, Z), on any grid.
    seed : int, default=0
        Of the registration.

    Returns
    -------
    Clean
        With the mean as reference, and the reason among the problems, where the image cannot be read or is another.
    """
    try:
        image = load_image(sbref, ndim=3)
        data = image.data if image.grid.same_as(clean.mean.grid) else resample(image, clean.mean.grid)
    except InputError as err:
        return replace(clean, problems=(f"single-band reference not used: {err.found}",))
    reference = clean.mean.like(data)
    bright = epi_mask(reference)
    inside = clean.mean.like(clean.bright)
    found = coregister(reference, clean.mean, moving_mask=reference.like(bright), fixed_mask=inside, seed=seed)
    motion = clean.motion @ np.linalg.inv(found.matrix)
    mean = _mean(clean.timed, motion, clean.unsteady)
    likeness = _likeness(data, mean)
    told = {"Reference": "single-band reference", "ReferenceCorrelation": round(likeness, 4)}
    print(f"single-band reference: correlation {likeness:.3f} with the volumes", flush=True)
    if likeness < LEAST_LIKENESS:
        why = f"single-band reference not used: its correlation with the run is {likeness:.2f}"
        return replace(clean, told=_MEAN | {"ReferenceCorrelation": told["ReferenceCorrelation"]}, problems=(why,))
    return replace(clean, motion=motion, reference=reference, bright=bright, mean=mean, told=told)


def _likeness(data: NDArray, mean: Image) -> float:
    from scipy.ndimage import binary_dilation

    around = binary_dilation(epi_mask(mean), iterations=2)
    with np.errstate(invalid="ignore"):
        return float(np.nan_to_num(np.corrcoef(data[around], mean.data[around])[0, 1]))


def _mean(image: Image, motion: NDArray, unsteady: int) -> Image:
    return image.like(mean_of_aligned(image.data[..., unsteady:], image.affine, motion[unsteady:]))


def _unsteady(image: Image) -> int:
    """Count the volumes before the steady state, by the mean of what is bright."""
    from neuromoe.func._framewise import unsteady_volumes

    first = image.data[..., :50:5].mean(axis=3)
    return unsteady_volumes(image.data[first > first.mean()].mean(axis=0))


def _own_slice_timing(image: Image, times: NDArray, *, axis: int, repetition_time_s: float) -> NDArray:
    from neuromoe.func._slicetiming import correct_slice_timing

    return correct_slice_timing(image.data, times, axis=axis, repetition_time_s=repetition_time_s)
