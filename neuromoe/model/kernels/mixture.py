"""Linear experts and networks, believed as far as people held out tell, under a gate chosen on people held out.

Axis letters: N people, M modality, E expert, I input of the gate, K class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from neuromoe.model.kernels.gates import GateFitting, PoolGate
from neuromoe.model.kernels.linear import calibrate, log_softmax, minimize
from neuromoe.model.kernels.linear_experts import LinearFit, LinearTraining, trust_of

# A smaller share of a network is none.
_LEAST_SHARE = 0.02


@dataclass(frozen=True, eq=False)
class Believed:
    """An expert of one modality: log p ~ linear * log p_linear + network * (slope * logits + offset).

    Parameters
    ----------
    linear, network, slope : float
        From 0.
    offset : array (K,)
    """

    linear: float
    network: float
    slope: float
    offset: NDArray

    @classmethod
    def fit(cls, base_nK: NDArray | None, net_nK: NDArray, targets: NDArray, balance: NDArray) -> Self:
        """Fit on people held out.

        Parameters
        ----------
        base_nK : array (n, K) or None
            Log probabilities of the linear expert; None where there is none.
        net_nK : array (n, K)
            Logits of the network; all 0 where there is none.
        targets : array (n,), int
        balance : array (n,)
            Weights of the loss.
        """
        nothing, alone = np.zeros(net_nK.shape[1]), base_nK is None
        if alone and not len(targets):
            return cls(0.0, 1.0, 1.0, nothing)
        if not net_nK.any() or not len(targets):
            return cls(float(not alone), 0.0, 0.0, nothing)
        _, slope, offset_K = calibrate(net_nK, targets, balance)
        if base_nK is None:
            return cls(0.0, 1.0, slope, offset_K)
        said = np.stack([base_nK, log_softmax(slope * net_nK + offset_K)])
        linear, network = _stack(said, targets, balance)
        if network < _LEAST_SHARE * (linear + network):
            linear, network = 1.0, 0.0
        return cls(float(linear), float(network), slope, offset_K)

    @property
    def share(self) -> float:
        """How far the network is believed, from 0 to 1."""
        return self.network / max(self.linear + self.network, np.finfo(float).tiny)

    def log_proba(self, base_NK: NDArray, net_NK: NDArray) -> NDArray:
        """Return log probabilities (N, K)."""
        said_NK = log_softmax(self.slope * net_NK + self.offset)
        return log_softmax(self.linear * base_NK + self.network * said_NK)


def _stack(said_SnK: NDArray, targets: NDArray, balance: NDArray) -> NDArray:
    """Weigh calibrated log probabilities, from 0, by likelihood and a unit normal prior about the first alone."""
    start, people = np.eye(len(said_SnK))[0], np.arange(len(targets))

    def loss(weights: NDArray) -> tuple[float, NDArray]:
        log_proba_nK = log_softmax(np.tensordot(weights, said_SnK, 1))
        gap_nK = np.exp(log_proba_nK)
        gap_nK[people, targets] -= 1
        gap_nK *= balance[:, None]
        away = weights - start
        fit = -(balance * log_proba_nK[people, targets]).sum() + (away**2).sum() / 2
        return fit, (said_SnK * gap_nK).sum(axis=(1, 2)) + away

    return minimize(loss, start, [(0, None)] * len(start))[0]


@dataclass(frozen=True, eq=False)
class ExpertMixture:
    """What was learned: how far each expert's parts are believed, and the gate."""

    believed: Sequence[Believed]
    gate: PoolGate

    def log_experts(self, base_NMK: NDArray, net_NEK: NDArray) -> NDArray:
        """Return the experts' log probabilities (N, E, K); those beyond the modalities have no linear part."""
        beyond = net_NEK.shape[1] - base_NMK.shape[1]
        base_NEK = np.pad(base_NMK, [(0, 0), (0, beyond), (0, 0)])
        said = [one.log_proba(base_NEK[:, e], net_NEK[:, e]) for e, one in enumerate(self.believed)]
        return np.stack(said, axis=1)

    def arrays(self) -> dict[str, NDArray]:
        """Return what `from_state` reads, beside `facts`."""
        parts = np.array([[one.linear, one.network, one.slope] for one in self.believed])
        return {"believed": parts, "offsets": np.stack([one.offset for one in self.believed]), **self.gate.arrays()}

    def facts(self) -> dict[str, Any]:
        """Describe the gate in JSON's types."""
        return self.gate.facts()

    @classmethod
    def from_state(cls, arrays: Mapping[str, NDArray], facts: Mapping[str, Any]) -> Self:
        """Rebuild the mixture."""
        known = zip(arrays["believed"].tolist(), arrays["offsets"], strict=True)
        believed = [Believed(linear, network, slope, offset) for (linear, network, slope), offset in known]
        return cls(believed, PoolGate.from_state(arrays, facts))


@dataclass(frozen=True, eq=False)
class MixtureTraining:
    """People with what networks that did not see them say of them.

    Parameters
    ----------
    linear : LinearTraining
    with_linear : bool
        Whether experts have a linear part.
    net : array (N, E, K)
        The networks' logits, zeros where there are none.
    inputs : array (N, E, I)
        Of the gate.
    there : array (N, E), bool
        Which experts have something to read.
    most : array (Q,)
        Largest slopes of the gate's first inputs, the quality numbers.
    kinds : sequence of str
        Gates to choose from.
    bias_prior, slope_prior : float
    """

    linear: LinearTraining
    with_linear: bool
    net: NDArray
    inputs: NDArray
    there: NDArray
    most: NDArray
    kinds: Sequence[str]
    bias_prior: float
    slope_prior: float

    def fit_linear(self, inside: NDArray) -> tuple[dict[int, LinearFit], NDArray]:
        """Fit linear experts on those `inside`, a second time as their quality deserves; return them and what they say.

        Of those inside it is what experts say that did not see them (N, M, K).
        """
        present_NM = self.linear.present
        if not self.with_linear:
            return {}, np.zeros((*present_NM.shape, self.linear.classes))
        trust_NM, channels = np.ones(present_NM.shape), self.linear.channel_weights(inside)
        fits, said_NMK = self.linear.fit(trust_NM, inside, channels)
        if len(self.most) and set(self.kinds) & {"quality", "both"}:
            numbers_NMQ = self.inputs[:, : present_NM.shape[1], : len(self.most)]
            fitting = self._fitting(said_NMK, numbers_NMQ, present_NM).take(np.flatnonzero(inside))
            slope_NQ = fitting.without("quality", "mixture")
            slant_NM = np.einsum("nmq,nq->nm", numbers_NMQ[inside], slope_NQ)
            trust_NM[inside] = trust_of(slant_NM, present_NM[inside])
            fits, said_NMK = self.linear.fit(trust_NM, inside, channels)
        return fits, said_NMK

    def _fitting(self, said: NDArray, inputs: NDArray, there: NDArray) -> GateFitting:
        known = self.linear.targets, self.linear.parts, inputs, there, self.linear.balance
        return GateFitting(said, *known, self.most, self.bias_prior, self.slope_prior)

    def believe(self, base_NMK: NDArray, inside: NDArray) -> list[Believed]:
        """Decide on people held out how far each expert's parts are believed."""
        found = []
        for column, there in enumerate(self.there.T):
            mine = inside & there
            linear = self.with_linear and column < base_NMK.shape[1]
            known = self.linear.targets[mine], self.linear.balance[mine]
            found.append(Believed.fit(base_NMK[mine, column] if linear else None, self.net[mine, column], *known))
        return found

    def fit(self, base_NMK: NDArray, inside: NDArray) -> tuple[ExpertMixture, list[dict[str, Any]]]:
        """Decide how far experts are believed, and choose the gate; return the gates that were tried, too."""
        believed = self.believe(base_NMK, inside)
        _, experts, inputs = self.inputs.shape
        even = PoolGate("uniform", np.zeros(experts), np.zeros(inputs), np.ones(1), "mixture")
        if not inside.any():
            return ExpertMixture(believed, even), []
        log_experts_NEK = ExpertMixture(believed, even).log_experts(base_NMK, self.net)
        fitting = self._fitting(log_experts_NEK, self.inputs, self.there).take(np.flatnonzero(inside))
        tried = fitting.compare(self.kinds, ("mixture",))
        best = tried[0]
        return ExpertMixture(believed, fitting.fit(best["kind"], best["pool"], best["clinical_prior"])), tried

    def say(self, mixture: ExpertMixture, base_NMK: NDArray) -> tuple[NDArray, NDArray]:
        """Return the experts' (N, E, K) and the mixture's log probabilities (N, K)."""
        log_experts_NEK = mixture.log_experts(base_NMK, self.net)
        return log_experts_NEK, mixture.gate.log_proba(log_experts_NEK, self.inputs, self.there)

    def say_held_out(self, parts: NDArray, prior_K: NDArray) -> NDArray:
        """Return log probabilities (N, K) by linear experts, belief and gate of the other parts."""
        said_NK = np.tile(np.log(prior_K), (len(parts), 1))
        for part in np.unique(parts) if len(np.unique(parts)) > 1 else ():
            base_NMK = self.fit_linear(parts != part)[1]
            mixture, _ = self.fit(base_NMK, parts != part)
            said_NK[parts == part] = self.say(mixture, base_NMK)[1][parts == part]
        return said_NK
