"""Clean one BOLD run on its own grid: motion, slice timing, reference, brain mask and where it lies."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.provenance import failures_of, write_sidecar
from neuromoe.core.quality import write_quality
from neuromoe.imaging.images import Image, load_image, save_image
from neuromoe.imaging.template import Template
from neuromoe.imaging.transforms import write_affines, write_transform

if TYPE_CHECKING:
    from neuromoe.func._clean import Clean
    from neuromoe.func._registration import Placement
    from neuromoe.registration.distortion import Undistorted


def correct(
    *,
    bold: Path,
    template: Path,
    boldref: Path,
    mask: Path,
    slicetimed: Path,
    motion: Path,
    transform: Path,
    quality: Path,
    sidecars: list[Path] | None = None,
    t1w: Path | None = None,
    t1w_mask: Path | None = None,
    t1w_white: Path | None = None,
    fieldmaps: list[Path] | None = None,
    fieldmap_sidecars: list[Path] | None = None,
    sbref: Path | None = None,
    slice_timing: bool = True,
    motion_passes: int = 2,
    fd_threshold_mm: float = 0.5,
    coregistration_warn: float = 0.026,
    coregistration_fail: float = 0.008,
    motion_backend: str = "torch",
    slice_timing_backend: str = "scipy",
    fieldmap_backend: str = "none",
    coregistration_backend: str = "scipy",
    single_band: str = "auto",
    distortion: str = "none",
    max_distortion_mm: float = 15.0,
    seed: int = 0,
) -> None:
    """Estimate a BOLD run's motion, correct slice timing, find the brain and where it lies.

    Nothing is moved: the motion is written, and applied once by `func normalize`. It is estimated before
    slice timing is corrected, because interpolation in time mixes a moved volume with its neighbours.

    Parameters
    ----------
    bold : path
        The run (X, Y, Z, V), at least 10 volumes.
    template : path
        `template.json` of the prepared template.
    boldref : path
        Output: the run's single-band reference, or the mean of the aligned volumes.
    mask : path
        Output: brain mask on the BOLD grid.
    slicetimed : path
        Output: the run with every slice at one moment of the volume, not moved.
    motion : path
        Output: one ITK affine per volume, reference world to the volume's world.
    transform : path
        Output: BOLD reference to T1w (`.txt`), or to the template where there is no T1w (`.h5`); with a fieldmap
        (`.h5`) its correction is the last part.
    quality : path
        Output: quality numbers and verdict.
    sidecars : list of path, optional
        JSON files that apply to the run, nearest last.
    t1w : path, optional
        Preprocessed T1w of the session.
    t1w_mask : path, optional
        Brain mask of the T1w.
    t1w_white : path, optional
        White matter of the T1w, which epi_reg needs.
    fieldmaps : list of path, optional
        Images of the run's fieldmap: opposed echo-planar images, or phase and magnitude.
    fieldmap_sidecars : list of path, optional
        Their JSON files.
    sbref : path, optional
        Single-band reference of the run.
    slice_timing : bool, default=True
        Correct slice timing where the metadata have SliceTiming.
    motion_passes : int, default=2
        Passes of the motion estimate.
    fd_threshold_mm : float, default=0.5
        Framewise displacement above which a volume counts as moved, mm.
    coregistration_warn, coregistration_fail : float, default=0.026, 0.008
        What the coregistration score (share of information) must lose 4 mm aside: below the first it warns, below
        the second it fails.
    motion_backend : str, default="torch"
        What estimates the motion: `torch`, our own, or `fsl`, MCFLIRT.
    slice_timing_backend : str, default="scipy"
        What corrects slice timing: `scipy`, our own, or `fsl`, slicetimer.
    fieldmap_backend : str, default="none"
        `fsl` corrects distortion by the fieldmap with topup, or with fsl_prepare_fieldmap and FUGUE.
    coregistration_backend : str, default="scipy"
        What lays the reference on the T1w: `scipy`, our own, or `fsl`, epi_reg.
    single_band : str, default="auto"
        `auto` makes a single-band reference that looks like the run what the volumes are aligned to and what is
        registered; `off` takes the mean of the volumes, as where there is none.
    distortion : str, default="none"
        `registration` takes susceptibility distortion out by registration to the T1w along phase encoding, where there
        is no fieldmap and the score gets better; `none` leaves it in.
    max_distortion_mm : float, default=15
        The largest shift that this may find.
    seed : int, default=0
        Seed of the registration.

    Raises
    ------
    InputError
        Too few volumes, or times that are missing or contradict each other.
    """
    from neuromoe.func._clean import by_single_band, clean_series
    from neuromoe.func._distortion import undistort_by_registration
    from neuromoe.func._series import read_series

    series = read_series(bold, sidecars)
    print(f"{bold.name}: {series.image.data.shape}, {series.repetition_time_s:g} s", flush=True)
    clean = clean_series(
        series,
        slice_timing=slice_timing,
        passes=motion_passes,
        motion_by=motion_backend,
        timing_by=slice_timing_backend,
    )
    if sbref and single_band == "auto":
        clean = by_single_band(clean, sbref, seed=seed)
    print("motion and slice timing done", flush=True)
    fixed = _undistort(clean, bold, sidecars, fieldmaps if fieldmap_backend == "fsl" else None, fieldmap_sidecars)
    white = load_image(t1w_white, ndim=3) if t1w_white and coregistration_backend == "fsl" else None
    place = _place(_at_rest(clean, fixed), t1w, t1w_mask, white, template, seed)
    print(f"placed from {place.found.start}, score {place.found.score:.3f}", flush=True)
    told: dict[str, Any] = {}
    if distortion == "registration" and fixed is None:
        found = undistort_by_registration(
            clean.reference, clean.bright, place, bold, sidecars, t1w, t1w_mask,
            max_shift_mm=max_distortion_mm, seed=seed,
        )  # fmt: skip
        place, fixed, told = found.place, found.fixed, dict(found.record)
        print(f"distortion {told or place.problems}", flush=True)
    brain = _brain(clean, place, fixed)
    record: dict[str, Any] = {
        "sources": [path for path in (bold, sbref, t1w, t1w_mask, template, *(fieldmaps or [])) if path is not None],
        "parameters": {"slice_timing": slice_timing, "motion_passes": motion_passes, "seed": seed}
        | {"motion_backend": motion_backend, "slice_timing_backend": slice_timing_backend}
        | {"fieldmap_backend": fieldmap_backend if fixed and not told else "none"}
        | {"coregistration_backend": coregistration_backend}
        | {"single_band": single_band, "distortion": distortion, "max_distortion_mm": max_distortion_mm},
    }
    _write_images(clean, brain, boldref, mask, slicetimed, record)
    write_affines(motion, clean.motion)
    write_transform(transform, (*place.chain, fixed.way) if fixed else place.chain)
    write_sidecar(transform, **record, **_description(place, direct=t1w is None), DistortionCorrection=told)
    limits: dict[str, Any] = {"lost_warn": coregistration_warn, "lost_fail": coregistration_fail, "direct": t1w is None}
    limits["failures"] = [f"the T1w failed: {why}" for why in failures_of(t1w)]
    _judge(quality, clean, brain, place, fd_threshold_mm=fd_threshold_mm, **limits)


def _undistort(
    clean: "Clean",
    bold: Path,
    sidecars: list[Path] | None,
    fieldmaps: list[Path] | None,
    fieldmap_sidecars: list[Path] | None,
) -> "Undistorted | None":
    from neuromoe.func._fieldmap import undistort

    if not fieldmaps:
        return None
    found = undistort(clean.reference, bold, sidecars, fieldmaps, fieldmap_sidecars)
    print(f"field of {found.shift_mm:.1f} mm at most", flush=True)
    return found


def _place(
    clean: "Clean", t1w: Path | None, t1w_mask: Path | None, white: Image | None, template: Path, seed: int
) -> "Placement":
    from neuromoe.func._registration import place_in_t1w, place_in_template

    if t1w is None:
        return place_in_template(clean.reference, clean.bright, Template.load(template), seed=seed)
    head_mask = None if t1w_mask is None else load_image(t1w_mask, ndim=3)
    return place_in_t1w(clean.reference, clean.bright, load_image(t1w, ndim=3), head_mask, seed=seed, white=white)


def _at_rest(clean: "Clean", fixed: "Undistorted | None") -> "Clean":
    from neuromoe.func._mask import epi_mask

    return replace(clean, reference=fixed.reference, bright=epi_mask(fixed.reference)) if fixed else clean


def _brain(clean: "Clean", place: "Placement", fixed: "Undistorted | None") -> NDArray:
    from neuromoe.func._fieldmap import distorted
    from neuromoe.func._mask import anatomical_mask, volume_verdict

    brain = anatomical_mask(distorted(place.brain, fixed) if fixed else place.brain, clean.reference)
    # Where the placing went astray, the brightness alone is the better guess.
    verdict, _ = volume_verdict(brain, clean.reference.affine)
    return clean.bright if verdict == "fail" else brain


def _write_images(
    clean: "Clean", brain: NDArray, boldref: Path, mask: Path, slicetimed: Path, record: dict[str, Any]
) -> None:
    repetition_time_s = clean.series.repetition_time_s
    save_image(clean.reference, boldref)
    write_sidecar(boldref, **record, **clean.told)
    save_image(clean.reference.like(brain), mask, dtype=np.uint8)
    write_sidecar(mask, **record, Type="Brain")
    save_image(_rounded(clean.timed), slicetimed, repetition_time_s=repetition_time_s)
    times: dict[str, Any] = {
        "RepetitionTime": repetition_time_s,
        "SliceTimingCorrected": clean.moment_s is not None,
    }
    times |= {} if clean.moment_s is None else {"StartTime": clean.moment_s}
    write_sidecar(slicetimed, **record, **times, SkullStripped=False)


def _rounded(image: Image) -> Image:
    """Round to 1/4096 of the brightest hundredth, far below noise: the file shrinks to half."""
    level = float(np.percentile(image.data[..., ::10], 99))
    step = 2.0 ** np.floor(np.log2(max(level, 1e-6) / 4096))
    return image.like(np.round(image.data / step) * step)


def _description(place: "Placement", *, direct: bool) -> dict[str, Any]:
    found = place.found
    return {
        "Start": found.start,
        "Score": found.score,
        "Scores": dict(found.scores),
        "RegistrationQuality": "lower quality: no T1w, registered to the template directly" if direct else "usual",
    }


def _judge(
    quality: Path, clean: "Clean", brain: NDArray, place: "Placement", *, fd_threshold_mm: float, **limits: Any
) -> None:
    from neuromoe.func import _quality
    from neuromoe.func._sampling import aligned
    from neuromoe.func._series import short_reason

    affine, volumes = clean.reference.affine, clean.timed.data.shape[3]
    courses = aligned(clean.timed, clean.motion, brain)[:, clean.unsteady :]
    numbers = (
        _quality.motion_numbers(clean.motion, brain, affine, fd_threshold_mm=fd_threshold_mm)
        | _quality.course_numbers(courses)
        | _quality.smoothness(courses, brain, clean.reference.voxel_mm)
        | _quality.image_numbers(clean.mean, brain)
        | _quality.placement_numbers(place.found, brain, clean.bright, affine)
        | {"volumes": volumes, "volumes_lost": clean.unsteady}
        | {"duration_s": volumes * clean.series.repetition_time_s}
    )
    problems = [*clean.problems, *place.problems, *short_reason(volumes, clean.series.repetition_time_s)]
    verdict, reasons = _quality.judge(numbers, brain, clean.bright, affine, problems=problems, **limits)
    write_quality(quality, numbers, verdict, reasons)
