"""The mixture of transformer experts that starts from linear ones, cross-fitted.

Axis letters: N people, B batch, M modality (expert), T token, F voxels of a patch or encoded clinical features, Q
quality number, K class.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuromoe.cohort.cohort import CLINICAL, Cohort
from neuromoe.cohort.inner import inner_parts
from neuromoe.cohort.loading import PatchDataset
from neuromoe.cohort.quality import QualityEncoder, quality_numbers
from neuromoe.model.kernels import pool
from neuromoe.model.kernels.kernel_ridge import KernelFit
from neuromoe.model.kernels.linear import balanced_weights, log_softmax
from neuromoe.model.kernels.linear_experts import Compared, LinearExpert, LinearTraining, shares, trust_of
from neuromoe.model.kernels.maps import Frame, Read, reader_of
from neuromoe.model.networks.augment import augment
from neuromoe.model.networks.learner import Batch
from neuromoe.model.networks.losses import balance_penalty, mix, weighted_cross_entropy
from neuromoe.model.networks.mixture import MixtureNetwork, NeuroMoESettings
from neuromoe.model.networks.network_model import NetworkModel
from neuromoe.model.networks.reader import near_tokens


class NeuroMoE(NetworkModel):
    """A transformer expert per modality that adds to a linear one, weighed by the quality of each scan.

    Members are trained without one part of the people each. What they say of the people they did not see decides how
    far the transformers are believed, the final gate and its temperature; their mean predicts. Validation people, where
    given, are training people here: the parts do their work.
    """

    name = "neuromoe"
    Settings = NeuroMoESettings

    quality: QualityEncoder
    frames: Mapping[str, Frame]
    linear: dict[str, LinearExpert]
    share_M: NDArray
    mixture: pool.Gate

    def _fit(self, cohort: Cohort, train: NDArray, val: NDArray | None) -> None:
        s, rows = self.settings, train if val is None else np.concatenate([train, val])
        self._learn_inputs(cohort, rows)
        self.trained = self.trained & self._of_all_classes(cohort, rows)
        rows = rows[self._usable(cohort, rows).any(axis=1)]
        targets = self._targets(cohort, rows)
        parts = self._parts(cohort, rows, targets)
        linear = self._compare(cohort, rows, targets)
        maps = {self.modalities_[column]: one.maps for column, one in linear.compared.items()}
        self.frames = {name: one.frame for name, one in maps.items()}
        self.quality = self._learn_quality(cohort, rows)
        quality_NMQ = self._quality_of(cohort, rows)
        fits, base_NMK = self._fit_linear(linear, quality_NMQ, np.ones(len(rows), bool))
        self.linear = {self.modalities_[column]: linear.compared[column].expert(fit) for column, fit in fits.items()}
        self._train(cohort, rows, parts, s.folds, self._objective, quality=quality_NMQ, base=base_NMK)
        self._fit_mixture(cohort, rows, parts, linear, quality_NMQ, base_NMK)
        self.quality = self.quality.for_others({name: len(one.owners) for name, one in maps.items()})

    def _of_all_classes(self, cohort: Cohort, rows: NDArray) -> NDArray:
        """Tell which modalities people of every class have (M,): an expert that lacks a class is sure against it."""
        targets, present_NM = self._targets(cohort, rows), cohort.present(rows, self.modalities_)
        counts = [len(np.unique(targets[there])) for there in present_NM.T]
        return np.array(counts, int) == len(self.classes_)

    def _parts(self, cohort: Cohort, rows: NDArray, targets: NDArray) -> NDArray:
        if self.settings.folds > 1:
            return inner_parts(cohort.groups[rows], targets, self.settings.folds, self.seed)
        _, aside = self._with_inner(cohort, rows, None, self.settings.validation_share)
        return np.where(np.isin(rows, aside), 0, -1)

    def _learn_quality(self, cohort: Cohort, rows: NDArray) -> QualityEncoder:
        there = {name: rows[cohort.rows[name][rows] >= 0] for name in self.frames if name != CLINICAL}
        return QualityEncoder.fit({name: self._numbers(cohort, mine, name) for name, mine in there.items()})

    def _numbers(self, cohort: Cohort, rows: NDArray, name: str) -> dict[str, NDArray]:
        """Return quality numbers of people who have the modality, and how far their maps lie from the mean map."""
        odd_N = self.frames[name].oddness(self._features(cohort, name, rows), len(rows))
        return quality_numbers(cohort, rows, name, odd_N)

    def _fit_gate(
        self, said_NMK: NDArray, targets: NDArray, quality_NMQ: NDArray, present_NM: NDArray, balance: NDArray
    ) -> pool.Gate:
        s = self.settings
        stiff = 1e9 if s.gate == "uniform" else 1.0
        most = np.append(self.quality.most, [np.inf] * (quality_NMQ.shape[2] - len(self.quality.keys)))
        priors = {"bias_prior": stiff * s.bias_prior, "slope_prior": stiff * s.slope_prior, "most": most}
        return pool.fit_gate(said_NMK, targets, quality_NMQ, present_NM, weights=balance, pool="mixture", **priors)[1]

    def _compare(self, cohort: Cohort, rows: NDArray, targets: NDArray) -> LinearTraining:
        compared, present_NM = {}, self._usable(cohort, rows)
        for column, name in enumerate(self.modalities_):
            mine = rows[present_NM[:, column]]
            if len(mine):
                compared[column] = Compared.of(self._features(cohort, name, mine), len(mine), seed=self.seed)
        parts = inner_parts(cohort.groups[rows], targets, max(self.settings.folds, 5), self.seed)
        balance = balanced_weights(targets, self.settings.class_weights)
        return LinearTraining(compared, present_NM, targets, parts, balance, len(self.classes_))

    def _fit_linear(
        self, linear: LinearTraining, quality_NMQ: NDArray, inside: NDArray
    ) -> tuple[dict[int, KernelFit], NDArray]:
        """Fit linear experts on those `inside`, a second time as their quality deserves; return them and what they say.

        Of those inside it is what experts say that did not see them (N, M, K).
        """
        trust_NM = np.ones(linear.present.shape)
        fits, said_NMK = linear.fit(trust_NM, inside)
        if self.settings.gate != "uniform":
            known = (said_NMK, linear.targets, quality_NMQ, linear.present, linear.balance)
            gate = self._fit_gate(*(values[inside] for values in known))
            trust_NM[inside] = trust_of(quality_NMQ[inside] @ gate.slope, linear.present[inside])
            fits, said_NMK = linear.fit(trust_NM, inside)
        return fits, said_NMK if self.settings.linear else np.zeros(said_NMK.shape)

    def _features(self, cohort: Cohort, name: str, rows: NDArray) -> Read:
        return reader_of(cohort, name, rows, self.encoder)

    def _say_linear(self, cohort: Cohort, positions: NDArray) -> NDArray:
        """Return the linear experts' log probabilities (n, M, K), zeros where absent."""
        usable_NM = self._usable(cohort, positions)
        said_NMK = np.zeros((*usable_NM.shape, len(self.classes_)))
        for column, name in enumerate(self.modalities_):
            mine = np.flatnonzero(usable_NM[:, column])
            if len(mine) and self.settings.linear:
                read = self._features(cohort, name, positions[mine])
                said_NMK[mine, column] = self.linear[name].log_proba(read, len(mine))
        return said_NMK

    def _build(self) -> MixtureNetwork:
        places_T3, sizes = torch.from_numpy(self.places_T3), (len(self.quality.keys), len(self.classes_))
        return MixtureNetwork(self.features, places_T3, self.clinical_features, *sizes, self.settings)

    def _tokens(self, patches: PatchDataset, name: str, rows: NDArray) -> Tensor:
        """Read patches less the training people's mean, in deviations of a voxel, none too far from it."""
        tokens_BTF, expert = super()._tokens(patches, name, rows), self.linear[name]
        factor = expert.mean.size**0.5 / float(expert.scale[0])
        return near_tokens(tokens_BTF, expert.mean, expert.limit, factor)

    def _quality_of(self, cohort: Cohort, positions: NDArray) -> NDArray:
        """Return encoded quality numbers (n, M, Q), zeros where absent or clinical; reads the maps."""
        present_NM = self._usable(cohort, positions)
        encoded = np.zeros((*present_NM.shape, len(self.quality.keys)))
        for column, name in enumerate(self.modalities_):
            mine = np.flatnonzero(present_NM[:, column])
            if name != CLINICAL and len(mine):
                numbers = self._numbers(cohort, positions[mine], name)
                encoded[mine, column] = self.quality.encode(name, numbers, len(mine))
        return encoded

    def _objective(
        self, member: Any, batch: Batch, class_weights_K: Tensor, total: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        s = self.settings
        present_BM = batch.present
        if member.training:
            present_BM = _leave_out(present_BM, s.modality_dropout)
            batch = augment(batch, member, s)
        logits_BMK = batch.base + member.additions(batch)
        log_gate_BM = member.log_gate(batch, present_BM)
        loss_B = weighted_cross_entropy(mix(log_gate_BM, logits_BMK), batch.target, class_weights_K)
        if member.training and s.auxiliary:
            log_experts_BKM = logits_BMK.log_softmax(dim=2).transpose(1, 2)
            own_BM = -log_experts_BKM[torch.arange(len(batch.target)), batch.target]
            own_B = (own_BM * batch.present).sum(dim=1) / batch.present.sum(dim=1)
            loss_B = loss_B + s.auxiliary * class_weights_K[batch.target] * own_B
        if not s.balance:
            return loss_B, loss_B.new_zeros(())
        penalty = balance_penalty(log_gate_BM.exp(), present_BM, corrected=s.balance_correction, total=total)
        return loss_B, s.balance * penalty

    def _fit_mixture(
        self,
        cohort: Cohort,
        rows: NDArray,
        parts: NDArray,
        linear: LinearTraining,
        quality_NMQ: NDArray,
        base_NMK: NDArray,
    ) -> None:
        """Decide on people held out how far the networks are believed, and fit the gate."""
        added_NMK, clinical_NM = np.zeros(base_NMK.shape), np.zeros(linear.present.shape)
        for part in np.unique(parts[parts >= 0]):
            mine, members = np.flatnonzero(parts == part), [self.members[part]]
            added_NMK[mine] = self._additions(cohort, rows[mine], members)
            clinical_NM[mine] = self._by_clinical(cohort, rows[mine], members)
        quality = _gate_inputs(quality_NMQ, clinical_NM)
        known = added_NMK, linear.targets, quality, linear.present, linear.balance
        aside = parts >= 0
        self.share_M, self.mixture = self._weigh(base_NMK[aside], *(values[aside] for values in known))
        log_experts = log_softmax(base_NMK + self.share_M[:, None] * added_NMK)
        said_NK = self.mixture.log_proba(log_experts, quality, linear.present)
        if self.settings.folds > 1:
            said_NK = self._say_held_out(parts, linear, quality_NMQ, known)
            self.mixture, said_NK = self.mixture.tempered(said_NK, linear.targets, linear.balance, linear.present)
            self.held_out_ = rows, said_NK
        weights_NM = np.exp(self.mixture.log_weights(quality, linear.present))
        judged = (log_experts, said_NK, weights_NM, linear.targets, linear.present)
        self._diagnose(*(values[aside] for values in judged), gated=self.settings.gate != "uniform")

    def _say_held_out(
        self, parts: NDArray, linear: LinearTraining, quality_NMQ: NDArray, known: Sequence[NDArray]
    ) -> NDArray:
        """Return log probabilities (N, K) by linear experts, shares and gate of the other parts.

        `known` is what `_weigh` takes after what the linear experts say.
        """
        added_NMK, _, gate_NMQ, present_NM, _ = known
        said_NK = np.tile(np.log(self.prior_), (len(parts), 1))
        for part in np.unique(parts) if len(np.unique(parts)) > 1 else ():
            inside, outside = parts != part, parts == part
            base_NMK = self._fit_linear(linear, quality_NMQ, inside)[1]
            share_M, mixture = self._weigh(base_NMK[inside], *(values[inside] for values in known))
            log_experts = log_softmax(base_NMK[outside] + share_M[:, None] * added_NMK[outside])
            said_NK[outside] = mixture.log_proba(log_experts, gate_NMQ[outside], present_NM[outside])
        return said_NK

    def _weigh(
        self,
        base_NMK: NDArray,
        added_NMK: NDArray,
        targets: NDArray,
        quality_NMQ: NDArray,
        present_NM: NDArray,
        balance: NDArray,
    ) -> tuple[NDArray, pool.Gate]:
        """Decide how far the networks are believed (M,), and fit the gate."""
        share_M = np.ones(present_NM.shape[1])
        if self.settings.linear:
            share_M = shares(base_NMK, added_NMK, targets, present_NM, balance)
        log_experts = log_softmax(base_NMK + share_M[:, None] * added_NMK)
        return share_M, self._fit_gate(log_experts, targets, quality_NMQ, present_NM, balance)

    def _additions(self, cohort: Cohort, positions: NDArray, members: list[Any]) -> NDArray:
        """Return what the members' networks add to the linear experts in the mean (n, M, K)."""

        def say(batch: Batch) -> Tensor:
            return torch.stack([member.additions(batch) for member in members]).mean(dim=0)

        return self._ask(self._reader(cohort, positions), len(positions), say)

    def _by_clinical(self, cohort: Cohort, positions: NDArray, members: list[Any]) -> NDArray:
        """Return the members' mean gate logits by the clinical features (n, M)."""
        clinical_NF = torch.from_numpy(self._encode_clinical(cohort, positions)).to(self.settings.device_now())
        with torch.inference_mode():
            logits = torch.stack([member.gate.by_clinical(clinical_NF) for member in members]).mean(dim=0)
        return logits.cpu().double().numpy()

    def _weighed_by(self, cohort: Cohort, positions: NDArray) -> NDArray:
        return _gate_inputs(self._quality_of(cohort, positions), self._by_clinical(cohort, positions, self.members))

    def _predict_log(self, cohort: Cohort, positions: NDArray) -> NDArray:
        self._check_grid(cohort)
        added_NMK = self._additions(cohort, positions, self.members)
        log_experts = log_softmax(self._say_linear(cohort, positions) + self.share_M[:, None] * added_NMK)
        quality, usable_NM = self._weighed_by(cohort, positions), self._usable(cohort, positions)
        return self.mixture.log_proba(log_experts, quality, usable_NM)

    def _gate(self, cohort: Cohort, positions: NDArray, usable_NM: NDArray) -> NDArray:
        return np.exp(self.mixture.log_weights(self._weighed_by(cohort, positions), usable_NM))

    def _state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        arrays, facts = super()._state()
        for name, expert in self.linear.items():
            arrays |= expert.arrays(f"linear.{name}")
        arrays |= {"share": self.share_M, **self.mixture.arrays()}
        return arrays, {**facts, "quality": self.quality.facts(), "linear": list(self.linear)}

    def _set_state(self, arrays: dict[str, NDArray], facts: dict[str, Any]) -> None:
        self.quality = QualityEncoder.from_facts(facts["quality"])
        self.linear = {name: LinearExpert.from_arrays(arrays, f"linear.{name}") for name in facts["linear"]}
        self.frames = self.linear
        self.share_M, self.mixture = arrays["share"], pool.Gate.from_arrays(arrays, "mixture")
        super()._set_state(arrays, facts)


def _gate_inputs(quality_NMQ: NDArray, clinical_NM: NDArray) -> NDArray:
    """Lay what the members' gates say by the clinical features beside the quality numbers (n, M, Q + 1)."""
    return np.concatenate([quality_NMQ, clinical_NM[:, :, None]], axis=2)


def _leave_out(present_BM: Tensor, rate: float) -> Tensor:
    """Leave modalities out at random, never all of a person's."""
    if not rate:
        return present_BM
    kept_BM = present_BM & (torch.rand(present_BM.shape, device=present_BM.device) >= rate)
    return torch.where(kept_BM.any(dim=1, keepdim=True), kept_BM, present_BM)
