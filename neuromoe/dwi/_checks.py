"""Quality numbers of a diffusion series, and what they mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuromoe.imaging.gradients import Gradients


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


@dataclass(frozen=True)
class Limits:
    """Beyond which a number warns; a mask outside its volumes and fibres that do not go on fail."""

    fd_mm: float
    ndc: float
    outlier_slices: float
    low_ml: float
    high_ml: float
    coherence: float = 0.0


def judge(numbers: Mapping[str, float], limits: Limits, known: Sequence[str] = ()) -> tuple[str, list[str]]:
    """Turn quality numbers into a verdict and the reasons for it, after those already `known`."""
    reasons = list(known)
    if numbers["mean_fd"] > limits.fd_mm:
        reasons.append(f"mean framewise displacement {numbers['mean_fd']:.2f} mm, above {limits.fd_mm:g}")
    if not numbers["ndc"] >= limits.ndc:
        reasons.append(f"neighbouring correlation {numbers['ndc']:.2f}, below {limits.ndc:g}")
    if numbers["outlier_slices"] > limits.outlier_slices:
        reasons.append(f"{numbers['outlier_slices']:.0f} slices with lost signal, above {limits.outlier_slices:g}")
    failed = False
    if numbers.get("fiber_coherence_best", np.inf) < limits.coherence:
        reasons.append(
            f"fibre coherence {numbers['fiber_coherence_best']:.2f}, below {limits.coherence:g}: no brain's directions"
        )
        failed = True
    if not limits.low_ml <= numbers["mask_volume_ml"] <= limits.high_ml:
        reasons.append(f"brain mask of {numbers['mask_volume_ml']:.0f} ml, not {limits.low_ml:g} to {limits.high_ml:g}")
        failed = True
    return ("fail" if failed else "warn" if reasons else "pass"), reasons
