"""The diffusion tensor by weighted least squares, all voxels at once.

Axis letters: N voxels, V volumes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.gradients import Gradients

# Diffusivities are fitted in um^2/ms, where they are near 1, and given in mm^2/s.
_SCALE = 1e-3


@dataclass(frozen=True, eq=False)
class Tensor:
    """Fitted tensors.

    Parameters
    ----------
    matrices : array (N, 3, 3)
        Diffusion tensors along the RAS+ world axes, mm^2/s.
    s0 : array (N,)
        Signal without diffusion weighting.
    """

    matrices: NDArray
    s0: NDArray

    def predict(self, gradients: Gradients) -> NDArray:
        """Return the signal (N, V) that the tensors give under these gradients."""
        g = gradients.directions
        apparent = np.einsum("vi,nij,vj->nv", g, self.matrices, g, optimize=True)
        return self.s0[:, None] * np.exp(-gradients.bvals_s_mm2 * np.clip(apparent, 0, None))


def fit_tensor(signals: NDArray, gradients: Gradients) -> Tensor:
    """Fit log signals by ordinary, then by weighted least squares; weights are squared predictions.

    Parameters
    ----------
    signals : array (N, V)
        Signals; values at or below zero are taken as the smallest positive one.
    gradients : Gradients
        Their b-values, s/mm^2, and world directions; at least 6 directions and a second b-value.

    Returns
    -------
    Tensor

    References
    ----------
    Chung S et al. 2006, doi:10.1016/j.neuroimage.2006.07.001.
    """
    design_V7 = _design(gradients)
    positive = signals[signals > 0]
    logs_NV = np.log(np.maximum(signals, positive.min() if positive.size else 1.0).astype(np.float64))
    first_N7 = logs_NV @ np.linalg.pinv(design_V7).T
    fitted_NV = first_N7 @ design_V7.T
    # A common factor of the weights cancels; taking out the largest keeps the exponential in range.
    weights_NV = np.exp(2 * (fitted_NV - fitted_NV.max(axis=1, keepdims=True)))
    outer_VK = (design_V7[:, :, None] * design_V7[:, None, :]).reshape(len(design_V7), 49)
    normal_N77 = (weights_NV @ outer_VK).reshape(-1, 7, 7) + 1e-12 * np.eye(7)
    right_N7 = (weights_NV * logs_NV) @ design_V7
    found_N7 = np.linalg.solve(normal_N77, right_N7[..., None])[..., 0]
    xx, yy, zz, xy, xz, yz, log_s0 = found_N7.T
    matrices = np.stack([xx, xy, xz, xy, yy, yz, xz, yz, zz], axis=-1).reshape(-1, 3, 3) * _SCALE
    return Tensor(matrices, np.exp(np.clip(log_s0, -50, 50)))


def _design(gradients: Gradients) -> NDArray:
    x, y, z = gradients.directions.T
    b = gradients.bvals_s_mm2 * _SCALE
    products = [x * x, y * y, z * z, 2 * x * y, 2 * x * z, 2 * y * z]
    return np.stack([*(-b * product for product in products), np.ones_like(b)], axis=1)


@dataclass(frozen=True, eq=False)
class Maps:
    """Scalar maps and the main direction of tensors.

    Parameters
    ----------
    fa : array (N,)
        Fractional anisotropy, 0 to 1.
    md, ad, rd : array (N,)
        Mean, axial and radial diffusivity, mm^2/s.
    v1 : array (N, 3)
        Unit vector of the largest eigenvalue, RAS+ world axes; its sign means nothing.
    """

    fa: NDArray
    md: NDArray
    ad: NDArray
    rd: NDArray
    v1: NDArray


def tensor_maps(tensor: Tensor) -> Maps:
    """Compute scalar maps from tensors; negative eigenvalues, which noise makes, count as zero.

    References
    ----------
    Basser PJ, Pierpaoli C 1996, doi:10.1006/jmrb.1996.0086.
    """
    values, vectors = np.linalg.eigh(tensor.matrices)
    values = np.clip(values, 0, None)
    md = values.mean(axis=1)
    spread = ((values - md[:, None]) ** 2).sum(axis=1)
    size = (values**2).sum(axis=1)
    fa = np.sqrt(1.5 * np.divide(spread, size, out=np.zeros_like(size), where=size > 0))
    return Maps(np.clip(fa, 0, 1), md, values[:, 2], values[:, :2].mean(axis=1), vectors[:, :, 2])
