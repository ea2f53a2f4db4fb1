"""Gates that weigh experts, fitted and compared on predictions of people held out.

Axis letters: N people, E expert, Q quality number, F clinical feature, I input of a gate, K class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from neuromoe.model.kernels.linear import log_softmax, minimize, weighted_nll
from neuromoe.model.kernels.pooling import pooled, slant, temper, warmth

# exp of it is 0, sums and products with it are finite.
_NEVER = -1e9
_BY_CLINICAL = ("clinical", "both")
# Precision of a prior that leaves nothing free.
_STIFF = 1e9
_CLINICAL_PRIORS = (0.3, 3.0)
# Parts, and people at most, on which gates are compared.
_FOLDS, _JUDGES = 5, 2000


@dataclass(frozen=True, eq=False)
class PoolGate:
    """Weights softmax(bias_e + inputs_e . slope) over the experts that a person has, and how they are pooled.

    Parameters
    ----------
    kind : str
        One of `GATES`.
    bias : array (E,)
    slope : array (Q + E F,)
        First on the quality numbers, the same for all experts, so that what is learned of one modality's quality
        serves the others; then, expert by expert, on the clinical features.
    temperatures : array (k,)
        By which the pooled log probabilities are multiplied, see :func:`warmth`.
    pool : str
        `mixture`: log sum_e w_e P_e; `product`: sum_e w_e log P_e, which lets evidence add up.
    """

    kind: str
    bias: NDArray
    slope: NDArray
    temperatures: NDArray
    pool: str

    def log_weights(self, inputs_NEI: NDArray, there_NE: NDArray) -> NDArray:
        """Return the logarithm of the weights (N, E); the inputs are those of :func:`gate_inputs`."""
        return log_softmax(np.where(there_NE, self.bias + inputs_NEI @ self.slope, _NEVER))

    def log_proba(self, log_experts_NEK: NDArray, inputs_NEI: NDArray, there_NE: NDArray) -> NDArray:
        """Return pooled log probabilities (N, K)."""
        log_gate_NE = self.log_weights(inputs_NEI, there_NE)
        factor_N = warmth(self.temperatures, there_NE)
        return log_softmax(factor_N[:, None] * pooled(self.pool, log_gate_NE, log_experts_NEK))

    def tempered(
        self, held_out_NK: NDArray, targets: NDArray, weights: NDArray, there_NE: NDArray
    ) -> tuple[Self, NDArray]:
        """Return the gate with the temperature that suits what is said of people held out, and that, tempered too."""
        last = temper(held_out_NK, targets, weights, there_NE)
        said_NK = log_softmax(warmth(last, there_NE)[:, None] * held_out_NK)
        return replace(self, temperatures=np.concatenate([self.temperatures, last])), said_NK

    def arrays(self) -> dict[str, NDArray]:
        """Return what `from_state` reads, beside `facts`."""
        return {"gate.bias": self.bias, "gate.slope": self.slope, "gate.temperatures": self.temperatures}

    def facts(self) -> dict[str, str]:
        """Describe the gate in JSON's types."""
        return {"kind": self.kind, "pool": self.pool}

    @classmethod
    def from_state(cls, arrays: Mapping[str, NDArray], facts: Mapping[str, str]) -> Self:
        """Rebuild the gate."""
        bias, slope, temperatures = (arrays[f"gate.{part}"] for part in ("bias", "slope", "temperatures"))
        return cls(facts["kind"], bias, slope, temperatures, facts["pool"])


def gate_inputs(quality_NEQ: NDArray, clinical_NF: NDArray) -> NDArray:
    """Lay the clinical features, by expert, beside the quality numbers (N, E, Q + E F)."""
    people, experts, _ = quality_NEQ.shape
    features = clinical_NF.shape[1]
    clinical_NEI = np.zeros((people, experts, experts, features))
    clinical_NEI[:, np.arange(experts), np.arange(experts)] = clinical_NF[:, None]
    return np.concatenate([quality_NEQ, clinical_NEI.reshape(people, experts, -1)], axis=2)


@dataclass(frozen=True, eq=False)
class GateFitting:
    """Predictions of people held out, on which gates are fitted and compared.

    Parameters
    ----------
    log_experts : array (N, E, K)
        Log probabilities, anything finite where absent.
    targets, parts : array (N,), int
        Column of the class; inner part.
    inputs : array (N, E, I)
        Of :func:`gate_inputs`.
    there : array (N, E), bool
        At least one expert each.
    weights : array (N,)
        Of the people.
    most : array (Q,)
        The largest slope on each quality number, infinite where it is free; the other inputs are clinical.
    bias_prior, slope_prior : float
        Precision of the normal priors that keep biases and slopes on quality near 0.
    """

    log_experts: NDArray
    targets: NDArray
    parts: NDArray
    inputs: NDArray
    there: NDArray
    weights: NDArray
    most: NDArray
    bias_prior: float
    slope_prior: float

    def compare(self, kinds: Sequence[str], pools: Sequence[str]) -> list[dict[str, Any]]:
        """Compare gates by what they lose on parts that they were not fitted on.

        Returns
        -------
        tried : list of dict
            `kind`, `pool`, `clinical_prior` and `held_out_nll` of each candidate, the best one first.
        """
        quality, some = len(self.most) > 0, self.inputs.shape[2] > len(self.most)
        kinds = list(dict.fromkeys(_possible(kind, quality=quality, clinical=some) for kind in kinds))
        trials = [(kind, pool, prior) for kind in kinds for pool in pools for prior in _priors(kind)]
        judged = self._some()
        tried = [(judged._held_out(*trial), *trial) for trial in trials]
        return [
            {"kind": kind, "pool": pool, "clinical_prior": prior, "held_out_nll": round(float(loss), 4)}
            for loss, kind, pool, prior in sorted(tried)
        ]

    def without(self, kind: str, pool: str, clinical_prior: float = 1.0) -> NDArray:
        """Fit a gate without each part; return for each person the slope (N, I) that does not know the person."""
        slope_NI = np.zeros((len(self.targets), self.inputs.shape[2]))
        for inside, outside in self._folds():
            slope_NI[outside] = self.take(inside).fit(kind, pool, clinical_prior).slope
        return slope_NI

    def _folds(self) -> list[tuple[NDArray, NDArray]]:
        folds = self.parts % _FOLDS
        return [(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in np.unique(folds)]

    def _some(self) -> "GateFitting":
        step = -(-len(self.targets) // _JUDGES)
        return self.take(np.arange(0, len(self.targets), step)) if step > 1 else self

    def take(self, rows: NDArray) -> "GateFitting":
        """Keep some of the people."""
        per_person = ("log_experts", "targets", "parts", "inputs", "there", "weights")
        return replace(self, **{name: getattr(self, name)[rows] for name in per_person})

    def _held_out(self, kind: str, pool: str, prior: float) -> float:
        total = 0.0
        for inside, rows in self._folds():
            gate, outside = self.take(inside).fit(kind, pool, prior), self.take(rows)
            said = gate.log_proba(outside.log_experts, outside.inputs, outside.there)
            total += weighted_nll(said, outside.targets, outside.weights) * outside.weights.sum()
        return total / max(self.weights.sum(), np.finfo(float).tiny)

    def _relevance(self, pool: str) -> NDArray:
        """Say how far each clinical feature would move an equal gate (F,): 1 for the one that would most, from .01.

        That is the score test of the feature's slopes, one per expert, less what it is by chance.
        """
        log_gate_NE = log_softmax(np.where(self.there, 0.0, _NEVER))
        pooled_NK = pooled(pool, log_gate_NE, self.log_experts)
        gap_NK = np.exp(log_softmax(pooled_NK))
        gap_NK[np.arange(len(self.targets)), self.targets] -= 1
        gap_NK *= self.weights[:, None]
        slant_NE = slant(pool, log_gate_NE, self.log_experts, pooled_NK, gap_NK) * self.there
        # The features stand in the inputs of each expert; those of the first are read.
        features = (self.inputs.shape[2] - len(self.most)) // self.there.shape[1]
        clinical_NF = self.inputs[:, 0, len(self.most) :][:, :features]
        pull_NEF = slant_NE[:, :, None] * (clinical_NF - clinical_NF.mean(axis=0))[:, None]
        chance_EF = np.maximum((pull_NEF**2).sum(axis=0), np.finfo(float).tiny)
        score_F = (pull_NEF.sum(axis=0) ** 2 / chance_EF).mean(axis=0)
        excess_F = np.maximum(score_F - 1, 0.05)
        return np.maximum(excess_F / excess_F.max(initial=0.05), 0.01)

    def fit(self, kind: str, pool: str, clinical_prior: float = 1.0) -> PoolGate:
        """Fit one kind of gate by maximum posterior likelihood."""
        experts, columns = self.log_experts.shape[1], self.inputs.shape[2]
        by_quality = np.arange(columns) < len(self.most)
        used = np.flatnonzero((by_quality & (kind in ("quality", "both"))) | (~by_quality & (kind in _BY_CLINICAL)))
        inputs_NEI = np.ascontiguousarray(self.inputs[:, :, used])
        slope_priors = np.where(by_quality, self.slope_prior, clinical_prior)
        if kind in _BY_CLINICAL:
            slope_priors[~by_quality] /= np.tile(self._relevance(pool), experts)
        bias_prior = _STIFF if kind == "uniform" else self.bias_prior
        precision = np.concatenate([np.full(experts, bias_prior), slope_priors[used], [1.0]])
        people = np.arange(len(self.targets))

        def unpack(values: NDArray) -> PoolGate:
            return PoolGate(kind, values[:experts], values[experts:-1], np.exp(values[-1:]), pool)

        def loss(values: NDArray) -> tuple[float, NDArray]:
            gate = unpack(values)
            log_gate_NE = gate.log_weights(inputs_NEI, self.there)
            pooled_NK = pooled(pool, log_gate_NE, self.log_experts)
            factor_N1 = warmth(gate.temperatures, self.there)[:, None]
            log_proba_NK = log_softmax(factor_N1 * pooled_NK)
            gap_NK = np.exp(log_proba_NK)
            gap_NK[people, self.targets] -= 1
            gap_NK *= self.weights[:, None]
            slant_NE = factor_N1 * slant(pool, log_gate_NE, self.log_experts, pooled_NK, gap_NK)
            slopes = np.einsum("ne,nei->i", slant_NE, inputs_NEI)
            steep_N1 = np.log(warmth(np.exp([1.0 if values[-1] > 0 else -1.0]), self.there))[:, None]
            warming = np.abs(steep_N1) * factor_N1 * gap_NK * pooled_NK
            gradient = np.concatenate([slant_NE.sum(axis=0), slopes, [warming.sum()]])
            fit = -(self.weights * log_proba_NK[people, self.targets]).sum()
            return fit + (precision * values**2).sum() / 2, gradient + precision * values

        tops = np.append(self.most, np.full(columns - len(self.most), np.inf))[used]
        bounds = [(None, None)] * experts + [(None, top) for top in tops] + [(None, None)]
        found = np.zeros(len(precision))
        if self.there.any():
            found, _ = minimize(loss, found, bounds)
        slope = np.zeros(columns)
        slope[used] = found[experts:-1]
        return replace(unpack(found), slope=slope)


def _possible(kind: str, *, quality: bool, clinical: bool) -> str:
    """Return the kind, or what is left of it without quality numbers or clinical features."""
    if kind in ("uniform", "bias"):
        return kind
    by_quality, by_clinical = quality and kind != "clinical", clinical and kind != "quality"
    left = {(True, True): "both", (True, False): "quality", (False, True): "clinical", (False, False): "bias"}
    return left[by_quality, by_clinical]


def _priors(kind: str) -> tuple[float, ...]:
    return _CLINICAL_PRIORS if kind in _BY_CLINICAL else (1.0,)
