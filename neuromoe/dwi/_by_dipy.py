"""Diffusion by dipy: Marchenko-Pastur PCA and the weighted tensor fit, in place of ours."""

import numpy as np
from numpy.typing import NDArray

from neuromoe.dwi._denoise import patch_reach
from neuromoe.dwi._tensor import LEAST_SIGNALS, Tensor
from neuromoe.imaging.gradients import B0_MAX_S_MM2, Gradients


def denoise_by_dipy(series: NDArray, mask: NDArray, *, radius: int = 2) -> tuple[NDArray, NDArray]:
    """Denoise by dipy's `mppca`, with a patch around every voxel of the mask.

    Parameters
    ----------
    series : array (X, Y, Z, V)
        The raw series, before any interpolation.
    mask : bool array (X, Y, Z)
        Where the result is taken; elsewhere the series stays as it is.
    radius : int, default=2
        Half the edge of a patch, voxels, grown and shrunk as in `neuromoe.dwi._denoise.denoise`.

    Returns
    -------
    denoised : array (X, Y, Z, V), float32
    sigma : array (X, Y, Z), float32
        Standard deviation of the noise; 0 where no patch reaches.

    References
    ----------
    Garyfallidis E et al. 2014, doi:10.3389/fninf.2014.00008 (dipy).
    """
    from dipy.denoise.localpca import mppca

    series = np.asarray(series, np.float32)
    reach = patch_reach(series.shape, radius)
    # Where no patch reaches it divides zero by zero.
    with np.errstate(invalid="ignore"):
        found, sigma = mppca(series, mask=mask, patch_radius=reach, return_sigma=True, suppress_warning=True)
    reached = mask & np.isfinite(sigma)
    return np.where(reached[..., None], found, series), np.where(reached, sigma, 0).astype(np.float32)


def fit_tensor_by_dipy(signals: NDArray, gradients: Gradients) -> Tensor:
    """Fit tensors by dipy's weighted least squares.

    Dipy takes a signal of zero for a very small one. It means that nothing is known here, so that voxels which lack the
    same volumes are fitted together, without these.

    Parameters
    ----------
    signals : array (N, V)
        As in `neuromoe.dwi._tensor.fit_tensor`.
    gradients : Gradients
        Their b-values, s/mm^2, and world directions.

    References
    ----------
    Garyfallidis E et al. 2014, doi:10.3389/fninf.2014.00008 (dipy).
    """
    lowest = float(signals[signals > 0].min()) if (signals > 0).any() else 1.0
    known = signals > 0
    known[known.sum(axis=1) < LEAST_SIGNALS] = True
    patterns, which = np.unique(known, axis=0, return_inverse=True)
    matrices, s0 = np.empty((len(signals), 3, 3)), np.empty(len(signals))
    for number, kept in enumerate(patterns):
        here = which.reshape(-1) == number
        matrices[here], s0[here] = _fit(signals[here][:, kept], gradients[kept], lowest)
    return Tensor(matrices, s0)


def _fit(signals: NDArray, gradients: Gradients, lowest: float) -> tuple[NDArray, NDArray]:
    from dipy.core.gradients import gradient_table
    from dipy.reconst.dti import TensorModel

    bvals = gradients.bvals_s_mm2
    table = gradient_table(bvals, bvecs=gradients.directions, b0_threshold=max(B0_MAX_S_MM2, float(bvals.min())))
    model = TensorModel(table, fit_method="WLS", return_S0_hat=True, min_signal=lowest)
    fitted = model.fit(signals.astype(np.float64))
    return fitted.quadratic_form, fitted.S0_hat
