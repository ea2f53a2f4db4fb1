"""The correction of a diffusion series, from arrays to arrays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.gradients import Gradients
from neuromoe.core.images import Image
from neuromoe.dwi._checks import neighbor_correlation, noise_of, outlier_slices, volume_ml
from neuromoe.dwi._denoise import denoise
from neuromoe.dwi._mask import brain_mask, otsu_threshold
from neuromoe.dwi._motion import MotionSettings, estimate_dwi_motion, framewise_displacement_mm
from neuromoe.dwi._series import Run, Series


@dataclass(frozen=True)
class Settings:
    """What is done to the series; see `neuromoe.dwi.correct.correct`."""

    denoise: bool = True
    denoise_radius: int = 2
    interpolation_order: int = 3
    motion: MotionSettings = MotionSettings()


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
        World points of the result to world points of each volume as acquired.
    numbers : dict of str to float
        Quality numbers.
    """

    image: Image
    gradients: Gradients
    mask: Image
    motion: NDArray
    numbers: dict[str, float]


def correct_series(series: Series, settings: Settings) -> Corrected:
    """Denoise each run, join and align them, turn the gradients, and find the brain."""
    series = series.scaled()
    sigma = None
    if settings.denoise:
        series, sigma = _denoised(series, settings.denoise_radius)
    gradients = series.gradients
    joined, affine = series.on_one_grid(), series.grid.affine
    motion = estimate_dwi_motion(joined, affine, gradients, settings.motion)
    print("motion estimated", flush=True)
    data = series.moved(motion, order=settings.interpolation_order)
    turned = gradients.rotated(np.linalg.inv(motion[:, :3, :3]))
    mask = _mask_of(data, gradients, series.grid.voxel_mm) & series.covered(motion)
    numbers = _numbers(joined, data, turned, mask, series.grid.voxel_mm, settings.motion)
    noise = noise_of(joined[..., gradients.is_b0][..., 0], mask) if sigma is None else _median(sigma, mask)
    numbers["b0_snr"] = _median(data[..., gradients.is_b0].mean(axis=3), mask) / max(noise, 1e-6)
    numbers["fd_mean_mm"], numbers["fd_max_mm"] = _fd(motion, mask, affine)
    return Corrected(Image(data, affine), turned, Image(mask, affine), motion, numbers)


def _denoised(series: Series, radius: int) -> tuple[Series, NDArray]:
    from scipy.ndimage import binary_dilation

    runs, sigmas = [], []
    for run in series.runs:
        b0 = run.image.data[..., run.gradients.is_b0].mean(axis=3)
        head = binary_dilation(b0 > 0.5 * otsu_threshold(np.minimum(b0, np.quantile(b0, 0.98))), iterations=radius)
        data, sigma = denoise(run.image.data, head, radius=radius)
        runs.append(Run(run.image.like(data), run.gradients))
        sigmas.append(sigma)
        print(f"denoised, sigma {_median(sigma, sigma > 0):.3g}", flush=True)
    return Series(runs), sigmas[0]


def _mask_of(data: NDArray, gradients: Gradients, voxel_mm: NDArray) -> NDArray:
    b0 = data[..., gradients.is_b0].mean(axis=3)
    shells = gradients.shells()
    weighted = data[..., shells[0]].mean(axis=3) if shells else b0
    return brain_mask(b0, weighted, voxel_mm)


def _numbers(
    joined: NDArray,
    data: NDArray,
    turned: Gradients,
    mask: NDArray,
    voxel_mm: NDArray,
    settings: MotionSettings,
) -> dict[str, float]:
    return {
        "ndc": neighbor_correlation(data, turned, mask),
        "outlier_slices": float(
            outlier_slices(joined, turned, mask, reach_rad=settings.reach_rad, noise=settings.noise)
        ),
        "mask_volume_ml": volume_ml(mask, voxel_mm),
        "volumes": float(len(turned)),
        "directions": float((~turned.is_b0).sum()),
    }


def _fd(motion: NDArray, mask: NDArray, affine: NDArray) -> tuple[float, float]:
    voxels = np.argwhere(mask) if mask.any() else np.argwhere(np.ones_like(mask))
    center = affine[:3, :3] @ voxels.mean(axis=0) + affine[:3, 3]
    fd = framewise_displacement_mm(motion, center)[1:]
    return (float(fd.mean()), float(fd.max())) if len(fd) else (0.0, 0.0)


def _median(values: NDArray, mask: NDArray) -> float:
    return float(np.median(values[mask])) if mask.any() else float("nan")
