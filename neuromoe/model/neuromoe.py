"""A transformer expert per modality beside a linear one, and a gate chosen on people held out; or all end to end.

Axis letters: N people, B batch, M modality, E expert, C channel, F encoded clinical features, Q quality number, I input
of the gate, K class.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuromoe.cohort.cohort import CLINICAL, Cohort
from neuromoe.cohort.inner import inner_parts
from neuromoe.model.kernels.gates import gate_inputs
from neuromoe.model.kernels.linear import balanced_weights, log_softmax
from neuromoe.model.kernels.linear_experts import Compared, LinearExpert, LinearTraining
from neuromoe.model.kernels.mixture import ExpertMixture, MixtureTraining
from neuromoe.model.kernels.pooling import temper, warmth
from neuromoe.model.kernels.scan_quality import ScanQuality, of_experts
from neuromoe.model.networks.learner import Batch
from neuromoe.model.networks.losses import balance_penalty, mix, weighted_cross_entropy
from neuromoe.model.networks.network import JOINT
from neuromoe.model.networks.network_model import NetworkModel
from neuromoe.model.networks.settings import NeuroMoESettings
from neuromoe.model.shared.maps import reader_of
from neuromoe.model.shared.settings import GATES

# Members that tell whether the others are worth training.
_SCOUTS = 2


class NeuroMoE(NetworkModel):
    """An expert for each modality, a transformer beside ridge regression, weighed by a gate.

    Members are trained without one part of the people each. What they say of the people they did not see decides how
    far the transformers are believed, which gate there is, and the last temperature; their mean predicts. Where the
    first two members are not believed in any modality, no others are trained. With `training: mixture` experts and
    gate are trained end to end instead. Validation people, where given, are training people here.

    Attributes
    ----------
    gates_ : list of dict
        The gates that were tried, by their loss on people held out.
    use_ : dict of str to float
        Mean weight of each expert over the people held out.
    """

    name = "neuromoe"
    Settings = NeuroMoESettings

    quality: ScanQuality
    linear: dict[str, LinearExpert]
    mixture: ExpertMixture | None
    temperature: NDArray
    gates_: list[dict[str, Any]]
    use_: dict[str, float]

    def _fit(self, cohort: Cohort, train: NDArray, val: NDArray | None) -> None:
        s, whole = self.settings, train if val is None else np.concatenate([train, val])
        inner, aside = (whole, whole[:0]) if s.folds > 1 else self._with_inner(cohort, train, val, s.validation_share)
        rows = np.concatenate([inner, aside])
        self._learn_inputs(cohort, rows)
        rows = rows[self._usable(cohort, rows).any(axis=1)]
        targets = self._targets(cohort, rows)
        parts = inner_parts(cohort.groups[rows], targets, s.folds, self.seed)
        if s.folds == 1:
            parts = np.where(np.isin(rows, aside), 0, -1)
        linear = self._compare(cohort, rows, targets)
        frames = {self.modalities_[column]: one.frame for column, one in linear.compared.items()}
        self.frames = {name: frame for name, frame in frames.items() if name != CLINICAL}
        self.quality = ScanQuality.fit(cohort, rows, self.frames)
        self.linear, self.gates_, self.use_ = {}, [], {}
        self.mixture, self.temperature = None, np.ones(1)
        if len(rows) and s.training == "mixture":
            self._fit_end_to_end(cohort, rows, parts, linear)
        elif len(rows):
            self._fit_experts(cohort, rows, parts, linear)

    def _compare(self, cohort: Cohort, rows: NDArray, targets: NDArray) -> LinearTraining:
        compared, present_NM = {}, self._usable(cohort, rows)
        for column, name in enumerate(self.modalities_):
            mine = rows[present_NM[:, column]]
            if len(mine):
                compared[column] = Compared.of(reader_of(cohort, name, mine, self.encoder), len(mine), seed=self.seed)
        parts = inner_parts(cohort.groups[rows], targets, max(self.settings.folds, 5), self.seed)
        balance = balanced_weights(targets, self.settings.class_weights)
        return LinearTraining(compared, present_NM, targets, parts, balance, len(self.classes_))

    def _train_all(
        self, cohort: Cohort, rows: NDArray, parts: NDArray, numbers: Sequence[int], linear: LinearTraining
    ) -> NDArray:
        """Train members; return what each says, by expert, of the people that it did not see (N, E, K): zeros else."""
        weights = {}
        for number in numbers:
            weighed = linear.channel_weights(parts != number).items()
            named = {self.modalities_[column]: weights_C for column, weights_C in weighed}
            weights[number] = {name: named[name] for name in self.frames}
        self.members += self._train(cohort, rows, parts, numbers, self._objective, weights)
        said_NEK = np.zeros((len(rows), len(self.experts), len(self.classes_)))
        for number in numbers:
            mine = np.flatnonzero(parts == number)
            if len(mine):
                say = self.members[number].expert_logits
                said_NEK[mine] = self._ask(self._reader(cohort, rows[mine]), len(mine), say)
        return said_NEK

    def _objective(
        self, member: Any, batch: Batch, class_weights_K: Tensor, total: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        s, logits_BEK, there_BE = self.settings, member.expert_logits(batch), member.there(batch.present)
        if s.training == "experts":
            own_BE = -logits_BEK.log_softmax(dim=2)[torch.arange(len(batch.target)), :, batch.target]
            loss_B = class_weights_K[batch.target] * (own_BE * there_BE).sum(dim=1)
            return loss_B, loss_B.new_zeros(())
        log_gate_BE = member.log_gate(batch.clinical, there_BE)
        loss_B = weighted_cross_entropy(mix(log_gate_BE, logits_BEK), batch.target, class_weights_K)
        if not s.balance:
            return loss_B, loss_B.new_zeros(())
        penalty = balance_penalty(log_gate_BE.exp(), there_BE, corrected=s.balance_correction, total=total)
        return loss_B, s.balance * penalty

    def _there(self, present_NM: NDArray) -> NDArray:
        """Tell which experts have something to read (N, E)."""
        if len(self.experts) == len(self.modalities_):
            return present_NM
        maps = [name in self.frames for name in self.modalities_]
        return np.column_stack([present_NM, present_NM[:, maps].any(axis=1)])

    def _per_modality(self, weights_NE: NDArray, usable_NM: NDArray) -> NDArray:
        """Spread the joint expert's weight over the maps that a person has (N, M)."""
        if weights_NE.shape[1] == usable_NM.shape[1]:
            return weights_NE
        maps_NM = usable_NM & np.array([name in self.frames for name in self.modalities_])
        return weights_NE[:, :-1] + weights_NE[:, -1:] * maps_NM / np.maximum(maps_NM.sum(axis=1, keepdims=True), 1)

    def _judge(
        self, experts_NEK: NDArray, said_NK: NDArray, weights_NE: NDArray, linear: LinearTraining, known: NDArray
    ) -> None:
        """Keep the mean use of each expert, and look for signs of a failed training, on people held out."""
        used = [weights_NE[known & there, e] for e, there in enumerate(self._there(linear.present).T)]
        means = [one.mean() if len(one) else 0.0 for one in used]
        self.use_ = {name: round(float(mean), 4) for name, mean in zip(self.experts, means, strict=True)}
        modalities = len(self.modalities_)
        judged = experts_NEK[:, :modalities], said_NK, weights_NE[:, :modalities], linear.targets, linear.present
        self._diagnose(*(values[known] for values in judged), gated=self.settings.gate != "uniform")

    def _fit_experts(self, cohort: Cohort, rows: NDArray, parts: NDArray, linear: LinearTraining) -> None:
        """Train experts by their own losses; fit belief and gate on people held out."""
        s, present_NM = self.settings, linear.present
        kinds = GATES if s.gate == "best" else (s.gate,)
        nothing_NEK = np.zeros((len(rows), len(self.experts), len(self.classes_)))
        inputs_NEI, most = self._gate_inputs(cohort, rows), self.quality.encoder.most
        known = inputs_NEI, self._there(present_NM), most, kinds, s.bias_prior, s.slope_prior
        training = MixtureTraining(linear, s.linear, nothing_NEK, *known)
        fits, base_NMK = training.fit_linear(np.ones(len(rows), bool))
        self.linear = {self.modalities_[column]: linear.compared[column].expert(fit) for column, fit in fits.items()}
        training = replace(training, net=self._train_believed(cohort, rows, parts, training, base_NMK))
        aside = parts >= 0 if s.folds == 1 else np.ones(len(rows), bool)
        self.mixture, self.gates_ = training.fit(base_NMK, aside)
        if not any(one.share for one in self.mixture.believed):
            self.members = []
        log_experts_NEK, said_NK = training.say(self.mixture, base_NMK)
        if s.folds > 1:
            said_NK = training.say_held_out(parts, self.prior_)
            self.temperature = temper(said_NK, linear.targets, linear.balance, training.there)
            said_NK = self._tempered(said_NK, training.there)
            self.held_out_ = rows, said_NK
        log_gate_NE = self.mixture.gate.log_weights(inputs_NEI, training.there)
        self._judge(log_experts_NEK, said_NK, np.exp(log_gate_NE), linear, aside)
        people = {name: int((cohort.rows[name][rows] >= 0).sum()) for name in self.frames}
        self.quality = self.quality.for_others(people)

    def _train_believed(
        self, cohort: Cohort, rows: NDArray, parts: NDArray, training: MixtureTraining, base_NMK: NDArray
    ) -> NDArray:
        """Train two members, and the others where these are believed; return what they say of those held out."""
        numbers = list(range(self.settings.folds))
        scouts = numbers[:_SCOUTS] if self.settings.linear else numbers
        net_NEK = self._train_all(cohort, rows, parts, scouts, training.linear)
        if len(scouts) == len(numbers):
            return net_NEK
        scouted = replace(training, net=net_NEK).believe(base_NMK, np.isin(parts, scouts))
        # The joint expert has nothing beside it, and cannot but be believed.
        if not any(one.share for one in scouted[: len(self.modalities_)]):
            return np.zeros_like(net_NEK)
        return net_NEK + self._train_all(cohort, rows, parts, numbers[_SCOUTS:], training.linear)

    def _fit_end_to_end(self, cohort: Cohort, rows: NDArray, parts: NDArray, linear: LinearTraining) -> None:
        """Train experts and gate together; fit a temperature on people held out."""
        net_NEK = self._train_all(cohort, rows, parts, list(range(self.settings.folds)), linear)
        there_NE, known = self._there(linear.present), parts >= 0
        log_gate_NE = np.zeros(there_NE.shape)
        for number in range(len(self.members)):
            mine = np.flatnonzero(parts == number)
            log_gate_NE[mine] = self._member_gates(cohort, rows[mine], there_NE[mine], [self.members[number]])[0]
        said_NK = mix(*map(torch.from_numpy, (log_gate_NE, net_NEK))).numpy()
        if known.any():
            targets, balance = linear.targets[known], linear.balance[known]
            self.temperature = temper(said_NK[known], targets, balance, there_NE[known])
        if self.settings.folds > 1:
            said_NK = self._tempered(said_NK, there_NE)
            self.held_out_ = rows, said_NK
        self._judge(log_softmax(net_NEK), said_NK, np.exp(log_gate_NE), linear, known)

    def _tempered(self, said_NK: NDArray, there_NE: NDArray) -> NDArray:
        return log_softmax(warmth(self.temperature, there_NE)[:, None] * said_NK)

    def _member_gates(
        self, cohort: Cohort, positions: NDArray, there_NE: NDArray, members: Sequence[Any]
    ) -> list[NDArray]:
        """Return each member's log weights (N, E)."""
        device = self.settings.device_now()
        encoded_NF = torch.from_numpy(self._encode_clinical(cohort, positions)).to(device)
        with torch.inference_mode():
            found = [member.log_gate(encoded_NF, torch.from_numpy(there_NE).to(device)) for member in members]
        return [one.cpu().double().numpy() for one in found]

    def _gate_inputs(self, cohort: Cohort, positions: NDArray) -> NDArray:
        """Return quality numbers and clinical features (N, E, I)."""
        maps_M = np.isin(self.modalities_, list(self.frames))
        reads_EM = np.vstack([np.eye(len(maps_M), dtype=bool), maps_M])[: len(self.experts)]
        numbers_NMQ = self.quality.encode(cohort, positions, self.modalities_)
        numbers_NEQ = of_experts(numbers_NMQ, self._usable(cohort, positions) & maps_M, reads_EM)
        return gate_inputs(numbers_NEQ, self._encode_clinical(cohort, positions).astype(float))

    def _say(self, cohort: Cohort, positions: NDArray) -> tuple[NDArray, NDArray]:
        """Return the linear experts' log probabilities (n, M, K), zeros where absent, and the networks' logits."""
        usable_NM = self._usable(cohort, positions)
        base_NMK = np.zeros((*usable_NM.shape, len(self.classes_)))
        for column, name in enumerate(self.modalities_):
            mine = np.flatnonzero(usable_NM[:, column])
            if len(mine) and name in self.linear:
                read = reader_of(cohort, name, positions[mine], self.encoder)
                base_NMK[mine, column] = self.linear[name].log_proba(read, len(mine))
        net_NEK = np.zeros((len(positions), len(self.experts), len(self.classes_)))
        if self.members:
            read_maps = self._reader(cohort, positions)

            def mean(batch: Batch) -> Tensor:
                return torch.stack([member.expert_logits(batch) for member in self.members]).mean(dim=0)

            net_NEK = self._ask(read_maps, len(positions), mean)
        return base_NMK, net_NEK

    def _predict_log(self, cohort: Cohort, positions: NDArray) -> NDArray:
        there_NE = self._there(self._usable(cohort, positions))
        if self.mixture is not None:
            log_experts_NEK = self.mixture.log_experts(*self._say(cohort, positions))
            inputs_NEI = self._gate_inputs(cohort, positions)
            return self._tempered(self.mixture.gate.log_proba(log_experts_NEK, inputs_NEI, there_NE), there_NE)
        gates = self._member_gates(cohort, positions, there_NE, self.members)
        read, count = self._reader(cohort, positions), len(positions)
        logits = [self._ask(read, count, member.expert_logits) for member in self.members]
        said = [mix(*map(torch.from_numpy, known)) for known in zip(gates, logits, strict=True)]
        return self._tempered(torch.stack(said).logsumexp(dim=0).numpy() - np.log(len(said)), there_NE)

    def _gate(self, cohort: Cohort, positions: NDArray, usable_NM: NDArray) -> NDArray:
        there_NE = self._there(usable_NM)
        if self.mixture is not None:
            weights_NE = np.exp(self.mixture.gate.log_weights(self._gate_inputs(cohort, positions), there_NE))
        else:
            weights_NE = np.exp(self._member_gates(cohort, positions, there_NE, self.members)).mean(axis=0)
        return self._per_modality(weights_NE, usable_NM)

    @property
    def experts(self) -> list[str]:
        """Name the experts: one for each modality, and the joint one last."""
        return [*self.modalities_, *([JOINT] if self.settings.joint and self.layout.features else [])]

    @property
    def share_(self) -> dict[str, float]:
        """How far the network of each expert is believed, from 0 to 1; nothing where all was trained end to end."""
        if self.mixture is None:
            return {}
        return {name: round(one.share, 4) for name, one in zip(self.experts, self.mixture.believed, strict=True)}

    def _state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        arrays, facts = super()._state()
        for name, expert in self.linear.items():
            arrays |= expert.arrays(f"linear.{name}")
        found: dict[str, Any] = {"quality": self.quality.facts(), "linear": list(self.linear)}
        found |= {"use": self.use_, "share": self.share_, "gates": self.gates_, "mixture": None}
        if self.mixture is not None:
            arrays |= self.mixture.arrays()
            found["mixture"] = self.mixture.facts()
        return {**arrays, "temperature": self.temperature}, {**facts, **found}

    def _set_state(self, arrays: dict[str, NDArray], facts: dict[str, Any]) -> None:
        super()._set_state(arrays, facts)
        self.quality = ScanQuality.from_facts(facts["quality"], self.frames)
        self.linear = {name: LinearExpert.from_arrays(arrays, f"linear.{name}") for name in facts["linear"]}
        self.use_, self.gates_ = facts["use"], facts["gates"]
        self.temperature = arrays["temperature"]
        self.mixture = None if facts["mixture"] is None else ExpertMixture.from_state(arrays, facts["mixture"])
