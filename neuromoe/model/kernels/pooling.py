"""Experts' predictions pooled by weights, and the temperature of what comes out.

Axis letters: N people, E expert, K class.
"""

import numpy as np
from numpy.typing import NDArray

from neuromoe.model.kernels.linear import log_softmax, weighted_nll

POOLS = ("mixture", "product")
# How far a scan counts: never not at all, so that every equation keeps its solution.
_TRUSTED = (0.02, 50.0)
# Rate of the prior of a temperature that is fitted by itself: without, noise of 24 people is taken for news.
_SHY = 1.0


def trust(slant: NDArray, level: NDArray | float) -> NDArray:
    """Turn a gate's logits by quality into how far scans count in a regression; `level` counts 1."""
    return np.clip(np.exp(slant) / level, *_TRUSTED)


def warmth(temperatures: NDArray, there_NE: NDArray) -> NDArray:
    """Return by what pooled log probabilities are multiplied (N,).

    A mean of calibrated experts is less sure than it should be, and a temperature above 1 mends that, but an expert
    that stands alone needs no mending: a person with few experts gets a root of it. One below 1 holds for everybody.

    Parameters
    ----------
    temperatures : array (k,)
        Above 0; they multiply each other.
    there_NE : array (N, E), bool
        Which experts have something to say.
    """
    logs, experts = np.log(temperatures), there_NE.shape[1]
    share_N = np.maximum(there_NE.sum(axis=1) - 1, 0) / (experts - 1) if experts > 1 else np.ones(len(there_NE))
    return np.exp(np.maximum(logs, 0).sum() * share_N + np.minimum(logs, 0).sum())


def pooled(pool: str, log_gate_NE: NDArray, log_experts_NEK: NDArray) -> NDArray:
    """Pool log probabilities (N, K), unnormalised for `product`."""
    if pool == "product":
        return (np.exp(log_gate_NE)[:, :, None] * log_experts_NEK).sum(axis=1)
    terms_NEK = log_gate_NE[:, :, None] + log_experts_NEK
    top_NK = terms_NEK.max(axis=1, initial=-np.inf)
    return top_NK + np.log(np.exp(terms_NEK - top_NK[:, None]).sum(axis=1))


def temper(log_proba_NK: NDArray, targets: NDArray, weights: NDArray, there_NE: NDArray) -> NDArray:
    """Fit the temperature (1,) of pooled log probabilities of people held out that predicts best.

    An exponential prior draws it to 0, so that what few people seem to show by chance is not taken for news.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        factor_N = warmth(np.exp([log_temperature]), there_NE)
        fit = weights.sum() * weighted_nll(log_softmax(factor_N[:, None] * log_proba_NK), targets, weights)
        return fit + _SHY * np.exp(log_temperature)

    return np.exp([minimize_scalar(loss, bounds=(-5, 5), method="bounded").x])


def slant(pool: str, log_gate_NE: NDArray, log_experts_NEK: NDArray, pooled_NK: NDArray, gap_NK: NDArray) -> NDArray:
    """Return how the loss changes with each expert's gate logit."""
    gate_NE = np.exp(log_gate_NE)
    if pool == "product":
        pull_NE = np.einsum("nek,nk->ne", log_experts_NEK, gap_NK)
        return gate_NE * (pull_NE - (gate_NE * pull_NE).sum(axis=1, keepdims=True))
    # Each expert's share in the mixture's probability of each class, less its weight.
    share_NEK = np.exp(log_gate_NE[:, :, None] + log_experts_NEK - pooled_NK[:, None])
    return np.einsum("nek,nk->ne", share_NEK - gate_NE[:, :, None], gap_NK)
