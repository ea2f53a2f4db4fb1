"""The correction of a diffusion series, from arrays to arrays."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from neuromoe.dwi._artefacts import without_bias, without_drift, without_ringing
from neuromoe.dwi._by_dipy import denoise_by_dipy
from neuromoe.dwi._checks import neighbor_correlation, noise_of
from neuromoe.dwi._denoise import denoise
from neuromoe.dwi._eddy import estimate_eddy
from neuromoe.dwi._mask import brain_mask, otsu_threshold
from neuromoe.dwi._motion import MotionSettings, estimate_dwi_motion, framewise_displacement_mm
from neuromoe.dwi._normalization import fit_maps, unmask
from neuromoe.dwi._orientation import Orientation, check_orientation
from neuromoe.dwi._outliers import replace_lost, where_lost
from neuromoe.dwi._series import Series
from neuromoe.imaging.geometry import rigid_parameters
from neuromoe.imaging.gradients import Gradients, determines_tensor
from neuromoe.imaging.images import Image, volume_ml
from neuromoe.registration.motion import mean_of_aligned


@dataclass(frozen=True)
class Settings:
    """What is done to the series; see `neuromoe.dwi.correct.correct`."""

    denoise: bool = True
    denoise_radius: int = 2
    interpolation_order: int = 3
    motion: MotionSettings = MotionSettings()
    denoise_stride: int = 2
    outliers: str = "censor"
    gradient_check: str = "warn"
    gibbs: bool = False
    drift: str = "none"
    bias: bool = False
    eddy: str = "rigid"
    denoise_backend: str = "numpy"


@dataclass(frozen=True, eq=False)
class Corrected:
    """The series on one grid, with the head at rest.

    Parameters
    ----------
    image : Image (X, Y, Z, V)
    gradients : Gradients
        Turned with the head.
    mask : Image (X, Y, Z)
        Brain, bool.
    motion : array (V, 4, 4)
        World points of the result to world points of each volume as acquired, rigid.
    numbers : dict of str to float
        Quality numbers.
    reasons : list of str
        What the user should know.
    distortions : array (V, 4, 4) or (1, 4, 4)
        World points of each volume to where its eddy currents put them.
    """

    image: Image
    gradients: Gradients
    mask: Image
    motion: NDArray
    numbers: dict[str, float]
    reasons: list[str] = field(default_factory=list)
    distortions: NDArray = field(default_factory=lambda: np.eye(4)[None])


# A wrong table was 1.06 to 1.25 times less coherent than the right one in real brains; a right one, at most 1.035
# times less than another in made ones.
_MORE_COHERENT = 1.05
# Fewer share too little for noise to be told from signal.
_LEAST_VOLUMES = 5


def correct_series(series: Series, settings: Settings, axes: NDArray | None = None) -> Corrected:
    """Denoise each run, join and align them, mend lost slices, turn the gradients, and find the brain.

    `axes` (V, 3) are the unit vectors of phase encoding, where they are known.
    """
    as_acquired = series
    series, sigma, prepared = prepare(series, settings)
    gradients = series.gradients
    joined, affine = series.on_one_grid(), series.grid.affine
    motion = estimate_dwi_motion(joined, affine, gradients, settings.motion, runs=series.run_of_volume)
    print("motion estimated", flush=True)
    lost, series = _mended(series, joined, motion, settings)
    eddies = np.tile(np.eye(4), (len(gradients), 1, 1))
    if settings.eddy == "affine" and axes is not None:
        motion, eddies = _eddies(series, motion, axes, settings)
    elif settings.eddy == "affine":
        prepared.append("corrected rigidly: eddy currents need the PhaseEncodingDirection of every run")
    whole = eddies @ motion
    data = series.moved(whole, order=settings.interpolation_order)
    # What was stretched was diluted.
    data *= np.linalg.det(eddies).astype(np.float32)
    turns = np.linalg.inv(motion[:, :3, :3])
    mask = mask_of(data, gradients, series.grid.voxel_mm) & series.covered(whole)
    mask = mask if mask.any() else data[..., gradients.is_b0].mean(axis=3) > data[..., gradients.is_b0].mean()
    found = orientation_of(data, gradients.rotated(turns), mask, affine, settings.gradient_check)
    gradients, reasons = heeded(gradients, found, settings.gradient_check)
    turned = gradients.rotated(turns)
    numbers = series_numbers(data, turned, mask, affine)
    numbers |= {"fiber_coherence": found.given, "fiber_coherence_best": found.best} if found else {}
    numbers |= {"outlier_slices": float(lost.sum()), "outlier_volumes": float(lost.any(axis=0).sum())}
    noise = noise_of(joined[..., gradients.is_b0][..., 0], mask) if sigma is None else median_in(sigma, mask)
    numbers["b0_snr"] = median_in(data[..., gradients.is_b0].mean(axis=3), mask) / max(noise, 1e-6)
    numbers |= motion_numbers(motion, mask, affine, series.run_of_volume)
    numbers |= raw_numbers(as_acquired, mask)
    if settings.bias:
        data = without_bias(data, affine, gradients, mask)
    if settings.outliers == "censor":
        data[where_lost(lost, series.grid.shape, affine, whole, series.slice_axis)] = 0
    return Corrected(Image(data, affine), turned, Image(mask, affine), motion, numbers, [*prepared, *reasons], eddies)


def prepare(series: Series, settings: Settings) -> tuple[Series, NDArray | None, list[str]]:
    """Do what must be done before anything is interpolated; return the noise and what the user should know too."""
    reasons: list[str] = []
    series, sigma = series.scaled(), None
    if settings.denoise:
        series, sigma = denoised(series, settings)
    if settings.gibbs:
        series = without_ringing(series)
    if settings.drift != "none":
        series, reasons = without_drift(series, settings.drift)
        series = series.scaled()
    return series, sigma, reasons


def _eddies(series: Series, motion: NDArray, axes: NDArray, settings: Settings) -> tuple[NDArray, NDArray]:
    from scipy.ndimage import binary_dilation

    joined, gradients = series.on_one_grid(), series.gradients
    b0 = mean_of_aligned(joined[..., gradients.is_b0], series.grid.affine, motion[gradients.is_b0])
    # The rim around the head tells stretching most, if both of its sides are seen.
    head = binary_dilation(b0 > 0.5 * otsu_threshold(np.minimum(b0, np.quantile(b0, 0.98))), iterations=2)
    return estimate_eddy(joined, series.grid.affine, gradients, motion, axes, head, settings.motion)


def _mended(series: Series, joined: NDArray, motion: NDArray, settings: Settings) -> tuple[NDArray, Series]:
    # Slices of runs on other grids were mixed when they were joined: those runs are left as they are.
    usable = np.flatnonzero(series.on_first_grid)
    gradients = series.gradients
    b0, shells = joined[..., gradients.is_b0].mean(axis=3), gradients.shells()
    mask = b0 > 0.5 * otsu_threshold(np.minimum(b0, np.quantile(b0, 0.98)))
    lost = np.zeros((joined.shape[series.slice_axis], len(gradients)), bool)
    if not shells:
        return lost, series
    motion_settings = settings.motion
    replaced, lost[:, usable] = replace_lost(
        joined[..., usable],
        series.grid.affine,
        gradients[usable],
        motion[usable],
        mask,
        reach_rad=motion_settings.reach_rad,
        noise=motion_settings.noise,
        axis=series.slice_axis,
    )
    print(f"{lost.sum()} slices lost their signal", flush=True)
    if settings.outliers == "keep" or not lost.any():
        return lost, series
    whole = joined.copy()
    whole[..., usable] = replaced
    return lost, series.with_volumes(whole, np.asarray(lost.any(axis=0)))


def orientation_of(data: NDArray, turned: Gradients, mask: NDArray, affine: NDArray, check: str) -> Orientation | None:
    """Check the gradients by the fibres; None where that is off or no shell determines a tensor."""
    shell = next((s for s in turned.shells() if determines_tensor(turned.directions[s])), None)
    if check == "off" or shell is None:
        return None
    chosen = np.sort(np.concatenate([np.flatnonzero(turned.is_b0), shell]))
    maps, _ = fit_maps(data[..., chosen], turned[chosen], mask)
    return check_orientation(unmask(maps.v1, mask), unmask(maps.fa, mask), affine)


def heeded(gradients: Gradients, found: Orientation | None, check: str) -> tuple[Gradients, list[str]]:
    """Return the gradients as the check wants them read, and what the user should know."""
    if found is None or found.best <= _MORE_COHERENT * found.given:
        return gradients, []
    better = f"fibres are {found.best / max(found.given, 1e-6):.2f} times as coherent with the gradients read as"
    if check != "fix":
        return gradients, [f"{better} {found.name!r}: check the b-vectors"]
    turned = gradients.rotated(np.tile(found.matrix, (len(gradients), 1, 1)))
    note = f"gradient directions changed: {found.name}"
    return replace(turned, notes=(*turned.notes, note)), [f"{better} {found.name!r}, which was done"]


def denoised(series: Series, settings: Settings) -> tuple[Series, NDArray | None]:
    """Denoise each run by itself; return the noise of the first, or None where it has too few volumes."""
    from scipy.ndimage import binary_dilation

    radius, by_dipy = settings.denoise_radius, settings.denoise_backend == "dipy"
    runs, sigmas = [], []
    for run in series.runs:
        if run.image.data.shape[3] < _LEAST_VOLUMES:
            runs.append(run)
            continue
        b0 = run.image.data[..., run.gradients.is_b0].mean(axis=3)
        head = binary_dilation(b0 > 0.5 * otsu_threshold(np.minimum(b0, np.quantile(b0, 0.98))), iterations=radius)
        if by_dipy:
            data, sigma = denoise_by_dipy(run.image.data, head, radius=radius)
        else:
            data, sigma = denoise(run.image.data, head, radius=radius, stride=settings.denoise_stride)
        runs.append(replace(run, image=run.image.like(data)))
        sigmas.append(sigma)
        print(f"denoised, sigma {median_in(sigma, sigma > 0):.3g}", flush=True)
    return Series(runs), sigmas[0] if runs[0] is not series.runs[0] else None


def mask_of(data: NDArray, gradients: Gradients, voxel_mm: NDArray) -> NDArray:
    """Find the brain in an aligned series (X, Y, Z, V)."""
    b0 = data[..., gradients.is_b0].mean(axis=3)
    shells = gradients.shells()
    weighted = data[..., shells[0]].mean(axis=3) if shells else b0
    return brain_mask(b0, weighted, voxel_mm)


def series_numbers(data: NDArray, turned: Gradients, mask: NDArray, affine: NDArray) -> dict[str, float]:
    """Return the numbers of an aligned series: correlation, mask, counts."""
    return {
        "ndc": neighbor_correlation(data, turned, mask),
        "mask_volume_ml": volume_ml(mask, affine),
        "volumes": float(len(turned)),
        "directions": float((~turned.is_b0).sum()),
    }


def raw_numbers(series: Series, mask: NDArray) -> dict[str, float]:
    """Return the neighbouring correlation as acquired, over all voxels and in the mask, by QSIPrep's names."""
    data, gradients = series.on_one_grid(), series.gradients
    return {
        "raw_neighbor_corr": neighbor_correlation(data, gradients, np.ones_like(mask)),
        "raw_masked_neighbor_corr": neighbor_correlation(data, gradients, mask),
    }


def motion_numbers(motion: NDArray, mask: NDArray, affine: NDArray, runs: NDArray) -> dict[str, float]:
    """Return displacement (mm), translation (mm) and rotation (rad) by QSIPrep's names.

    Parameters
    ----------
    motion : array (V, 4, 4)
        Rigid; rotations are about the centre of the mask.
    mask : bool array (X, Y, Z)
    affine : array (4, 4)
    runs : int array (V,)
        The run of each volume: from one run to the next nothing counts as relative.
    """
    voxels = np.argwhere(mask) if mask.any() else np.argwhere(np.ones_like(mask))
    center = affine[:3, :3] @ voxels.mean(axis=0) + affine[:3, 3]
    parameters = np.stack([rigid_parameters(matrix, center) for matrix in motion])
    steps = np.abs(np.diff(parameters, axis=0))
    steps[np.diff(runs) > 0] = 0
    fd = framewise_displacement_mm(motion, center)[1:]
    return {
        "mean_fd": float(fd.mean()) if len(fd) else 0.0,
        "max_fd": float(fd.max(initial=0)),
        "max_translation": float(np.abs(parameters[:, :3]).max()),
        "max_rotation": float(np.abs(parameters[:, 3:]).max()),
        "max_rel_translation": float(steps[:, :3].max(initial=0)),
        "max_rel_rotation": float(steps[:, 3:].max(initial=0)),
    }


def median_in(values: NDArray, mask: NDArray) -> float:
    """Return the median in a mask; not a number where it is empty."""
    return float(np.median(values[mask])) if mask.any() else float("nan")
