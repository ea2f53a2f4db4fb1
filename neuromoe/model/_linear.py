"""Linear classifiers with their smoothing chosen inside the training people.

Axis letters: N people, F features, K class.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from neuromoe.model._inner import inner_parts

_PENALTIES = 10.0 ** np.arange(-3, 2)
# Of the mean squared length of a person's centred features.
_RIDGES = 10.0 ** np.arange(-2, 4)


def log_softmax(logits_NK: NDArray) -> NDArray:
    """Normalise logits to log probabilities over the last axis."""
    shifted = logits_NK - logits_NK.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def balanced_weights(targets: NDArray, weighted: bool) -> NDArray:
    """Weigh each person against the frequency of the class; the weights average 1."""
    counts = np.bincount(targets)
    return len(targets) / (counts[targets] * (counts > 0).sum()) if weighted else np.ones(len(targets))


def weighted_nll(log_proba_NK: NDArray, targets: NDArray, weights: NDArray) -> float:
    """Average the weighted negative log-likelihood."""
    return float(-(weights * log_proba_NK[np.arange(len(targets)), targets]).sum() / weights.sum())


@dataclass(frozen=True, eq=False)
class LogisticFit:
    """A fitted multinomial logistic regression.

    Parameters
    ----------
    weights : array (F, K)
    bias : array (K,)
    """

    weights: NDArray
    bias: NDArray

    def log_proba(self, features_NF: NDArray) -> NDArray:
        """Return log probabilities (N, K)."""
        return log_softmax(features_NF.astype(float) @ self.weights + self.bias)

    def arrays(self, name: str) -> dict[str, NDArray]:
        """Return what `from_arrays` reads."""
        return {f"{name}.weights": self.weights, f"{name}.bias": self.bias}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray], name: str) -> Self:
        """Rebuild the fit."""
        return cls(arrays[f"{name}.weights"], arrays[f"{name}.bias"])


def fit_logistic(
    features_NF: NDArray, targets: NDArray, groups: NDArray, *, weighted: bool, folds: int, seed: int
) -> LogisticFit:
    """Fit a multinomial logistic regression, its penalty chosen by grouped cross-validation.

    Parameters
    ----------
    features_NF : array (N, F)
        Scaled features.
    targets : array (N,), int
        Column of the class; every class occurs.
    groups : array (N,)
        Participant or family.
    weighted : bool
        Weigh people against the frequency of their class.
    folds, seed : int
        Inner parts.
    """
    parts = inner_parts(groups, targets, folds, seed)
    weights, classes = balanced_weights(targets, weighted), int(targets.max()) + 1
    losses = []
    for penalty in _PENALTIES:
        out = np.full((len(targets), classes), np.nan)
        for part in range(folds):
            inside = parts != part
            if (~inside).any() and len(np.unique(targets[inside])) == classes:
                fold = _logistic(features_NF[inside], targets[inside], weights[inside], penalty)
                out[~inside] = fold.log_proba(features_NF[~inside])
        known = ~np.isnan(out[:, 0])
        losses.append(weighted_nll(out[known], targets[known], weights[known]) if known.any() else 0.0)
    return _logistic(features_NF, targets, weights, _PENALTIES[int(np.argmin(losses))])


def _logistic(features_NF: NDArray, targets: NDArray, weights: NDArray, penalty: float) -> LogisticFit:
    from sklearn.linear_model import LogisticRegression

    # scikit-learn sums the loss over people; so scaled, a penalty means the same for few and for many.
    model = LogisticRegression(C=1 / (penalty * len(targets)), max_iter=1000)
    model.fit(features_NF.astype(float), targets, sample_weight=weights)
    coefficients, bias = model.coef_.T, model.intercept_
    if coefficients.shape[1] == 1:
        coefficients = np.hstack([np.zeros_like(coefficients), coefficients])
        bias = np.concatenate([[0.0], bias])
    return LogisticFit(np.ascontiguousarray(coefficients), bias)


@dataclass(frozen=True, eq=False)
class RidgeFit:
    """Calibrated ridge regression onto the classes: softmax(slope * (x @ weights + bias) + offset).

    Parameters
    ----------
    weights : array (F, K), float32
    bias, offset : array (K,)
    slope : array (1,)
    """

    weights: NDArray
    bias: NDArray
    slope: NDArray
    offset: NDArray

    def log_proba(self, features_NF: NDArray) -> NDArray:
        """Return log probabilities (N, K)."""
        scores_NK = features_NF.astype(np.float32) @ self.weights + self.bias
        return log_softmax(self.slope * scores_NK + self.offset)

    def arrays(self, name: str) -> dict[str, NDArray]:
        """Return what `from_arrays` reads."""
        parts = {
            "weights": self.weights,
            "bias": self.bias,
            "slope": self.slope,
            "offset": self.offset,
        }
        return {f"{name}.{part}": value for part, value in parts.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray], name: str) -> Self:
        """Rebuild the fit."""
        return cls(*(arrays[f"{name}.{part}"] for part in ("weights", "bias", "slope", "offset")))


def fit_ridge(
    features_NF: NDArray,
    targets: NDArray,
    groups: NDArray,
    classes: int,
    *,
    weighted: bool,
    folds: int,
    seed: int,
) -> RidgeFit:
    """Fit ridge regression onto one column per class, penalty and calibration from held-out inner parts.

    Solved through the people's inner products, so that the cost goes with N, however many voxels there are.

    Parameters
    ----------
    features_NF : array (N, F)
        Voxels.
    targets : array (N,), int
        Column of the class.
    groups : array (N,)
        Participant or family.
    classes : int
        K.
    weighted : bool
        Calibrate with people weighed against the frequency of their class.
    folds, seed : int
        Inner parts.
    """
    features_NF = np.asarray(features_NF, np.float32)
    kernel_NN = (features_NF @ features_NF.T).astype(float)
    wanted_NK = np.eye(classes)[targets]
    parts, weights = inner_parts(groups, targets, folds, seed), balanced_weights(targets, weighted)
    trials = [_held_out(kernel_NN, wanted_NK, parts, ridge) for ridge in _RIDGES]
    calibrations = [calibrate(scores_NK, targets, weights) for scores_NK in trials]
    best = int(np.argmin([loss for loss, *_ in calibrations]))
    dual_NK, mean_K = _solve(kernel_NN, wanted_NK, _RIDGES[best])
    weights_FK = (features_NF.T @ dual_NK.astype(np.float32)).astype(np.float32)
    bias_K = mean_K - features_NF.mean(axis=0, dtype=float) @ weights_FK
    _, slope, offset_K = calibrations[best]
    return RidgeFit(weights_FK, bias_K, np.array([slope]), offset_K)


def _solve(kernel_NN: NDArray, wanted_NK: NDArray, ridge: float) -> tuple[NDArray, NDArray]:
    """Return dual weights, centred so that they apply to uncentred features, and the mean of the targets."""
    mean_K = wanted_NK.mean(axis=0)
    row_N = kernel_NN.mean(axis=0)
    centred_NN = kernel_NN - row_N - row_N[:, None] + row_N.mean()
    # One person, or several who are alike: nothing is left after centring, and any size will do.
    size = centred_NN.trace() / len(centred_NN)
    size = size if size > 0 else 1.0
    dual_NK = np.linalg.solve(centred_NN + ridge * size * np.eye(len(centred_NN)), wanted_NK - mean_K)
    return dual_NK - dual_NK.mean(axis=0), mean_K


def _held_out(kernel_NN: NDArray, wanted_NK: NDArray, parts: NDArray, ridge: float) -> NDArray:
    scores_NK = np.empty_like(wanted_NK)
    for part in np.unique(parts):
        inside, outside = np.flatnonzero(parts != part), np.flatnonzero(parts == part)
        if not len(inside):
            scores_NK[:] = wanted_NK.mean(axis=0)
            continue
        dual_NK, mean_K = _solve(kernel_NN[np.ix_(inside, inside)], wanted_NK[inside], ridge)
        center_N = kernel_NN[np.ix_(inside, inside)].mean(axis=0)
        scores_NK[outside] = (kernel_NN[np.ix_(outside, inside)] - center_N) @ dual_NK + mean_K
    return scores_NK


def calibrate(scores_NK: NDArray, targets: NDArray, weights: NDArray) -> tuple[float, float, NDArray]:
    """Fit a slope and an offset per class by maximum likelihood, with a unit normal prior on each."""
    from scipy.optimize import minimize

    wanted_NK = np.eye(scores_NK.shape[1])[targets]
    scale = max(float(scores_NK.std()), 1e-9)
    scaled_NK = (scores_NK - scores_NK.mean(axis=0)) / scale

    def loss(values: NDArray) -> tuple[float, NDArray]:
        log_proba = log_softmax(values[0] * scaled_NK + values[1:])
        gap_NK = weights[:, None] * (np.exp(log_proba) - wanted_NK)
        gradient = np.concatenate([[(gap_NK * scaled_NK).sum()], gap_NK.sum(axis=0)]) + values
        return -(weights[:, None] * wanted_NK * log_proba).sum() + (values**2).sum() / 2, gradient

    start = np.zeros(1 + scores_NK.shape[1])
    # Scores that point the wrong way on held-out people say nothing: the slope is never negative.
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] + [(None, None)] * (len(start) - 1))
    slope = float(found.x[0]) / scale
    return float(found.fun), slope, found.x[1:] - slope * scores_NK.mean(axis=0)
