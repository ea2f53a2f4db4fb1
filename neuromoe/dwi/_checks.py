"""Quality numbers of a diffusion series, and what they mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.gradients import Gradients
from neuromoe.dwi._prediction import predict_left_out


def neighbor_correlation(series: NDArray, gradients: Gradients, mask: NDArray) -> float:
    """Mean correlation in the mask of each weighted volume with the one nearest in b-value and direction.

    Parameters
    ----------
    series : array (X, Y, Z, V)
        Aligned.
    gradients : Gradients
        World directions.
    mask : bool array (X, Y, Z)

    References
    ----------
    Yeh F-C et al. 2019, doi:10.1016/j.neuroimage.2019.116131.
    """
    weighted = np.flatnonzero(~gradients.is_b0)
    if len(weighted) < 2 or mask.sum() < 2:
        return float("nan")
    scaled = gradients.directions[weighted] * np.sqrt(gradients.bvals_s_mm2[weighted, None])
    apart = np.minimum(*(np.linalg.norm(scaled[:, None] - sign * scaled, axis=2) for sign in (1, -1)))
    np.fill_diagonal(apart, np.inf)
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.corrcoef(series[mask][:, weighted].T)
    return float(np.nanmean(correlation[np.arange(len(weighted)), apart.argmin(axis=1)]))


def outlier_slices(
    series: NDArray,
    gradients: Gradients,
    mask: NDArray,
    *,
    reach_rad: float,
    noise: float,
    limit: float = 4.0,
) -> int:
    """Count slices whose signal dropped against what the other directions of their shell predict.

    A slice counts when its mean lies `limit` robust standard deviations and a tenth of the signal below
    the prediction.

    Parameters
    ----------
    series : array (X, Y, Z, V)
        Slices along the third axis, before motion moves them.
    gradients : Gradients
        World directions.
    mask : bool array (X, Y, Z)
    reach_rad, noise : float
        See `leave_one_out_weights`.
    limit : float, default=4
        Robust standard deviations.

    References
    ----------
    Andersson JLR et al. 2016, doi:10.1016/j.neuroimage.2016.06.058.
    """
    slices = np.flatnonzero(mask.sum(axis=(0, 1)) >= 20)
    count = 0
    for shell in (shell for shell in gradients.shells() if len(shell) >= 6 and len(slices)):
        volumes = series[..., shell]
        difference = volumes - predict_left_out(volumes, gradients[shell], reach_rad, noise)
        sizes = mask.sum(axis=(0, 1))[slices, None]
        signal = np.einsum("xyzv,xyz->zv", volumes, mask)[slices] / sizes
        lost = np.einsum("xyzv,xyz->zv", difference, mask)[slices] / sizes
        relative = lost / np.maximum(np.median(signal, axis=1, keepdims=True), 1e-6)
        relative = relative - np.median(relative, axis=0)
        spread = 1.4826 * np.median(np.abs(relative)) + 1e-6
        count += int(((relative < -limit * spread) & (relative < -0.1)).sum())
    return count


def noise_of(volume: NDArray, mask: NDArray) -> float:
    """Estimate the noise of one volume from its second differences, robustly.

    Parameters
    ----------
    volume : array (X, Y, Z)
    mask : bool array (X, Y, Z)

    Returns
    -------
    float
        Standard deviation; an upper bound, since anatomy adds to it.
    """
    second = volume[1:-1] - 0.5 * (volume[2:] + volume[:-2])
    inside = second[mask[1:-1]]
    return float(1.4826 * np.median(np.abs(inside)) / np.sqrt(1.5)) if inside.size else float("nan")


def volume_ml(mask: NDArray, voxel_mm: NDArray) -> float:
    """Volume of a mask, ml."""
    return float(mask.sum() * np.prod(voxel_mm) / 1000)


@dataclass(frozen=True)
class Limits:
    """Beyond which a number is worth a warning; a mask outside its volumes fails."""

    fd_mm: float
    ndc: float
    outlier_slices: float
    low_ml: float
    high_ml: float


def judge(numbers: Mapping[str, float], limits: Limits, known: Sequence[str] = ()) -> tuple[str, list[str]]:
    """Turn quality numbers into a verdict and the reasons for it, after those already `known`."""
    reasons = list(known)
    if numbers["fd_mean_mm"] > limits.fd_mm:
        reasons.append(f"mean framewise displacement {numbers['fd_mean_mm']:.2f} mm, above {limits.fd_mm:g}")
    if not numbers["ndc"] >= limits.ndc:
        reasons.append(f"neighbouring correlation {numbers['ndc']:.2f}, below {limits.ndc:g}")
    if numbers["outlier_slices"] > limits.outlier_slices:
        reasons.append(f"{numbers['outlier_slices']:.0f} slices with lost signal, above {limits.outlier_slices:g}")
    if not limits.low_ml <= numbers["mask_volume_ml"] <= limits.high_ml:
        reasons.append(f"brain mask of {numbers['mask_volume_ml']:.0f} ml, not {limits.low_ml:g} to {limits.high_ml:g}")
        return "fail", reasons
    return ("warn" if reasons else "pass"), reasons
