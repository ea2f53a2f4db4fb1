"""One calibrated linear classifier per modality, their probabilities averaged.

Axis letters: N people, M modality, F voxels, K class.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.errors import InputError
from neuromoe.model._clinical import ClinicalEncoder
from neuromoe.model._linear import LogisticFit, RidgeFit, fit_logistic, fit_ridge
from neuromoe.model.base import Model
from neuromoe.model.cohort import CLINICAL, Cohort


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

    def _fit(self, cohort: Cohort, train: NDArray, val: NDArray | None) -> None:
        rows = train if val is None else np.concatenate([train, val])
        self.encoder = ClinicalEncoder()
        self.experts: dict[str, RidgeFit | LogisticFit] = {}
        for name in self.modalities_:
            mine = rows[cohort.present(rows, [name])[:, 0]]
            targets = self._targets(cohort, mine)
            # An expert that lacks a class would be sure against it.
            if len(np.unique(targets)) == len(self.classes_):
                self.experts[name] = self._fit_expert(cohort, name, mine, targets)

    def _fit_expert(self, cohort: Cohort, name: str, rows: NDArray, targets: NDArray) -> RidgeFit | LogisticFit:
        choices = {"weighted": self.settings.class_weights, "folds": self.settings.folds, "seed": self.seed}
        if name == CLINICAL:
            assert cohort.clinical is not None
            self.encoder = ClinicalEncoder.fit(cohort.clinical.iloc[rows], cohort.clinical_types)
            return fit_logistic(self._features(cohort, name, rows), targets, cohort.groups[rows], **choices)
        features_NF = self._features(cohort, name, rows)
        return fit_ridge(features_NF, targets, cohort.groups[rows], len(self.classes_), **choices)

    def _features(self, cohort: Cohort, name: str, rows: NDArray) -> NDArray:
        if name == CLINICAL:
            assert cohort.clinical is not None
            return self.encoder.encode(cohort.clinical.iloc[rows], len(rows))
        return cohort.patches(name, rows).reshape(len(rows), -1)

    def _usable(self, cohort: Cohort, positions: NDArray) -> NDArray:
        fitted = np.array([name in self.experts for name in self.modalities_], bool)
        return cohort.present(positions, self.modalities_) & fitted

    def _predict_log(self, cohort: Cohort, positions: NDArray) -> NDArray:
        usable_NM = self._usable(cohort, positions)
        total_NK = np.zeros((len(positions), len(self.classes_)))
        for column, name in enumerate(self.modalities_):
            mine = np.flatnonzero(usable_NM[:, column])
            if len(mine):
                features_NF = self._features(cohort, name, positions[mine])
                self._check_features(name, features_NF.shape[1])
                total_NK[mine] += np.exp(self.experts[name].log_proba(features_NF))
        return np.log(np.maximum(total_NK / usable_NM.sum(axis=1, keepdims=True), np.finfo(float).tiny))

    def _check_features(self, name: str, found: int) -> None:
        expected = len(self.experts[name].weights)
        if found != expected:
            raise InputError(
                expected=f"{expected} voxels of {name}",
                found=str(found),
                where="the cohort",
                fix="pack the maps with the template and the settings that the model was fitted with",
            )

    def _gate(self, cohort: Cohort, positions: NDArray, usable_NM: NDArray) -> NDArray:
        return usable_NM / usable_NM.sum(axis=1, keepdims=True)

    def _state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        arrays = {key: value for name, fit in self.experts.items() for key, value in fit.arrays(name).items()}
        return arrays, {"clinical": self.encoder.facts(), "experts": list(self.experts)}

    def _set_state(self, arrays: dict[str, NDArray], facts: dict[str, Any]) -> None:
        self.encoder = ClinicalEncoder.from_facts(facts["clinical"])
        kinds = {name: LogisticFit if name == CLINICAL else RidgeFit for name in facts["experts"]}
        self.experts = {name: kind.from_arrays(arrays, name) for name, kind in kinds.items()}
