"""The headline: several models, weighed by what each says of people that it did not see.

Axis letters: N people, C candidate, M modality, K class.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromoe.cohort.cohort import Cohort
from neuromoe.core.errors import InputError, settings_error
from neuromoe.model.kernels.linear import balanced_weights, log_softmax, weighted_nll
from neuromoe.model.kernels.pooling import temper, warmth
from neuromoe.model.shared.base import LEAST, LongFit, Model
from neuromoe.model.shared.held_out import held_out_log_proba

_LEAST_WEIGHT = 0.01


@dataclass(frozen=True)
class AutoSettings:
    """Settings of `neuromoe-auto`.

    Parameters
    ----------
    candidates : str
        Names of the models to choose from, with commas.
    folds : int
        Inner parts for those candidates that are not cross-fitted by themselves.
    class_weights : bool
        Judge candidates with people weighed against the frequency of their class.
    candidate_settings : dict
        Settings of candidates by name, as `{"neuromoe": {"epochs": 40}}`.
    """

    candidates: str = "kernel-moe, early-fusion, late-fusion, clinical-logistic, neuromoe"
    folds: int = 5
    class_weights: bool = True
    candidate_settings: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Name the candidates."""
        return [name for name in (part.strip() for part in self.candidates.split(",")) if name]

    def __post_init__(self) -> None:
        strange = set(self.candidate_settings) - set(self.names)
        strange |= {name for name, given in self.candidate_settings.items() if not isinstance(given, dict)}
        if not self.names or "neuromoe-auto" in self.names or self.folds < 2 or strange:
            raise settings_error(
                self,
                expected="names of other models with commas, folds from 2, settings of candidates alone",
                of="neuromoe-auto",
            )


class NeuroMoEAuto(LongFit):
    """Chooses between models and stacks them by predictions of people held out, of the training people alone.

    The weight of a candidate is the likelihood that it gives to people held out [1]_; where several have weight, a
    temperature follows. What was chosen, and by which figures, is in `choice_`.

    Attributes
    ----------
    lent : dict of str to Model
        Candidates that are fitted on the same people already, with the settings that they have here, by name.
    choice_ : list of dict
        `candidate`, `held_out_nll` and `held_out_balanced_accuracy` alone, and `weight`; the stack itself last.

    References
    ----------
    .. [1] Yao Y et al. 2018, doi:10.1214/17-BA1091.
    """

    name = "neuromoe-auto"
    Settings = AutoSettings

    lent: dict[str, Model]
    candidates: dict[str, Model]
    weights_C: NDArray
    temperatures_C: NDArray
    temperature: NDArray
    choice_: list[dict[str, Any]]

    def __init__(self, *, seed: int = 0, **settings: Any) -> None:
        super().__init__(seed=seed, **settings)
        self.lent = {}

    def _fit(self, cohort: Cohort, train: NDArray, val: NDArray | None) -> None:
        rows = train if val is None else np.concatenate([train, val])
        targets = self._targets(cohort, rows)
        balance = balanced_weights(targets, self.settings.class_weights)
        fitted = {name: self._fit_candidate(name, cohort, rows) for name in self.settings.names}
        said = [held_out_log_proba(model, cohort, rows, folds=self.settings.folds) for model in fitted.values()]
        usable = [model._usable(cohort, rows) for model in fitted.values()]
        # A mean of experts, as late fusion, is less sure than it should be: it is judged by what it could say. Those
        # that are cross-fitted have had their temperature.
        known = zip(said, usable, fitted.values(), strict=True)
        fits = [temper(one, targets, balance, there) if m.held_out_ is None else np.ones(1) for one, there, m in known]
        self.temperatures_C = np.concatenate(fits)
        said_CNK = _warmed(said, self.temperatures_C, usable)
        self.weights_C = weigh(np.array([weighted_nll(one, targets, balance) for one in said_CNK]), len(rows))
        stacked_NK, there_NM = _stack(said_CNK, self.weights_C), np.any(usable, axis=0)
        # The mean of several that are calibrated is less sure than it should be, too.
        several = (self.weights_C > 0).sum() > 1
        self.temperature = temper(stacked_NK, targets, balance, there_NM) if several else np.ones(1)
        stacked_NK = _warmed([stacked_NK], self.temperature, [there_NM])[0]
        self.choice_ = self._report(list(fitted), said_CNK, stacked_NK, targets, balance)
        if self.progress:
            print("held out: " + "; ".join(_sentence(row) for row in self.choice_), flush=True)
        chosen = [name for name, weight in zip(fitted, self.weights_C, strict=True) if weight]
        self.candidates = {name: fitted[name] for name in chosen}
        self.temperatures_C = self.temperatures_C[self.weights_C > 0]
        self.weights_C = self.weights_C[self.weights_C > 0]

    def _fit_candidate(self, name: str, cohort: Cohort, rows: NDArray) -> Model:
        from neuromoe.model.registry import build_model

        model = build_model(name, seed=self.seed, **self.settings.candidate_settings.get(name, {}))
        lent = self.lent.get(name)
        if lent is not None and (lent.settings, lent.seed) == (model.settings, model.seed):
            return lent
        if isinstance(model, LongFit):
            model.progress = self.progress
            model.folder = None if self.folder is None else Path(self.folder) / name
        return model.fit(cohort, rows)

    def _report(
        self, names: Sequence[str], said_CNK: NDArray, stacked_NK: NDArray, targets: NDArray, balance: NDArray
    ) -> list[dict[str, Any]]:
        from sklearn.metrics import balanced_accuracy_score

        rows = [*zip(names, said_CNK, self.weights_C, strict=True), (self.name, stacked_NK, 1.0)]
        return [
            {
                "candidate": name,
                "held_out_nll": round(weighted_nll(log_proba, targets, balance), 4),
                "held_out_balanced_accuracy": round(
                    float(balanced_accuracy_score(targets, log_proba.argmax(axis=1))), 4
                ),
                "weight": round(float(weight), 4),
            }
            for name, log_proba, weight in rows
        ]

    def _predict_log(self, cohort: Cohort, positions: NDArray) -> NDArray:
        said = [np.log(model.predict_proba(cohort, positions)) for model in self.candidates.values()]
        usable = [model._usable(cohort, positions) for model in self.candidates.values()]
        stacked_NK = _stack(_warmed(said, self.temperatures_C, usable), self.weights_C)
        return _warmed([stacked_NK], self.temperature, [np.any(usable, axis=0)])[0]

    def _usable(self, cohort: Cohort, positions: NDArray) -> NDArray:
        return np.any([model._usable(cohort, positions) for model in self.candidates.values()], axis=0)

    def _gate(self, cohort: Cohort, positions: NDArray, usable_NM: NDArray) -> NDArray:
        weights_NM = np.zeros(usable_NM.shape)
        for weight, model in zip(self.weights_C, self.candidates.values(), strict=True):
            weights_NM += weight * model.gate(cohort, positions)
        total_N1 = weights_NM.sum(axis=1, keepdims=True)
        even_NM = usable_NM / usable_NM.sum(axis=1, keepdims=True)
        return np.where(total_N1 > 0, weights_NM / np.maximum(total_N1, np.finfo(float).tiny), even_NM)

    def _state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        arrays: dict[str, NDArray] = {"weights": self.weights_C, "temperatures": self.temperatures_C}
        arrays["temperature"] = self.temperature
        facts: dict[str, Any] = {"choice": self.choice_, "candidates": []}
        for name, model in self.candidates.items():
            own, fitted = model._state()
            arrays |= {f"{name}.{key}": value for key, value in own.items()}
            facts["candidates"].append({"model": name, "settings": asdict(model.settings), "fitted": fitted})
        return arrays, facts

    def _set_state(self, arrays: dict[str, NDArray], facts: dict[str, Any]) -> None:
        from neuromoe.model.registry import build_model

        self.choice_, self.weights_C = facts["choice"], arrays["weights"]
        self.temperatures_C, self.temperature = arrays["temperatures"], arrays["temperature"]
        self.candidates = {}
        for fact in facts["candidates"]:
            name = fact["model"]
            model = build_model(name, seed=self.seed, **fact["settings"])
            for known in ("classes_", "modalities_", "clinical_columns_", "prior_"):
                setattr(model, known, getattr(self, known))
            own = {key.removeprefix(f"{name}."): value for key, value in arrays.items() if key.startswith(f"{name}.")}
            model._set_state(own, fact["fitted"])
            self.candidates[name] = model


def _sentence(row: dict[str, Any]) -> str:
    loss, accuracy = row["held_out_nll"], row["held_out_balanced_accuracy"]
    return f"{row['candidate']} log loss {loss:.3f}, balanced accuracy {accuracy:.3f}, weight {row['weight']:g}"


def weigh(losses_C: NDArray, people: int) -> NDArray:
    """Weigh candidates by how likely each makes what people held out turned out to be.

    Parameters
    ----------
    losses_C : array (C,)
        Mean log loss of each.
    people : int
        How many it is the mean of. With few, candidates are averaged; with many, the best one is left.

    Returns
    -------
    array (C,)
        Weights that sum to 1; a candidate that deserves less than a hundredth, or whose loss is not finite, gets none.
    """
    known_C = np.where(np.isfinite(losses_C), losses_C, np.inf)
    if np.isinf(known_C).all():
        raise InputError(
            expected="a candidate that says something finite of people held out",
            found=f"none of {len(losses_C)}",
            where="neuromoe-auto",
            fix="look for NaN and huge values in the maps; give networks among them a lower learning_rate",
        )
    weights_C = np.exp(-people * (known_C - known_C.min()))
    weights_C /= weights_C.sum()
    weights_C[weights_C < _LEAST_WEIGHT] = 0.0
    return weights_C / weights_C.sum()


def _stack(said_CNK: NDArray, weights_C: NDArray) -> NDArray:
    return np.log(np.maximum(np.tensordot(weights_C, np.exp(said_CNK), 1), LEAST))


def _warmed(said: Sequence[NDArray], temperatures: NDArray, usable: Sequence[NDArray]) -> NDArray:
    """Apply a temperature to what each of several models says of people with these modalities."""
    factors = [warmth(temperatures[[place]], there_NM)[:, None] for place, there_NM in enumerate(usable)]
    return np.stack([log_softmax(factor * one) for factor, one in zip(factors, said, strict=True)])
