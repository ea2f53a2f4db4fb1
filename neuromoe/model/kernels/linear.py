"""Linear classifiers with their smoothing chosen inside the training people.

Axis letters: N people, F features, K class.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from neuromoe.cohort.inner import inner_parts

_PENALTIES = 10.0 ** np.arange(-3, 2)


def log_softmax(logits_NK: NDArray) -> NDArray:
    """Normalise logits to log probabilities over the last axis."""
    shifted = logits_NK - logits_NK.max(axis=-1, keepdims=True, initial=-np.inf)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def balanced_weights(targets: NDArray, weighted: bool) -> NDArray:
    """Weigh each person against the frequency of the class; the weights average 1."""
    counts = np.bincount(targets)
    return len(targets) / (counts[targets] * (counts > 0).sum()) if weighted else np.ones(len(targets))


def weighted_nll(log_proba_NK: NDArray, targets: NDArray, weights: NDArray) -> float:
    """Average the weighted negative log-likelihood."""
    losses_N = -log_proba_NK[np.arange(len(targets)), targets]
    return float((weights * losses_N).sum() / max(weights.sum(), np.finfo(float).tiny))


def base_nll(targets: NDArray, weights: NDArray) -> float:
    """Return the loss of the weighted class frequencies themselves."""
    shares_K = np.bincount(targets, weights) / weights.sum()
    known_K = shares_K[shares_K > 0]
    return float(-(known_K * np.log(known_K)).sum())


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


@functools.cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def minimize(
    loss: Callable[[NDArray], tuple[float, NDArray]],
    start: NDArray,
    bounds: Sequence[tuple[float | None, float | None]],
) -> tuple[NDArray, float]:
    """Minimise a loss that returns its gradient, too, by L-BFGS-B; return where it is least, and how much it is there.

    On one thread: on arrays as small as these, threads wait for each other several times as long as they work.
    """
    from scipy.optimize import minimize as by_scipy

    with _blas().limit(limits=1, user_api="blas"):
        found = by_scipy(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return found.x, float(found.fun)


def calibrate(scores_NK: NDArray, targets: NDArray, weights: NDArray) -> tuple[float, float, NDArray]:
    """Fit a slope and an offset per class by maximum likelihood, with a unit normal prior on each."""
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
    found, least = minimize(loss, start, [(0, None)] + [(None, None)] * (len(start) - 1))
    slope = float(found[0]) / scale
    return least, slope, found[1:] - slope * scores_NK.mean(axis=0)
