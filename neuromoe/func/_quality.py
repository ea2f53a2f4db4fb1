"""Quality numbers of a corrected run, with MRIQC's names and formulas, and the verdict on it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.quality import energy_ratio, entropy_focus, worst
from neuromoe.func._framewise import dvars, framewise_displacement, motion_parameters, temporal_snr
from neuromoe.func._mask import center_mm, volume_verdict
from neuromoe.imaging.images import Image, dice, volume_ml
from neuromoe.registration.coregister import Coregistration

_OUTLIER_RATE = 1e-3
# Voxels whose ranks are compared, at least.
_RANKED = 5_000
FAR_MM = 25.0
# A bright part too large for a head is one all the same where the brain fills so much of it: heads .97, a bottle .77.
HEAD_DICE = 0.85


def motion_numbers(motion: NDArray, brain: NDArray, affine: NDArray, *, fd_threshold_mm: float) -> dict[str, float]:
    """Return mean, largest, number and percentage of framewise displacements, mm, of a run's motion (V, 4, 4)."""
    displacement = framewise_displacement(motion_parameters(motion, center_mm(brain, affine)))[1:]
    moved = displacement > fd_threshold_mm
    return {
        "fd_mean": float(displacement.mean()),
        "fd_max": float(displacement.max()),
        "fd_num": float(moved.sum()),
        "fd_perc": float(100 * moved.mean()),
    }


def course_numbers(courses: NDArray) -> dict[str, float]:
    """Return the numbers of motion-corrected time courses (N, V) of the brain.

    References
    ----------
    Esteban et al. 2017, doi:10.1371/journal.pone.0184661; Saad et al. 2013, doi:10.1089/brain.2013.0156 (gcor).
    """
    plain, standard, by_voxel = dvars(courses)
    return {
        "dvars_nstd": float(np.nanmean(plain)),
        "dvars_std": float(np.nanmean(standard)),
        "dvars_vstd": float(np.nanmean(by_voxel)),
        "tsnr": float(np.median(temporal_snr(courses))),
        "gcor": global_correlation(courses),
        "aor": outlier_ratio(courses),
        "aqi": quality_index(courses),
    }


def global_correlation(courses: NDArray) -> float:
    """Return the mean correlation of all pairs of time courses (N, V), as the size of their mean of unit length."""
    centered = courses - courses.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centered, axis=1, keepdims=True)
    unit = centered[length[:, 0] > 0] / length[length[:, 0] > 0]
    return float(np.square(unit.mean(axis=0, dtype=np.float64)).sum()) if len(unit) else 0.0


def outlier_ratio(courses: NDArray) -> float:
    """Return the share of values (N, V) that are outliers of their voxel, as AFNI's 3dToutcount counts them."""
    from scipy.stats import norm

    count = courses.shape[1]
    limit = float(norm.isf(_OUTLIER_RATE / count)) * np.sqrt(np.pi / 2)
    deviation = np.abs(courses - np.median(courses, axis=1, keepdims=True))
    spread = np.median(deviation, axis=1, keepdims=True)
    return float((deviation > limit * spread)[spread[:, 0] > 0].mean()) if (spread > 0).any() else 0.0


def quality_index(courses: NDArray) -> float:
    """Return the mean over volumes of 1 - Spearman's correlation with the median volume, as AFNI's 3dTqual has it."""
    from scipy.stats import rankdata

    values = courses[:: max(1, len(courses) // _RANKED)]
    ranks = rankdata(np.column_stack([np.median(values, axis=1), values]), axis=0)
    ranks -= ranks.mean(axis=0)
    ranks /= np.maximum(np.linalg.norm(ranks, axis=0), 1e-12)
    return float(1 - (ranks[:, 1:].T @ ranks[:, 0]).mean())


def smoothness(courses: NDArray, brain: NDArray, voxel_mm: NDArray) -> dict[str, float]:
    """Return the full width at half maximum, mm, of the noise along each axis and their mean, as 3dFWHMx's classic one.

    Parameters
    ----------
    courses : array (N, V)
        Of the brain's voxels, in C order. Each course's mean and linear drift are taken out, and each volume's mean.
    brain : bool array (X, Y, Z)
        The brain.
    voxel_mm : array (3,)
        Edges of a voxel.

    References
    ----------
    Forman et al. 1995, doi:10.1002/mrm.1910330508
    """
    time = np.linspace(-1, 1, courses.shape[1])
    noise = courses - courses.mean(axis=1, keepdims=True)
    noise = noise - (noise @ time / (time @ time))[:, None] * time
    noise -= noise.mean(axis=0)
    place = np.full(brain.shape, -1)
    place[brain] = np.arange(len(courses))
    variance, found = float(np.square(noise).mean()), {}
    for axis, letter in enumerate("xyz"):
        ahead, behind = (np.moveaxis(place, axis, 0)[cut].ravel() for cut in (slice(1, None), slice(None, -1)))
        both = (ahead >= 0) & (behind >= 0)
        change = np.square(noise[ahead[both]] - noise[behind[both]]).mean() if both.any() else np.nan
        kept = np.clip(1 - change / max(2 * variance, 1e-12), 1e-6, 1 - 1e-6)
        found[f"fwhm_{letter}"] = float(voxel_mm[axis] * np.sqrt(-2 * np.log(2) / np.log(kept)))
    return found | {"fwhm_avg": float(np.mean(list(found.values())))}


def image_numbers(reference: Image, brain: NDArray) -> dict[str, float]:
    """Return numbers of the mean volume: signal to noise, entropy focus, energy of brain over rest, ghost to signal.

    References
    ----------
    Shehzad et al. 2015, doi:10.3389/conf.fnins.2015.91.00047 (fber); Giannelli et al. 2010,
    doi:10.1120/jacmp.v11i4.3237 (gsr).
    """
    inside = reference.data[brain].astype(np.float64)
    snr = np.median(inside) / (inside.std() * np.sqrt(inside.size / max(inside.size - 1, 1)) + 1e-12)
    values = np.abs(reference.data.astype(np.float64))
    numbers = {"snr": float(snr), "efc": entropy_focus(values), "fber": energy_ratio(inside, values[~brain])}
    return numbers | {f"gsr_{letter}": ghost_ratio(values, brain, axis) for axis, letter in enumerate("xy")}


def ghost_ratio(values: NDArray, brain: NDArray, axis: int) -> float:
    """Return how much brighter the brain's ghost half a field of view aside is than the background, over the brain."""
    half = brain.shape[axis] // 2
    moved = np.zeros_like(brain)
    view, source = np.moveaxis(moved, axis, 0), np.moveaxis(brain, axis, 0)
    view[:half], view[half : 2 * half] = source[half : 2 * half], source[:half]
    ghost, rest = moved & ~brain, ~moved & ~brain
    if not (ghost.any() and rest.any() and brain.any()):
        return float("nan")
    return float((values[ghost].mean() - values[rest].mean()) / np.median(values[brain]))


def placement_numbers(found: Coregistration, brain: NDArray, bright: NDArray, affine: NDArray) -> dict[str, float]:
    """Return how well the run was placed, and the agreement of the masks from anatomy and from brightness."""
    middle = np.append(center_mm(bright if bright.any() else np.ones_like(bright), affine), 1.0)
    return {
        "mask_ml": volume_ml(brain, affine),
        "mask_dice": dice(brain, bright),
        "coregistration_score": found.score,
        "coregistration_lost": found.lost,
        "coregistration_shift_mm": float(np.linalg.norm((np.linalg.inv(found.matrix) @ middle - middle)[:3])),
    }


def judge(
    numbers: dict[str, float],
    brain: NDArray,
    bright: NDArray,
    affine: NDArray,
    *,
    direct: bool,
    lost_warn: float,
    lost_fail: float,
    problems: Sequence[str] = (),
    failures: Sequence[str] = (),
) -> tuple[str, list[str]]:
    """Return the verdict on a run and its reasons.

    Parameters
    ----------
    numbers : dict
        Of this module's functions.
    brain, bright : bool array (X, Y, Z)
        Brain mask, and what is bright in the reference.
    affine : array (4, 4)
        Of the reference, mm.
    direct : bool
        Placed in the template, without a T1w.
    lost_warn, lost_fail : float
        Limits of what the coregistration score loses 4 mm aside.
    problems : sequence of str
        Known already; each warns.
    failures : sequence of str
        Known already; each fails.
    """
    volume, reasons = volume_verdict(brain, affine)
    object_verdict, too_large = volume_verdict(bright, affine)
    verdicts = [volume, *("fail" for _ in failures)]
    reasons += failures
    if object_verdict == "fail" and numbers["mask_dice"] < HEAD_DICE:
        verdicts.append("fail")
        reasons += [f"no head: {too_large[0].replace('brain mask of', 'the bright part has')}"]
    if numbers["coregistration_lost"] < lost_warn:
        verdicts.append("fail" if numbers["coregistration_lost"] < lost_fail else "warn")
        target, lost = "template" if direct else "T1w", numbers["coregistration_lost"]
        reasons += [f"the reference may not fit the {target}: 4 mm aside the score is only {lost:.3f} lower"]
    if not direct and numbers["coregistration_shift_mm"] > FAR_MM:
        reasons += [f"placed {numbers['coregistration_shift_mm']:.0f} mm from where the header says"]
    reasons += problems
    reasons += ["lower quality: registered to the template without a T1w"] if direct else []
    reasons += [f"moved: mean framewise displacement {numbers['fd_mean']:.2f} mm"] if numbers["fd_mean"] > 0.5 else []
    reasons += [f"masks disagree: Dice {numbers['mask_dice']:.2f}"] if numbers["mask_dice"] < 0.75 else []
    return worst([*verdicts, "warn" if reasons else "pass"]), reasons
