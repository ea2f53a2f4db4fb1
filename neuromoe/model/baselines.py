"""What a network must beat: the class frequencies, and the clinical table alone.

Axis letters: N people, M modality, F encoded clinical features, K class.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromoe.cohort.clinical import ClinicalEncoder
from neuromoe.cohort.cohort import CLINICAL, Cohort
from neuromoe.model.kernels.linear import LogisticFit, fit_logistic
from neuromoe.model.shared.base import Model


class Majority(Model):
    """Everybody gets the class frequencies of the training people."""

    name = "majority"

    def _fit(self, cohort: Cohort, train: NDArray, val: NDArray | None) -> None:
        pass

    def _usable(self, cohort: Cohort, positions: NDArray) -> NDArray:
        return np.zeros((len(positions), len(self.modalities_)), bool)

    def _predict_log(self, cohort: Cohort, positions: NDArray) -> NDArray:
        return np.tile(np.log(self.prior_), (len(positions), 1))

    def _gate(self, cohort: Cohort, positions: NDArray, usable_NM: NDArray) -> NDArray:
        return np.zeros(usable_NM.shape)

    def _state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        return {}, {}

    def _set_state(self, arrays: dict[str, NDArray], facts: dict[str, Any]) -> None:
        pass


@dataclass(frozen=True)
class ClinicalLogisticSettings:
    """Settings of `clinical-logistic`.

    Parameters
    ----------
    class_weights : bool
        Weigh people against the frequency of their class.
    folds : int
        Inner parts for choosing the penalty.
    """

    class_weights: bool = True
    folds: int = 5


class ClinicalLogistic(Model):
    """Logistic regression on the clinical and serum features, its penalty chosen inside the training people.

    Validation people, where given, are training people here: nothing is stopped early.
    """

    name = "clinical-logistic"
    Settings = ClinicalLogisticSettings

    def _fit(self, cohort: Cohort, train: NDArray, val: NDArray | None) -> None:
        rows = train if val is None else np.concatenate([train, val])
        rows = rows[self._usable_clinical(cohort, rows)]
        self.encoder, self.logistic = ClinicalEncoder(), None
        if cohort.clinical is None or len(set(cohort.labels[rows])) < len(self.classes_):
            return
        self.encoder = ClinicalEncoder.fit(cohort.clinical.iloc[rows], cohort.clinical_types)
        self.logistic = fit_logistic(
            self.encoder.encode(cohort.clinical.iloc[rows], len(rows)),
            self._targets(cohort, rows),
            cohort.groups[rows],
            weighted=self.settings.class_weights,
            folds=self.settings.folds,
            seed=self.seed,
        )

    def _usable_clinical(self, cohort: Cohort, positions: NDArray) -> NDArray:
        return cohort.present(positions, [CLINICAL])[:, 0]

    def _usable(self, cohort: Cohort, positions: NDArray) -> NDArray:
        usable = np.zeros((len(positions), len(self.modalities_)), bool)
        if self.logistic is not None:
            usable[:, -1] = self._usable_clinical(cohort, positions)
        return usable

    def _predict_log(self, cohort: Cohort, positions: NDArray) -> NDArray:
        assert self.logistic is not None and cohort.clinical is not None
        table = cohort.clinical.iloc[positions]
        return self.logistic.log_proba(self.encoder.encode(table, len(positions)))

    def _gate(self, cohort: Cohort, positions: NDArray, usable_NM: NDArray) -> NDArray:
        return usable_NM.astype(float)

    def _state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        facts = {"clinical": self.encoder.facts(), "with_clinical": self.logistic is not None}
        return ({} if self.logistic is None else self.logistic.arrays("clinical")), facts

    def _set_state(self, arrays: dict[str, NDArray], facts: dict[str, Any]) -> None:
        self.encoder = ClinicalEncoder.from_facts(facts["clinical"])
        self.logistic = LogisticFit.from_arrays(arrays, "clinical") if facts["with_clinical"] else None
