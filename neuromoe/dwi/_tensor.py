"""The diffusion tensor by weighted least squares, all voxels at once.

Axis letters: N voxels, V volumes, K the 28 different products of the model's 7 columns.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neuromoe.imaging.gradients import Gradients

if TYPE_CHECKING:
    from torch import Tensor as Array

# Diffusivities are fitted in um^2/ms, where they are near 1, and given in mm^2/s.
_SCALE = 1e-3
_VOXELS_AT_ONCE = 16_384
_ROUNDS = 4
# The unknowns of a voxel: with fewer signals nothing can be left out.
LEAST_SIGNALS = 7
_UPPER = [(i, j) for i in range(7) for j in range(i, 7)]


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
        x, y, z = gradients.directions.T
        products_V6 = np.stack([x * x, y * y, z * z, 2 * x * y, 2 * x * z, 2 * y * z], axis=1)
        six_N6 = self.matrices[:, [0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]
        apparent_NV = np.clip(six_N6 @ products_V6.T, 0, None)
        return self.s0[:, None] * np.exp(-gradients.bvals_s_mm2 * apparent_NV)


def fit_tensor(signals: NDArray, gradients: Gradients, *, robust: bool = False) -> Tensor:
    """Fit log signals by ordinary, then by weighted least squares; weights are squared predictions.

    Parameters
    ----------
    signals : array (N, V)
        Signals. Values at or below zero mean that nothing is known: they do not count, unless too few
        others are left; then they are taken as the smallest positive one.
    gradients : Gradients
        Their b-values, s/mm^2, and world directions; at least 6 directions and a second b-value.
    robust : bool, default=False
        Weigh down, then leave out, single signals that lie far from the tensor of the others [2]_.

    Returns
    -------
    Tensor

    References
    ----------
    .. [1] Chung S et al. 2006, doi:10.1016/j.neuroimage.2006.07.001.
    .. [2] Collier Q et al. 2015, doi:10.1002/mrm.25351.
    """
    import torch

    design_V7 = _design(gradients)
    lowest = float(signals[signals > 0].min()) if (signals > 0).any() else 1.0
    found_7N = np.empty((7, len(signals)))
    for start in range(0, len(signals), _VOXELS_AT_ONCE):
        part = slice(start, start + _VOXELS_AT_ONCE)
        chunk = torch.from_numpy(np.ascontiguousarray(signals[part], dtype=np.float32))
        found_7N[:, part] = _fit(chunk, torch.from_numpy(design_V7), lowest, robust).numpy()
    xx, yy, zz, xy, xz, yz, log_s0 = found_7N
    matrices = np.stack([xx, xy, xz, xy, yy, yz, xz, yz, zz], axis=-1).reshape(-1, 3, 3) * _SCALE
    return Tensor(matrices, np.exp(np.clip(log_s0, -50, 50)))


def _fit(signals_NV: "Array", design_V7: "Array", lowest: float, robust: bool) -> "Array":
    import torch

    known_VN = (signals_NV > 0).T.float()
    logs_VN = signals_NV.clamp(min=lowest).log().T
    few = known_VN.sum(0) < LEAST_SIGNALS
    known_VN = torch.where(few, torch.ones_like(known_VN), known_VN)
    inverse_7V = torch.linalg.pinv(design_V7)
    found_7N = inverse_7V @ logs_VN.double()
    if not bool((known_VN > 0).all()):
        found_7N = _solve(found_7N, logs_VN, known_VN, design_V7)
    found_7N = _solve(found_7N, logs_VN, known_VN * _squared(found_7N, design_V7), design_V7)
    return _without_outliers(found_7N, logs_VN, known_VN, design_V7) if robust else found_7N


def _squared(found_7N: "Array", design_V7: "Array") -> "Array":
    # A common factor of the weights cancels; taking out the largest keeps the exponential in range.
    fitted_VN = design_V7.float() @ found_7N.float()
    return (2 * (fitted_VN - fitted_VN.amax(dim=0))).exp()


def _solve(found_7N: "Array", logs_VN: "Array", weights_VN: "Array", design_V7: "Array") -> "Array":
    """Return the weighted least squares solution as `found` and what its residuals ask to add.

    Residuals are small, so that single precision is enough for the sums over the volumes.
    """
    import torch

    left_VN = logs_VN - (design_V7 @ found_7N).float()
    upper_VK = torch.stack([design_V7[:, i] * design_V7[:, j] for i, j in _UPPER], dim=1).float()
    normal_KN = (upper_VK.T @ weights_VN).double()
    right_7N = (design_V7.float().T @ (weights_VN * left_VN)).double()
    return found_7N + _cholesky_solve(normal_KN, right_7N)


def _cholesky_solve(normal_KN: "Array", right_7N: "Array") -> "Array":
    """Solve N symmetric systems of 7 unknowns; each operation runs over all of them."""
    import torch

    a = {pair: normal_KN[k] for k, pair in enumerate(_UPPER)}
    lower: dict[tuple[int, int], Array] = {}
    ones: list[Array] = []
    for i in range(7):
        pivot = a[i, i]
        for k in range(i):
            pivot = pivot - lower[i, k].square()
        # What is smaller than rounding can tell would blow up what the known volumes leave open.
        ones.append(pivot.maximum(1e-6 * a[i, i] + 1e-30).rsqrt())
        for j in range(i + 1, 7):
            rest = a[i, j]
            for k in range(i):
                rest = rest - lower[i, k] * lower[j, k]
            lower[j, i] = rest * ones[i]
    found = list(right_7N)
    for i in range(7):
        for k in range(i):
            found[i] = found[i] - lower[i, k] * found[k]
        found[i] = found[i] * ones[i]
    for i in reversed(range(7)):
        for k in range(i + 1, 7):
            found[i] = found[i] - lower[k, i] * found[k]
        found[i] = found[i] * ones[i]
    return torch.stack(found)


def _without_outliers(found_7N: "Array", logs_VN: "Array", known_VN: "Array", design_V7: "Array") -> "Array":
    for _ in range(_ROUNDS):
        square_VN = _squared(found_7N, design_V7)
        share_VN = _off(found_7N, logs_VN, square_VN, design_V7)
        found_7N = _solve(found_7N, logs_VN, known_VN * square_VN / (1 + share_VN.square()).square(), design_V7)
    square_VN = _squared(found_7N, design_V7)
    kept_VN = known_VN * (_off(found_7N, logs_VN, square_VN, design_V7) < 3)
    enough = kept_VN.sum(0) >= design_V7.shape[1] + 2
    return _solve(found_7N, logs_VN, square_VN * known_VN.where(~enough, kept_VN), design_V7)


def _off(found_7N: "Array", logs_VN: "Array", square_VN: "Array", design_V7: "Array") -> "Array":
    """Return how far each signal lies from its prediction, in robust standard deviations of its voxel."""
    left_VN = square_VN.sqrt() * (logs_VN - (design_V7 @ found_7N).float())
    free = max(1 - 7 / len(left_VN), 0.1) ** 0.5
    spread = 1.4826 * left_VN.abs().median(dim=0).values / free
    return left_VN.abs() / spread.clamp(min=1e-6)


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
    values, v1 = eigensystem(tensor.matrices)
    values = np.clip(values, 0, None)
    md = values.mean(axis=1)
    spread = ((values - md[:, None]) ** 2).sum(axis=1)
    size = (values**2).sum(axis=1)
    fa = np.sqrt(1.5 * np.divide(spread, size, out=np.zeros_like(size), where=size > 0))
    return Maps(np.clip(fa, 0, 1), md, values[:, 2], values[:, :2].mean(axis=1), v1)


def color_fa(maps: Maps) -> NDArray:
    """Return the size of each world part of the main direction, times FA (N, 3).

    References
    ----------
    Pajevic S, Pierpaoli C 1999, doi:10.1002/(SICI)1522-2594(199909)42:3<526::AID-MRM15>3.0.CO;2-J.
    """
    return np.abs(maps.v1) * maps.fa[:, None]


def eigensystem(matrices: NDArray) -> tuple[NDArray, NDArray]:
    """Compute the eigenvalues of symmetric matrices and the eigenvector of the largest, in closed form.

    Parameters
    ----------
    matrices : array (N, 3, 3)

    Returns
    -------
    values : array (N, 3)
        Ascending.
    vector : array (N, 3)
        Of unit length.

    References
    ----------
    Smith OK 1961, doi:10.1145/355578.366316.
    """
    mean = np.trace(matrices, axis1=1, axis2=2) / 3
    off = matrices - mean[:, None, None] * np.eye(3)
    size = np.sqrt((off * off).sum(axis=(1, 2)) / 6)
    off = np.moveaxis(off / np.maximum(size, 1e-100)[:, None, None], 0, -1)
    (a, xy, xz), (_, b, yz), (_, _, c) = off
    half = (a * (b * c - yz * yz) - xy * (xy * c - yz * xz) + xz * (xy * yz - b * xz)) / 2
    angle = np.arccos(np.clip(half, -1, 1)) / 3
    largest, smallest = 2 * np.cos(angle), 2 * np.cos(angle + 2 * np.pi / 3)
    values = mean + size * np.stack([smallest, -largest - smallest, largest])
    return values.T, _null_vector(off - largest * np.eye(3)[..., None], matrices)


def _null_vector(rows: NDArray, matrices: NDArray) -> NDArray:
    # The vector lies across every row of A - largest: of the three products the longest is the most exact.
    crosses = [_cross(rows[i], rows[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    lengths = np.stack([(cross * cross).sum(axis=0) for cross in crosses])
    vector = np.choose(lengths.argmax(axis=0), crosses)
    longest = lengths.max(axis=0)
    unsure = longest <= 1e-10
    vector = (vector / np.sqrt(np.where(unsure, 1, longest))).T
    if unsure.any():
        vector[unsure] = np.linalg.eigh(matrices[unsure])[1][:, :, 2]
    return vector


def _cross(a: NDArray, b: NDArray) -> NDArray:
    return np.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])
