"""Experts weighed and pooled, in closed form but for a handful of gate parameters.

Axis letters: N people, E expert, Q quality number, K class.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from neuromoe.model.kernels.linear import log_softmax, weighted_nll

# exp of it is 0, sums and products with it are finite.
_NEVER = -1e9
POOLS = ("mixture", "product")
# How far a scan counts: never not at all, so that every equation keeps its solution.
_TRUSTED = (0.02, 50.0)
# Precision of the prior of a temperature that is fitted by itself: without, 24 people make it wild.
_NEAR_ONE = 3.0


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


@dataclass(frozen=True, eq=False)
class Gate:
    """Weights softmax(bias_e + quality_e . slope) over the experts that a person has, and how they are pooled.

    Parameters
    ----------
    bias : array (E,)
    slope : array (Q,)
        The same for all experts, so that what is learned of one modality's quality serves the others.
    temperatures : array (k,)
        By which the pooled log probabilities are multiplied, see :func:`warmth`.
    pool : str
        `mixture`: log sum_e w_e P_e; `product`: sum_e w_e log P_e, which lets evidence add up.
    """

    bias: NDArray
    slope: NDArray
    temperatures: NDArray
    pool: str

    def log_weights(self, quality_NEQ: NDArray, there_NE: NDArray) -> NDArray:
        """Return the logarithm of the weights (N, E)."""
        return log_softmax(np.where(there_NE, self.bias + quality_NEQ @ self.slope, _NEVER))

    def log_proba(self, log_experts_NEK: NDArray, quality_NEQ: NDArray, there_NE: NDArray) -> NDArray:
        """Return pooled log probabilities (N, K)."""
        log_gate_NE = self.log_weights(quality_NEQ, there_NE)
        factor_N = warmth(self.temperatures, there_NE)
        return log_softmax(factor_N[:, None] * _pooled(self.pool, log_gate_NE, log_experts_NEK))

    def tempered(
        self, held_out_NK: NDArray, targets: NDArray, weights: NDArray, there_NE: NDArray
    ) -> tuple[Self, NDArray]:
        """Return the gate with the temperature that suits what is said of people held out, and that, tempered too."""
        last = temper(held_out_NK, targets, weights, there_NE)
        said_NK = log_softmax(warmth(last, there_NE)[:, None] * held_out_NK)
        return replace(self, temperatures=np.concatenate([self.temperatures, last])), said_NK

    def arrays(self) -> dict[str, NDArray]:
        """Return what `from_arrays` reads, but for the pool."""
        return {"gate.bias": self.bias, "gate.slope": self.slope, "gate.temperatures": self.temperatures}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray], pool: str) -> Self:
        """Rebuild the gate."""
        return cls(arrays["gate.bias"], arrays["gate.slope"], arrays["gate.temperatures"], pool)


def _pooled(pool: str, log_gate_NE: NDArray, log_experts_NEK: NDArray) -> NDArray:
    if pool == "product":
        return (np.exp(log_gate_NE)[:, :, None] * log_experts_NEK).sum(axis=1)
    terms_NEK = log_gate_NE[:, :, None] + log_experts_NEK
    top_NK = terms_NEK.max(axis=1, initial=-np.inf)
    return top_NK + np.log(np.exp(terms_NEK - top_NK[:, None]).sum(axis=1))


def fit_gate(
    log_experts_NEK: NDArray,
    targets: NDArray,
    quality_NEQ: NDArray,
    there_NE: NDArray,
    *,
    weights: NDArray,
    pool: str,
    bias_prior: float,
    slope_prior: float,
    most: NDArray,
    temperature_prior: float = 1.0,
) -> tuple[float, Gate]:
    """Fit a gate by maximum posterior likelihood on predictions held out.

    Parameters
    ----------
    log_experts_NEK : array (N, E, K)
        Held-out log probabilities, anything finite where absent.
    targets : array (N,), int
    quality_NEQ : array (N, E, Q)
    there_NE : array (N, E), bool
        At least one expert each.
    weights : array (N,)
        Of the people.
    pool : str
        One of `POOLS`.
    bias_prior, slope_prior : float
        Precision of the normal priors that keep the gate near uniform.
    most : array (Q,)
        The largest slope on each quality number, infinite where it is free.
    temperature_prior : float
        Precision of the normal prior that keeps the temperature's logarithm near 0.

    Returns
    -------
    loss : float
        Mean loss.
    gate : Gate
    """
    from scipy.optimize import minimize

    experts, columns = log_experts_NEK.shape[1], quality_NEQ.shape[2]
    precision = np.array([bias_prior] * experts + [slope_prior] * columns + [temperature_prior])
    people = np.arange(len(targets))

    def unpack(values: NDArray) -> Gate:
        return Gate(values[:experts], values[experts:-1], np.exp(values[-1:]), pool)

    def loss(values: NDArray) -> tuple[float, NDArray]:
        gate = unpack(values)
        log_gate_NE = gate.log_weights(quality_NEQ, there_NE)
        pooled_NK = _pooled(pool, log_gate_NE, log_experts_NEK)
        factor_N1 = warmth(gate.temperatures, there_NE)[:, None]
        log_proba_NK = log_softmax(factor_N1 * pooled_NK)
        gap_NK = np.exp(log_proba_NK)
        gap_NK[people, targets] -= 1
        gap_NK *= weights[:, None]
        slant_NE = factor_N1 * _slant(pool, log_gate_NE, log_experts_NEK, pooled_NK, gap_NK)
        slopes = np.einsum("ne,neq->q", slant_NE, quality_NEQ)
        steep_N1 = np.log(warmth(np.exp([1.0 if values[-1] > 0 else -1.0]), there_NE))[:, None]
        warming = np.abs(steep_N1) * factor_N1 * gap_NK * pooled_NK
        gradient = np.concatenate([slant_NE.sum(axis=0), slopes, [warming.sum()]])
        fit = -(weights * log_proba_NK[people, targets]).sum()
        return fit + (precision * values**2).sum() / 2, gradient + precision * values

    bounds = [(None, None)] * experts + [(None, top) for top in most] + [(None, None)]
    if not there_NE.any():
        return 0.0, unpack(np.zeros(experts + columns + 1))
    found = minimize(loss, np.zeros(experts + columns + 1), jac=True, method="L-BFGS-B", bounds=bounds)
    gate = unpack(found.x)
    return weighted_nll(gate.log_proba(log_experts_NEK, quality_NEQ, there_NE), targets, weights), gate


def temper(log_proba_NK: NDArray, targets: NDArray, weights: NDArray, there_NE: NDArray) -> NDArray:
    """Fit the temperature (1,) of pooled log probabilities of people held out that predicts best; near 1 if few."""
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        factor_N = warmth(np.exp([log_temperature]), there_NE)
        fit = weights.sum() * weighted_nll(log_softmax(factor_N[:, None] * log_proba_NK), targets, weights)
        return fit + _NEAR_ONE * log_temperature**2 / 2

    return np.exp([minimize_scalar(loss, bounds=(-5, 5), method="bounded").x])


def _slant(pool: str, log_gate_NE: NDArray, log_experts_NEK: NDArray, pooled_NK: NDArray, gap_NK: NDArray) -> NDArray:
    """Return how the loss changes with each expert's gate logit."""
    gate_NE = np.exp(log_gate_NE)
    if pool == "product":
        pull_NE = np.einsum("nek,nk->ne", log_experts_NEK, gap_NK)
        return gate_NE * (pull_NE - (gate_NE * pull_NE).sum(axis=1, keepdims=True))
    # Each expert's share in the mixture's probability of each class, less its weight.
    share_NEK = np.exp(log_gate_NE[:, :, None] + log_experts_NEK - pooled_NK[:, None])
    return np.einsum("nek,nk->ne", share_NEK - gate_NE[:, :, None], gap_NK)
