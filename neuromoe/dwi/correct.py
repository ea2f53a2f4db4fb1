"""Clean a diffusion series: denoise, align, turn the gradients, find the brain."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.provenance import metadata_of, write_sidecar
from neuromoe.core.quality import write_quality
from neuromoe.imaging.gradients import stored_affine, write_gradients
from neuromoe.imaging.images import Image, save_image
from neuromoe.registration.ants import single_threaded

if TYPE_CHECKING:
    from neuromoe.dwi._series import Series


def correct(
    *,
    dwi: list[Path],
    bval: list[Path],
    bvec: list[Path],
    sidecars: list[Path] | None = None,
    fieldmaps: list[Path] | None = None,
    fieldmap_sidecars: list[Path] | None = None,
    preproc: Path,
    preproc_bval: Path,
    preproc_bvec: Path,
    mask: Path,
    quality: Path,
    denoise: bool = True,
    denoise_radius: int = 2,
    motion_passes: int = 1,
    motion_reach_rad: float = 1.2,
    motion_noise: float = 0.2,
    interpolation_order: int = 3,
    fd_warn_mm: float = 2.0,
    ndc_warn: float = 0.5,
    outlier_slices_warn: int = 10,
    mask_volume_ml: list[float] | None = None,
    motion_backend: str = "torch",
    fieldmap_backend: str = "none",
    denoise_stride: int = 2,
    outliers: str = "censor",
    gradient_check: str = "warn",
    coherence_fail: float = 0.25,
    gibbs: bool = False,
    drift: str = "none",
    bias: bool = False,
    eddy: str = "rigid",
    denoise_backend: str = "numpy",
    seed: int = 0,
) -> None:
    """Denoise and align the diffusion runs of a session and find the brain.

    Runs are joined, denoised by Marchenko-Pastur PCA before anything is interpolated, aligned volume by
    volume to their mean b=0 volume, and interpolated once; the gradient directions turn with the head.

    Parameters
    ----------
    dwi : list of path
        The session's images, in the order of acquisition.
    bval : list of path
        Their b-values, s/mm^2, in the same order.
    bvec : list of path
        Their gradient directions in FSL's convention, in the same order.
    sidecars : list of path, optional
        Their JSON files; used to tell runs of opposed phase encoding.
    fieldmaps : list of path, optional
        Further images without diffusion weighting, of opposed phase encoding.
    fieldmap_sidecars : list of path, optional
        Their JSON files.
    preproc : path
        Output: the aligned series (X, Y, Z, V), RAS+, float32.
    preproc_bval : path
        Output: its b-values.
    preproc_bvec : path
        Output: its gradient directions, turned with the head, in FSL's convention.
    mask : path
        Output: brain mask.
    quality : path
        Output: quality numbers and verdict.
    denoise : bool, default=True
        Whether to denoise.
    denoise_radius : int, default=2
        Half the edge of a denoising patch, voxels.
    motion_passes : int, default=1
        Rounds of aligning each weighted volume to what the others predict for it.
    motion_reach_rad : float, default=1.2
        Angle beyond which two directions tell nothing about each other.
    motion_noise : float, default=0.2
        Variance of the noise over that of the signal between directions.
    interpolation_order : int, default=3
        Spline order of the one interpolation.
    fd_warn_mm : float, default=2
        Mean framewise displacement above which the verdict is `warn`.
    ndc_warn : float, default=0.5
        Neighbouring correlation below which the verdict is `warn`.
    outlier_slices_warn : int, default=10
        Slices with lost signal above which the verdict is `warn`.
    mask_volume_ml : list of float, default=[600, 2200]
        A mask outside these gives `fail`.
    motion_backend : str, default="torch"
        What corrects motion: `torch`, our own, or `fsl`, eddy, which corrects eddy currents too.
    fieldmap_backend : str, default="none"
        `fsl` corrects distortion by topup and eddy where images of opposed phase encoding are there.
    denoise_stride : int, default=2
        Distance of the denoising patches' centres, voxels.
    outliers : str, default="censor"
        What is done to slices that lost their signal: `replace` by the prediction, `censor` (zero, which the
        tensor fit leaves out), or `keep`.
    gradient_check : str, default="warn"
        Whether flips and swaps of the gradients' axes are looked for by the fibres' coherence: `warn`,
        `fix` or `off`.
    coherence_fail : float, default=0.25
        Fibre coherence under the best reading of the gradients below which the verdict is `fail`.
    gibbs : bool, default=False
        Whether ringing at sharp edges is removed, after denoising.
    drift : str, default="none"
        Whether a drift of the scale within a run, told by its b=0 volumes, is undone: `none`, `linear` or
        `quadratic`.
    bias : bool, default=False
        Whether all volumes are divided by the field that N4 finds in the mean b=0 volume.
    eddy : str, default="rigid"
        What is corrected in weighted volumes: `rigid`, the head's motion, or `affine`, also shear and scale along
        phase encoding, which the sidecars must tell. FSL's eddy does its own.
    denoise_backend : str, default="numpy"
        What denoises: `numpy`, our own, or `dipy`, a patch around every voxel.
    seed : int, default=0
        Seed of the registration.

    Raises
    ------
    InputError
        The gradient table does not fit the image, or there is no signal.

    References
    ----------
    Veraart J et al. 2016, doi:10.1016/j.neuroimage.2016.08.016; Leemans A, Jones DK 2009,
    doi:10.1002/mrm.21890 (turning the gradients).
    """
    single_threaded(seed)
    from neuromoe.dwi._by_fsl import correct_by_eddy, plan_eddy
    from neuromoe.dwi._checks import Limits, judge
    from neuromoe.dwi._correction import Settings, correct_series
    from neuromoe.dwi._motion import MotionSettings
    from neuromoe.dwi._series import Series, of_one_phase, read_runs
    from neuromoe.fsl import read_encoded

    runs = read_runs(dwi, bval, bvec)
    images = read_encoded(fieldmaps or [], fieldmap_sidecars) if fieldmap_backend == "fsl" else []
    backends = {"by_eddy": motion_backend == "fsl", "with_field": fieldmap_backend == "fsl"}
    plan = plan_eddy(Series(runs), dwi, sidecars, images, **backends)
    undistorted = plan is not None and plan.with_topup
    reasons: list[str] = []
    kept = list(range(len(runs)))
    if not undistorted:
        kept, reasons = of_one_phase(runs, [_phase(path, sidecars) for path in dwi])
        runs = [runs[index] for index in kept]
        plan = plan_eddy(Series(runs), [dwi[index] for index in kept], sidecars, images, **backends)
    series = Series(runs)
    print(f"{len(runs)} of {len(dwi)} run(s), {len(series.gradients)} volumes of {series.grid.shape}", flush=True)
    motion = MotionSettings(motion_passes, motion_reach_rad, motion_noise, seed=seed)
    settings = Settings(denoise, denoise_radius, interpolation_order, motion, denoise_stride, outliers, gradient_check)
    settings = replace(settings, gibbs=gibbs, drift=drift, bias=bias, eddy=eddy, denoise_backend=denoise_backend)
    axes = _phase_axes(series, [dwi[index] for index in kept], sidecars)
    result = correct_by_eddy(series, plan, settings) if plan else correct_series(series, settings, axes)
    low_ml, high_ml = mask_volume_ml or [600.0, 2200.0]
    limits = Limits(fd_warn_mm, ndc_warn, outlier_slices_warn, low_ml, high_ml, coherence_fail)
    verdict, reasons = judge(result.numbers, limits, [*reasons, *result.reasons])
    save_image(result.image, preproc)
    write_gradients(preproc_bval, preproc_bvec, result.gradients, result.image.affine)
    save_image(result.mask, mask, dtype=np.uint8)
    parameters = {
        "denoise": denoise,
        "denoise_radius": denoise_radius,
        "motion_passes": motion_passes,
        "motion_reach_rad": motion_reach_rad,
        "motion_noise": motion_noise,
        "interpolation_order": interpolation_order,
        "motion_backend": "fsl" if plan else motion_backend,
        "fieldmap_backend": "fsl" if undistorted else "none",
        "denoise_stride": denoise_stride,
        "outliers": outliers,
        "gradient_check": gradient_check,
        "gibbs": gibbs,
        "drift": drift,
        "bias": bias,
        "eddy": eddy,
        "denoise_backend": denoise_backend if denoise else "none",
        "seed": seed,
    }
    write_sidecar(
        preproc,
        sources=[*dwi, *bval, *bvec, *(fieldmaps or [])],
        parameters=parameters,
        Notes=list(result.gradients.notes),
        SkullStripped=False,
        **_axis(axes, result.image),
    )
    write_sidecar(mask, sources=[preproc], parameters=parameters, Type="Brain")
    write_quality(quality, result.numbers, verdict, reasons)
    print(f"{verdict}: {', '.join(f'{name} {value:.3g}' for name, value in result.numbers.items())}", flush=True)


def _phase(image: Path, sidecars: list[Path] | None) -> str | None:
    value = metadata_of(image, sidecars).get("PhaseEncodingDirection")
    return str(value) if value else None


def _phase_axes(series: "Series", dwi: list[Path], sidecars: list[Path] | None) -> NDArray | None:
    """Return each volume's axis of phase encoding (V, 3) in the world, or None where a run does not say it."""
    axes = []
    for path in dwi:
        phase = str(_phase(path, sidecars) or metadata_of(path, sidecars).get("PhaseEncodingAxis") or "")
        if phase[:1] not in ("i", "j", "k"):
            return None
        axis = stored_affine(path)[:3, "ijk".index(phase[0])]
        axes.append(axis / np.linalg.norm(axis))
    return np.stack(axes)[series.run_of_volume]


def _axis(axes: NDArray | None, image: Image) -> dict[str, str]:
    """Return the sidecar's entry on the image's axis of phase encoding, where all volumes share one."""
    if axes is None or not np.allclose(np.abs(axes @ axes[0]), 1, atol=1e-3):
        return {}
    along = np.abs(np.linalg.inv(image.affine[:3, :3]) @ axes[0] * image.voxel_mm)
    return {"PhaseEncodingAxis": "ijk"[int(along.argmax())]}
