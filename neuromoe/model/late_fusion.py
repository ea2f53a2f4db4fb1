"""One calibrated linear classifier per modality, their probabilities averaged.

Axis letters: N people, M modality, F voxels, K class.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromoe.cohort.clinical import ClinicalEncoder
from neuromoe.cohort.cohort import CLINICAL, Cohort
from neuromoe.cohort.grid import Layout
from neuromoe.cohort.inner import inner_parts
from neuromoe.model.kernels.linear import LogisticFit, balanced_weights, fit_logistic
from neuromoe.model.kernels.linear_experts import Compared, LinearExpert
from neuromoe.model.shared.base import Model
from neuromoe.model.shared.maps import reader_of


@dataclass(frozen=True)
class LateFusionSettings:
    """Settings of `late-fusion`.

    Parameters
    ----------
    class_weights : bool
        Weigh people against the frequency of their class.
    folds : int
        Inner parts for choosing penalties and for calibrating.
    """

    class_weights: bool = True
    folds: int = 5


class LateFusion(Model):
    """Ridge regression on each modality, logistic regression on the clinical features, and their mean.

    Penalty and calibration of each come from held-out inner parts. Validation people, where given, are
    training people here: nothing is stopped early.
    """

    name = "late-fusion"
    Settings = LateFusionSettings

    layout: Layout

    def _fit(self, cohort: Cohort, train: NDArray, val: NDArray | None) -> None:
        rows = train if val is None else np.concatenate([train, val])
        self.layout = Layout.of(cohort)
        self.encoder = ClinicalEncoder()
        self.experts: dict[str, LinearExpert | LogisticFit] = {}
        for name, trained in zip(self.modalities_, self._of_all_classes(cohort, rows), strict=True):
            mine = rows[cohort.present(rows, [name])[:, 0]]
            if trained:
                self.experts[name] = self._fit_expert(cohort, name, mine, self._targets(cohort, mine))

    def _fit_expert(self, cohort: Cohort, name: str, rows: NDArray, targets: NDArray) -> LinearExpert | LogisticFit:
        s, groups = self.settings, cohort.groups[rows]
        if name == CLINICAL:
            assert cohort.clinical is not None
            self.encoder = ClinicalEncoder.fit(cohort.clinical.iloc[rows], cohort.clinical_types)
            choices = {"weighted": s.class_weights, "folds": s.folds, "seed": self.seed}
            return fit_logistic(self.encoder.encode_rows(cohort, rows), targets, groups, **choices)
        compared = Compared.of(reader_of(cohort, name, rows, self.encoder), len(rows), seed=self.seed)
        parts, balance = inner_parts(groups, targets, s.folds, self.seed), balanced_weights(targets, s.class_weights)
        known = np.ones(len(rows), bool), targets, parts, len(self.classes_)
        channels, trust = compared.channel_weights(*known, balance), np.ones(len(rows))
        return compared.expert(compared.fit(*known, balance=balance, trust=trust, channels=channels)[0])

    def _usable(self, cohort: Cohort, positions: NDArray) -> NDArray:
        fitted = np.array([name in self.experts for name in self.modalities_], bool)
        return cohort.present(positions, self.modalities_) & fitted

    def _predict_log(self, cohort: Cohort, positions: NDArray) -> NDArray:
        usable_NM = self._usable(cohort, positions)
        total_NK = np.zeros((len(positions), len(self.classes_)))
        for column, name in enumerate(self.modalities_):
            mine = np.flatnonzero(usable_NM[:, column])
            if len(mine):
                total_NK[mine] += np.exp(self._say(cohort, name, positions[mine]))
        return np.log(np.maximum(total_NK / usable_NM.sum(axis=1, keepdims=True), np.finfo(float).tiny))

    def _say(self, cohort: Cohort, name: str, rows: NDArray) -> NDArray:
        expert = self.experts[name]
        if isinstance(expert, LogisticFit):
            return expert.log_proba(self.encoder.encode_rows(cohort, rows))
        return expert.log_proba(reader_of(cohort, name, rows, self.encoder), len(rows))

    def _gate(self, cohort: Cohort, positions: NDArray, usable_NM: NDArray) -> NDArray:
        return usable_NM / usable_NM.sum(axis=1, keepdims=True)

    def _state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        arrays = {key: value for name, fit in self.experts.items() for key, value in fit.arrays(name).items()}
        facts = {"clinical": self.encoder.facts(), "experts": list(self.experts), "layout": self.layout.facts()}
        return {**arrays, "places": self.layout.places}, facts

    def _set_state(self, arrays: dict[str, NDArray], facts: dict[str, Any]) -> None:
        self.layout = Layout.from_facts(facts["layout"], arrays["places"], self.modalities_)
        self.encoder = ClinicalEncoder.from_facts(facts["clinical"])
        kinds = {name: LogisticFit if name == CLINICAL else LinearExpert for name in facts["experts"]}
        self.experts = {name: kind.from_arrays(arrays, name) for name, kind in kinds.items()}
