"""A mixture of kernel experts with a gate on the scans' quality and the clinical features, in closed form but for it.

Axis letters: N training people, T people to predict, M modality, C channel, E expert, Q quality number, F clinical
feature, I input of the gate, K class.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromoe.cohort.clinical import ClinicalEncoder
from neuromoe.cohort.cohort import CLINICAL, Cohort
from neuromoe.cohort.grid import Layout
from neuromoe.cohort.inner import inner_parts
from neuromoe.model.kernels.experts import KernelExpert, KernelTraining, fit_experts, shrinking
from neuromoe.model.kernels.gates import GateFitting, PoolGate, gate_inputs
from neuromoe.model.kernels.kernels import Likeness, Maps, likeness_between
from neuromoe.model.kernels.linear import balanced_weights
from neuromoe.model.kernels.pooling import POOLS, trust
from neuromoe.model.kernels.scan_quality import ScanQuality, of_experts
from neuromoe.model.kernels.settings import KernelMoESettings
from neuromoe.model.shared.base import Model
from neuromoe.model.shared.held_out import refit_log_proba
from neuromoe.model.shared.maps import Frame, Read, reader_of, take
from neuromoe.model.shared.settings import GATES

# People that are predicted at once: each needs some kernels with all landmarks.
_BLOCK = 1000


class KernelMoE(Model):
    """Calibrated kernel ridge experts, one per modality and one on all of them, weighed by a gate.

    Channels, kernels, penalties, calibration and gate come from predictions of held-out people, which kernel ridge
    gives in closed form. Validation people, where given, are training people here: nothing is stopped early.

    Attributes
    ----------
    gates_ : list of dict
        The gates that were tried, by their loss on people held out.
    """

    name = "kernel-moe"
    Settings = KernelMoESettings

    layout: Layout
    mixture: PoolGate
    gates_: list[dict[str, Any]]

    def _fit(self, cohort: Cohort, train: NDArray, val: NDArray | None) -> None:
        rows = train if val is None else np.concatenate([train, val])
        there_NM = cohort.present(rows, self.modalities_)
        self.trained = self._of_all_classes(cohort, rows)
        rows = rows[(there_NM & self.trained).any(axis=1)]
        self.layout = Layout.of(cohort)
        self.encoder = self._fit_clinical(cohort, rows)
        self.marks = self._draw(cohort, rows)
        frames = {name: self._frame(cohort, rows, name) for name in self._names()}
        self.maps = {name: self._take(cohort, rows, name, frame) for name, frame in frames.items()}
        self.quality = ScanQuality.fit(cohort, rows, frames, oddness=self.settings.oddness)
        self.experts: list[KernelExpert] = []
        self.gates_, self.level = [], dict.fromkeys(self.maps, 1.0)
        inputs = len(self.quality.encoder.keys) + len(self.encoder.features)
        self.slopes = {name: np.zeros(inputs) for name in self.maps}
        self.trust = {name: np.ones(len(self.marks)) for name in self.maps}
        if self.maps:
            self._fit_mixture(cohort, rows)
            if self.settings.calibration:
                self._calibrate(cohort, rows)

    def _draw(self, cohort: Cohort, rows: NDArray) -> NDArray:
        """Draw the landmarks among the rows where these are many: families at random, a few of each class first."""
        if len(rows) <= self.settings.exact:
            return np.arange(len(rows))
        targets, there_NM = self._targets(cohort, rows), cohort.present(rows, self.modalities_)
        family = np.unique(cohort.groups[rows], return_inverse=True)[1]
        turn = np.random.default_rng(self.seed).permutation(family.max() + 1)[family]
        order = np.argsort(turn, kind="stable")
        wanted = np.zeros(len(rows), bool)
        for there in there_NM.T:
            for column in range(len(self.classes_)):
                wanted[order[(there & (targets == column))[order]][: self.settings.folds]] = True
        later = ~np.isin(family, family[wanted])
        return np.sort(np.lexsort((turn, later))[: self.settings.landmarks])

    def _names(self) -> list[str]:
        return [name for name, trained in zip(self.modalities_, self.trained, strict=True) if trained]

    def _fit_clinical(self, cohort: Cohort, rows: NDArray) -> ClinicalEncoder:
        known = rows[cohort.present(rows, [CLINICAL])[:, 0]]
        table = None if cohort.clinical is None or not len(known) else cohort.clinical.iloc[known]
        return ClinicalEncoder.fit(table, cohort.clinical_types)

    def _frame(self, cohort: Cohort, rows: NDArray, name: str) -> Frame:
        mine = rows[cohort.present(rows, [name])[:, 0]]
        return Frame.fit(self._reader(cohort, mine, name), len(mine))

    def _take(self, cohort: Cohort, rows: NDArray, name: str, frame: Frame) -> Maps:
        owners = np.flatnonzero(cohort.present(rows[self.marks], [name])[:, 0])
        return Maps(self._reader(cohort, rows[self.marks[owners]], name), owners, frame)

    def _reader(self, cohort: Cohort, rows: NDArray, name: str) -> Read:
        return reader_of(cohort, name, rows, self.encoder)

    def _fit_mixture(self, cohort: Cohort, rows: NDArray) -> None:
        s, targets, there = self.settings, self._targets(cohort, rows), self._there(cohort, rows)
        likeness, encoded_NMQ, clinical_NF = self._likeness(cohort, rows), *self._told(cohort, rows)
        parts = inner_parts(cohort.groups[rows], targets, s.folds, self.seed)
        balance = balanced_weights(targets, s.class_weights)
        alone = () if not s.alone else ("linear", "rbf") if s.rbf else ("linear",)
        trusted = {name: np.ones(len(rows)) for name in self.maps}
        training = KernelTraining(likeness, self.marks, there, trusted, targets, parts, balance, len(self.classes_))
        weights = training.channel_weights(), training.joint_weights() if s.joint else {}
        for number in range(s.passes):
            choice = {"alone": alone, "joint": s.joint, "again": number > 0}
            self.experts, held_out, there_NE = fit_experts(training, weights, **choice)
            inputs_NEI = gate_inputs(self._quality(encoded_NMQ, there), clinical_NF)
            most, priors = self.quality.encoder.most, (s.bias_prior, s.slope_prior)
            fitting = GateFitting(held_out, targets, parts, inputs_NEI, there_NE, balance, most, *priors)
            if not number:
                # Later, experts know a little of everybody by how far scans are trusted.
                kinds, pools = GATES if s.gate == "best" else (s.gate,), POOLS if s.pool == "best" else (s.pool,)
                self.gates_ = fitting.compare(kinds, pools)
            best = self.gates_[0]
            self.mixture = fitting.fit(best["kind"], best["pool"], best["clinical_prior"])
            if number + 1 < s.passes:
                slope_NI = fitting.without(best["kind"], best["pool"], best["clinical_prior"])
                slant = self._slant(encoded_NMQ, clinical_NF, self._slopes(slope_NI))
                self.slopes = self._slopes(self.mixture.slope)
                self.level = {name: float(np.exp(values[there[name]]).mean()) for name, values in slant.items()}
                training = replace(training, trust=self._trust(slant))
        self.trust = {name: values[self.marks] for name, values in training.trust.items()}
        self.quality = self.quality.for_others({name: int(mine.sum()) for name, mine in there.items()})

    def _calibrate(self, cohort: Cohort, rows: NDArray) -> None:
        """Fit the last temperature on people of whom nothing in the mixture knows."""
        targets = self._targets(cohort, rows)
        once = type(self)(seed=self.seed, **asdict(replace(self.settings, calibration=0)))
        once.classes_, once.prior_ = self.classes_, self.prior_
        said_NK = refit_log_proba(once, cohort, rows, folds=self.settings.calibration)
        balance = balanced_weights(targets, self.settings.class_weights)
        there_NE = self._there_for(self._there(cohort, rows))
        self.mixture, said_NK = self.mixture.tempered(said_NK, targets, balance, there_NE)
        self.held_out_ = rows, said_NK

    def _there(self, cohort: Cohort, rows: NDArray) -> dict[str, NDArray]:
        return {name: cohort.present(rows, [name])[:, 0] for name in self.maps}

    def _there_for(self, there: Mapping[str, NDArray]) -> NDArray:
        """Tell who has something for each expert (N, E)."""
        return np.stack([np.any([there[name] for name in expert.weights], axis=0) for expert in self.experts], axis=1)

    def _likeness(self, cohort: Cohort, rows: NDArray) -> dict[str, Likeness]:
        """Compare these people with the landmarks, modality by modality."""
        found = {}
        for name, maps in self.maps.items():
            there = np.flatnonzero(cohort.present(rows, [name])[:, 0])
            read = self._reader(cohort, rows[there], name)
            found[name] = likeness_between(read, there, len(rows), maps, len(self.marks))
        return found

    def _told(self, cohort: Cohort, rows: NDArray) -> tuple[NDArray, NDArray]:
        """Return what is known of each scan's quality (N, M, Q), and the clinical features (N, F)."""
        return self.quality.encode(cohort, rows, list(self.maps)), self.encoder.encode_rows(cohort, rows).astype(float)

    def _quality(self, encoded_NMQ: NDArray, there: Mapping[str, NDArray]) -> NDArray:
        """Return the quality numbers that each expert is weighed by (N, E, Q)."""
        there_NM = np.stack([there[name] & (name != CLINICAL) for name in self.maps], axis=1)
        return of_experts(
            encoded_NMQ, there_NM, [[name in expert.weights for name in self.maps] for expert in self.experts]
        )

    def _slopes(self, slope: NDArray) -> dict[str, NDArray]:
        """Return of the gate's slopes (..., I) those on all quality numbers and on the clinical ones of each expert."""
        keys, features, found = len(self.quality.encoder.keys), len(self.encoder.features), {}
        alone = [next(iter(expert.weights)) if len(expert.weights) == 1 else "" for expert in self.experts]
        for name in self.maps:
            start = keys + features * (alone.index(name) if name in alone else 0)
            found[name] = np.concatenate([slope[..., :keys], slope[..., start : start + features]], axis=-1)
        return found

    def _slant(self, encoded_NMQ: NDArray, clinical_NF: NDArray, slopes: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """Return what the gate says of each modality (N,), by slopes that all people share or by each person's own."""
        told = {name: np.hstack([encoded_NMQ[:, column], clinical_NF]) for column, name in enumerate(self.maps)}
        return {name: (values * slopes[name]).sum(axis=1) for name, values in told.items()}

    def _trust(self, slant: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """Return how far each scan counts, 1 on average over the training people."""
        return {name: trust(values, self.level[name]) for name, values in slant.items()}

    def _usable(self, cohort: Cohort, positions: NDArray) -> NDArray:
        return cohort.present(positions, self.modalities_) & self.trained

    def _weighed_by(self, cohort: Cohort, positions: NDArray) -> tuple[dict[str, NDArray], NDArray, NDArray]:
        """Return trust in each scan, the gate's inputs (T, E, I), and who has something for each expert."""
        there, (encoded_NMQ, clinical_NF) = self._there(cohort, positions), self._told(cohort, positions)
        inputs_TEI = gate_inputs(self._quality(encoded_NMQ, there), clinical_NF)
        slant = self._slant(encoded_NMQ, clinical_NF, self.slopes)
        return self._trust(slant), inputs_TEI, self._there_for(there)

    def _predict_log(self, cohort: Cohort, positions: NDArray) -> NDArray:
        blocks = np.array_split(positions, -(-len(positions) // _BLOCK))
        return np.concatenate([self._predict_block(cohort, block) for block in blocks])

    def _predict_block(self, cohort: Cohort, positions: NDArray) -> NDArray:
        found, inputs_TEI, there_TE = self._weighed_by(cohort, positions)
        likeness = self._likeness(cohort, positions)
        both = {name: (found[name], self.trust[name]) for name in found}
        log_proba = [expert.log_proba(likeness, both) for expert in self.experts]
        return self.mixture.log_proba(np.stack(log_proba, axis=1), inputs_TEI, there_TE)

    def _gate(self, cohort: Cohort, positions: NDArray, usable_NM: NDArray) -> NDArray:
        """Give each modality its expert's weight and its share of the joint expert's.

        The joint expert's weight is spread over what the person has: evenly, or, where the expert shrinks doubtful
        maps, as it does that.
        """
        found, inputs_TEI, there_TE = self._weighed_by(cohort, positions)
        weights_TE = np.exp(self.mixture.log_weights(inputs_TEI, there_TE))
        counts_TM = np.ones(usable_NM.shape)
        for column, name in enumerate(self.modalities_):
            counts_TM[:, column] = shrinking(found[name]) if name in found else 0
        total_TM = np.zeros(usable_NM.shape)
        for column, expert in enumerate(self.experts):
            share_TM = usable_NM * np.isin(self.modalities_, list(expert.weights))
            share_TM = share_TM * (counts_TM if expert.trusting else 1.0)
            whole_T1 = np.maximum(share_TM.sum(axis=1, keepdims=True), np.finfo(float).tiny)
            total_TM += weights_TE[:, [column]] * share_TM / whole_T1
        return total_TM / total_TM.sum(axis=1, keepdims=True)

    def _state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        facts = {
            "layout": self.layout.facts(),
            "clinical": self.encoder.facts(),
            "quality": self.quality.facts(),
            "trained": self.trained.tolist(),
            "level": self.level,
            "experts": [expert.facts() for expert in self.experts],
            "gate": self.mixture.facts() if self.experts else None,
            "gates": self.gates_,
        }
        arrays = {"places": self.layout.places, "marks": self.marks}
        arrays |= self.mixture.arrays() if self.experts else {}
        for name, maps in self.maps.items():
            kept = {"maps": maps.read.take(np.arange(len(maps.owners))), "owners": maps.owners}
            kept |= {"trust": self.trust[name], "slope": self.slopes[name], "shape": np.array(maps.read.shape)}
            arrays |= maps.frame.arrays(name) | {f"{name}.{part}": array for part, array in kept.items()}
        for expert in self.experts:
            arrays |= {f"expert.{part}": array for part, array in expert.arrays().items()}
        return arrays, facts

    def _set_state(self, arrays: dict[str, NDArray], facts: dict[str, Any]) -> None:
        self.layout = Layout.from_facts(facts["layout"], arrays["places"], self.modalities_)
        self.encoder = ClinicalEncoder.from_facts(facts["clinical"])
        self.trained, self.level = np.array(facts["trained"], bool), facts["level"]
        self.gates_, self.marks = facts["gates"], arrays["marks"]
        self.maps = {name: _kept_maps(arrays, name) for name in self._names()}
        self.quality = ScanQuality.from_facts(facts["quality"], {name: one.frame for name, one in self.maps.items()})
        self.trust = {name: arrays[f"{name}.trust"] for name in self.maps}
        self.slopes = {name: arrays[f"{name}.slope"] for name in self.maps}
        fits = {key.removeprefix("expert."): array for key, array in arrays.items() if key.startswith("expert.")}
        self.experts = [KernelExpert.from_state(fits, fact) for fact in facts["experts"]]
        if self.experts:
            self.mixture = PoolGate.from_state(arrays, facts["gate"])


def _kept_maps(arrays: Mapping[str, NDArray], name: str) -> Maps:
    kept, owners, shape = (arrays[f"{name}.{part}"] for part in ("maps", "owners", "shape"))
    tokens, channels, voxels = shape.tolist()
    read = Read(partial(take, kept.reshape(len(owners), -1)), (tokens, channels, voxels))
    return Maps(read, owners, Frame.from_arrays(arrays, name))
