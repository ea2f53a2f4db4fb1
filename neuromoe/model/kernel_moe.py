"""A mixture of kernel experts with a gate on the scans' quality, without a gradient step on a voxel.

Axis letters: N training people, T people to predict, M modality, E expert, Q quality number, K class.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromoe.cohort.clinical import ClinicalEncoder
from neuromoe.cohort.cohort import CLINICAL, Cohort
from neuromoe.cohort.grid import check_grid, features_of, places_of
from neuromoe.cohort.inner import inner_parts
from neuromoe.cohort.quality import ODD, QualityEncoder, quality_numbers
from neuromoe.model.kernels.kernel_experts import Expert, Training, fit_experts, shrinking
from neuromoe.model.kernels.kernel_settings import KernelMoESettings
from neuromoe.model.kernels.kernels import Likeness
from neuromoe.model.kernels.linear import balanced_weights
from neuromoe.model.kernels.maps import Frame, Maps, Read, likeness_between, reader_of, take
from neuromoe.model.kernels.pool import POOLS, Gate, fit_gate, trust
from neuromoe.model.shared.base import Model
from neuromoe.model.shared.held_out import refit_log_proba

# People that are predicted at once: each needs some kernels with all training people.
_BLOCK = 1000


class KernelMoE(Model):
    """Calibrated kernel ridge experts, one per modality and one on all of them, weighed by the scans' quality.

    Kernels, penalties, calibration and gate come from predictions of held-out people, which kernel ridge gives in
    closed form. Validation people, where given, are training people here: nothing is stopped early.
    """

    name = "kernel-moe"
    Settings = KernelMoESettings

    mixture: Gate

    def _fit(self, cohort: Cohort, train: NDArray, val: NDArray | None) -> None:
        everybody = train if val is None else np.concatenate([train, val])
        rows = self._draw(cohort, everybody)
        there_NM = cohort.present(rows, self.modalities_)
        classes = [len(set(cohort.labels[rows[there]])) for there in there_NM.T]
        # An expert that lacks a class would be sure against it.
        self.trained = np.array([count == len(self.classes_) for count in classes], bool)
        rows = rows[(there_NM & self.trained).any(axis=1)]
        self.features, self.places_T3 = features_of(cohort), places_of(cohort)
        self.encoder = self._fit_clinical(cohort, rows)
        self.maps = {name: self._take(cohort, rows, name) for name in self._names()}
        self.quality = self._fit_quality(cohort, rows)
        self.experts: list[Expert] = []
        self.trust = {name: np.ones(len(rows)) for name in self.maps}
        self.level, self.trust_slope = dict.fromkeys(self.maps, 1.0), np.zeros(len(self.quality.keys))
        if self.maps:
            self._fit_mixture(cohort, rows)
            if self.settings.calibration:
                self._calibrate(cohort, rows)
                self._say_of_others(cohort, np.setdiff1d(everybody, rows))

    def _draw(self, cohort: Cohort, rows: NDArray) -> NDArray:
        """Draw whom to fit on where there are more than `most`: families at random, a few of each class first."""
        if len(rows) <= self.settings.most:
            return rows
        targets, there_NM = self._targets(cohort, rows), cohort.present(rows, self.modalities_)
        family = np.unique(cohort.groups[rows], return_inverse=True)[1]
        turn = np.random.default_rng(self.seed).permutation(family.max() + 1)[family]
        order = np.argsort(turn, kind="stable")
        wanted = np.zeros(len(rows), bool)
        for there in there_NM.T:
            for column in range(len(self.classes_)):
                wanted[order[(there & (targets == column))[order]][: self.settings.folds]] = True
        later = ~np.isin(family, family[wanted])
        return rows[np.sort(np.lexsort((turn, later))[: self.settings.most])]

    def _names(self) -> list[str]:
        return [name for name, trained in zip(self.modalities_, self.trained, strict=True) if trained]

    def _fit_clinical(self, cohort: Cohort, rows: NDArray) -> ClinicalEncoder:
        known = rows[cohort.present(rows, [CLINICAL])[:, 0]]
        table = None if cohort.clinical is None or not len(known) else cohort.clinical.iloc[known]
        return ClinicalEncoder.fit(table, cohort.clinical_types)

    def _fit_quality(self, cohort: Cohort, rows: NDArray) -> QualityEncoder:
        there, scans = self._there(cohort, rows), [name for name in self.maps if name != CLINICAL]
        return QualityEncoder.fit({name: self._numbers(cohort, rows[there[name]], name) for name in scans})

    def _numbers(self, cohort: Cohort, rows: NDArray, name: str) -> dict[str, NDArray]:
        """Return quality numbers of people who have the modality, among them how long their maps are."""
        odd_N = None
        if self.settings.oddness:
            odd_N = self.maps[name].frame.oddness(self._reader(cohort, rows, name), len(rows))
        found = quality_numbers(cohort, rows, name, odd_N)
        return found if self.settings.quality else {key: found[key] for key in found if key == ODD}

    def _take(self, cohort: Cohort, rows: NDArray, name: str) -> Maps:
        owners = np.flatnonzero(cohort.present(rows, [name])[:, 0])
        return Maps.fit(self._reader(cohort, rows[owners], name), owners)

    def _reader(self, cohort: Cohort, rows: NDArray, name: str) -> Read:
        return reader_of(cohort, name, rows, self.encoder)

    def _fit_mixture(self, cohort: Cohort, rows: NDArray) -> None:
        s, targets = self.settings, self._targets(cohort, rows)
        likeness, there, encoded = self._likeness(cohort, rows), self._there(cohort, rows), self._encode(cohort, rows)
        parts = inner_parts(cohort.groups[rows], targets, s.folds, self.seed)
        balance = balanced_weights(targets, s.class_weights)
        kinds = () if not s.alone else ("linear", "rbf") if s.rbf else ("linear",)
        for number in range(s.passes):
            if number:
                self.trust_slope = self.mixture.slope
                raw = {name: np.exp(encoded[name] @ self.trust_slope) for name in self.maps}
                self.level = {name: float(raw[name][there[name]].mean()) for name in self.maps}
                self.trust = self._trust(encoded)
            training = Training(likeness, there, self.trust, targets, parts, balance, len(self.classes_))
            self.experts, held_out, there_NE = fit_experts(training, alone=kinds, joint=s.joint, again=number > 0)
            quality_NEQ = self._quality(encoded, there)
            self.mixture = self._fit_gate(held_out, targets, quality_NEQ, there_NE, balance)
        self.quality = self.quality.for_others({name: len(maps.owners) for name, maps in self.maps.items()})

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

    def _say_of_others(self, cohort: Cohort, others: NDArray) -> None:
        """Count those who were not drawn, nor anybody of their family, among the people held out."""
        if self.held_out_ is not None:
            rows, said_NK = self.held_out_
            others = others[~np.isin(cohort.groups[others], cohort.groups[rows])]
            of_others_NK = np.log(self.predict_proba(cohort, others))
            self.held_out_ = np.concatenate([rows, others]), np.concatenate([said_NK, of_others_NK])

    def _fit_gate(
        self, held_out: NDArray, targets: NDArray, quality_NEQ: NDArray, there_NE: NDArray, balance: NDArray
    ) -> Gate:
        s = self.settings
        priors = {"bias_prior": s.bias_prior, "slope_prior": s.slope_prior, "most": self.quality.most}
        pools = POOLS if s.pool == "best" else (s.pool,)
        fits = [
            fit_gate(held_out, targets, quality_NEQ, there_NE, weights=balance, pool=pool, **priors) for pool in pools
        ]
        return min(fits, key=lambda trial: trial[0])[1]

    def _there(self, cohort: Cohort, rows: NDArray) -> dict[str, NDArray]:
        return {name: cohort.present(rows, [name])[:, 0] for name in self.maps}

    def _there_for(self, there: Mapping[str, NDArray]) -> NDArray:
        """Tell who has something for each expert (N, E)."""
        return np.stack(
            [np.any([there[name] for name in expert.modalities], axis=0) for expert in self.experts], axis=1
        )

    def _likeness(self, cohort: Cohort, rows: NDArray) -> dict[str, Likeness]:
        """Compare these people with the training people, modality by modality."""
        found = {}
        for name, maps in self.maps.items():
            there = np.flatnonzero(cohort.present(rows, [name])[:, 0])
            read = self._reader(cohort, rows[there], name)
            found[name] = likeness_between(read, there, len(rows), maps, len(self.trust[name]))
        return found

    def _encode(self, cohort: Cohort, rows: NDArray) -> dict[str, NDArray]:
        """Return the encoded quality numbers of each modality (N, Q), zeros where it is absent or clinical."""
        encoded = {}
        for name, there in self._there(cohort, rows).items():
            encoded[name] = np.zeros((len(rows), len(self.quality.keys)))
            if name != CLINICAL and there.any():
                numbers = self._numbers(cohort, rows[there], name)
                encoded[name][there] = self.quality.encode(name, numbers, int(there.sum()))
        return encoded

    def _quality(self, encoded: Mapping[str, NDArray], there: Mapping[str, NDArray]) -> NDArray:
        """Return the quality numbers that each expert is weighed by (N, E, Q): the mean of the scans that it reads."""
        columns = []
        for expert in self.experts:
            scans = [name for name in expert.modalities if name != CLINICAL]
            count = np.sum([there[name] for name in scans], axis=0) if scans else np.ones(len(there[CLINICAL]))
            total = np.sum([encoded[name] for name in expert.modalities], axis=0)
            columns.append(total / np.maximum(count, 1)[:, None])
        return np.stack(columns, axis=1)

    def _trust(self, encoded: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """Return how far each scan counts by its quality alone; 1 on average over the training people."""
        return {name: trust(values @ self.trust_slope, self.level[name]) for name, values in encoded.items()}

    def _usable(self, cohort: Cohort, positions: NDArray) -> NDArray:
        return cohort.present(positions, self.modalities_) & self.trained

    def _weighed_by(self, cohort: Cohort, positions: NDArray) -> tuple[dict[str, NDArray], NDArray, NDArray]:
        """Return trust in each scan, quality of what each expert reads (T, E, Q), and who has something for it."""
        check_grid(cohort, self.features, self.places_T3)
        there, encoded = self._there(cohort, positions), self._encode(cohort, positions)
        return self._trust(encoded), self._quality(encoded, there), self._there_for(there)

    def _predict_log(self, cohort: Cohort, positions: NDArray) -> NDArray:
        blocks = np.array_split(positions, -(-len(positions) // _BLOCK))
        return np.concatenate([self._predict_block(cohort, block) for block in blocks])

    def _predict_block(self, cohort: Cohort, positions: NDArray) -> NDArray:
        trust, quality_TEQ, there_TE = self._weighed_by(cohort, positions)
        plain, shrunk = self._likeness(cohort, positions), {}
        for name, part in plain.items():
            shrunk[name] = part.trusted(shrinking(trust[name]), shrinking(self.trust[name]))
        log_proba = [expert.log_proba(shrunk if expert.trusting else plain) for expert in self.experts]
        return self.mixture.log_proba(np.stack(log_proba, axis=1), quality_TEQ, there_TE)

    def _gate(self, cohort: Cohort, positions: NDArray, usable_NM: NDArray) -> NDArray:
        """Give each modality its expert's weight and its share of the joint expert's.

        The joint expert's weight is spread over what the person has: evenly, or, where the expert shrinks doubtful
        maps, as it does that.
        """
        trust, quality_TEQ, there_TE = self._weighed_by(cohort, positions)
        weights_TE = np.exp(self.mixture.log_weights(quality_TEQ, there_TE))
        counts_TM = np.ones(usable_NM.shape)
        for column, name in enumerate(self.modalities_):
            counts_TM[:, column] = shrinking(trust[name]) if name in trust else 0
        total_TM = np.zeros(usable_NM.shape)
        for column, expert in enumerate(self.experts):
            share_TM = usable_NM * np.isin(self.modalities_, expert.modalities)
            share_TM = share_TM * (counts_TM if expert.trusting else 1.0)
            whole_T1 = np.maximum(share_TM.sum(axis=1, keepdims=True), np.finfo(float).tiny)
            total_TM += weights_TE[:, [column]] * share_TM / whole_T1
        return total_TM / total_TM.sum(axis=1, keepdims=True)

    def _state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        facts = {
            "features": self.features,
            "clinical": self.encoder.facts(),
            "quality": self.quality.facts(),
            "trained": self.trained.tolist(),
            "level": self.level,
            "experts": [expert.facts() for expert in self.experts],
            "pool": self.mixture.pool if self.experts else None,
        }
        arrays = {"trust_slope": self.trust_slope, "places": self.places_T3} | (
            self.mixture.arrays() if self.experts else {}
        )
        for name, maps in self.maps.items():
            kept = {"maps": maps.read(np.arange(len(maps.owners))), "owners": maps.owners, "trust": self.trust[name]}
            kept |= {"mean": maps.frame.mean, "scale": maps.frame.scale, "limit": maps.frame.limit}
            arrays |= {f"{name}.{part}": array for part, array in kept.items()}
        for expert in self.experts:
            arrays |= {f"expert.{part}": array for part, array in expert.arrays().items()}
        return arrays, facts

    def _set_state(self, arrays: dict[str, NDArray], facts: dict[str, Any]) -> None:
        self.features, self.places_T3 = facts["features"], arrays["places"]
        self.encoder = ClinicalEncoder.from_facts(facts["clinical"])
        self.quality = QualityEncoder.from_facts(facts["quality"])
        self.trained, self.level = np.array(facts["trained"], bool), facts["level"]
        self.trust_slope = arrays["trust_slope"]
        self.maps = {name: _kept_maps(arrays, name) for name in self._names()}
        self.trust = {name: arrays[f"{name}.trust"] for name in self.maps}
        fits = {key.removeprefix("expert."): array for key, array in arrays.items() if key.startswith("expert.")}
        self.experts = [Expert.from_state(fits, fact) for fact in facts["experts"]]
        if self.experts:
            self.mixture = Gate.from_arrays(arrays, facts["pool"])


def _kept_maps(arrays: Mapping[str, NDArray], name: str) -> Maps:
    kept, owners, *frame = (arrays[f"{name}.{part}"] for part in ("maps", "owners", "mean", "scale", "limit"))
    return Maps(partial(take, kept), owners, Frame(*frame))
