"""What every model shares: checks, classes, the class prior for those who have nothing, saving.

Axis letters: N people, M modality, K class.
"""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuromoe.cohort.cohort import Cohort
from neuromoe.cohort.grid import Layout
from neuromoe.cohort.inner import split_inner
from neuromoe.core.atomic import write_json
from neuromoe.core.errors import InputError
from neuromoe.core.saving import read_arrays, read_facts, write_arrays
from neuromoe.model.shared.fit_checks import check_labels, check_positions, sorted_classes
from neuromoe.model.shared.settings import check_seed, make_settings

# No class is impossible, however sure a model is: the logarithm of a probability stays finite.
LEAST = 1e-12
_HELD_OUT = ("held_out.rows", "held_out.log_proba")


@dataclass(frozen=True)
class NoSettings:
    """A model without any."""


class Model(ABC):
    """A classifier of cohorts, in scikit-learn's manners.

    Parameters
    ----------
    seed : int, default=0
        Of everything random.
    **settings
        The fields of the model's `Settings`.

    Attributes
    ----------
    classes_ : array (K,)
        The classes of the training people, sorted.
    modalities_ : tuple of str
        The cohort's, `clinical` last.
    clinical_columns_ : tuple of str
        The cohort's; others that a cohort to predict has besides are not looked at.
    held_out_ : tuple of array (n,), array (n, K), or None
        Positions, and log probabilities by parts of the model that did not see them, where it is cross-fitted.

    Raises
    ------
    InputError
        A setting is unknown, of another type or too small or large; the seed is no whole number from 0.
    """

    name: ClassVar[str]
    Settings: ClassVar[type] = NoSettings

    classes_: NDArray
    modalities_: tuple[str, ...]
    clinical_columns_: tuple[str, ...]
    prior_: NDArray
    held_out_: tuple[NDArray, NDArray] | None = None
    # Of the maps that the model reads; None where it reads none.
    layout: Layout | None = None

    def __init__(self, *, seed: int = 0, **settings: Any) -> None:
        self.seed = check_seed(seed)
        self.settings = make_settings(self.Settings, settings, self.name)

    def fit(self, cohort: Cohort, train: ArrayLike, val: ArrayLike | None = None) -> Self:
        """Fit on the people at `train`.

        Parameters
        ----------
        cohort : Cohort
            Labeled people, modalities missing here and there.
        train : array (n,), int
            Positions to fit on.
        val : array (m,), int, optional
            Positions for choosing when to stop or how much to smooth; without, an inner part of `train` is
            used.

        Returns
        -------
        Model
            Itself.

        Raises
        ------
        InputError
            A label is missing, there is a single class, `val` holds a class that `train` lacks, or somebody
            of one family is in each.
        """
        train = check_positions(cohort, train, "train")
        val = None if val is None else check_positions(cohort, val, "val")
        check_labels(cohort, train, val)
        self.classes_ = sorted_classes(cohort.labels[train])
        self.modalities_, self.held_out_ = cohort.modalities, None
        self.clinical_columns_ = tuple(cohort.clinical_types)
        counts_K = np.bincount(self._targets(cohort, train), minlength=len(self.classes_))
        self.prior_ = counts_K / counts_K.sum()
        try:
            self._fit(cohort, train, val)
        except BaseException:
            # Half of a fit is none.
            del self.classes_
            raise
        return self

    def predict_proba(self, cohort: Cohort, positions: ArrayLike) -> NDArray:
        """Predict the probability of each class.

        Parameters
        ----------
        cohort : Cohort
            On the grid that the model was fitted on; modalities may be missing.
        positions : array (n,), int
            Rows of the cohort.

        Returns
        -------
        array (n, K)
            Rows sum to 1. Who has nothing that the model reads gets the class prior of the training people.

        Raises
        ------
        InputError
            A position is none of the cohort's, its grid or clinical columns are others, or a map that is not finite, or
            a training that was not, makes a prediction NaN.
        """
        cohort, positions = self._check_fitted(cohort, positions)
        usable = self._usable(cohort, positions).any(axis=1)
        probabilities = np.tile(self.prior_, (len(positions), 1))
        if usable.any():
            log_proba = self._predict_log(cohort, positions[usable])
            self._check_known(log_proba, cohort.participants[positions[usable]])
            probabilities[usable] = np.maximum(np.exp(log_proba), LEAST)
        return probabilities / probabilities.sum(axis=1, keepdims=True)

    def predict(self, cohort: Cohort, positions: ArrayLike) -> NDArray:
        """Predict the most probable class (n,)."""
        return self.classes_[self.predict_proba(cohort, positions).argmax(axis=1)]

    def gate(self, cohort: Cohort, positions: ArrayLike) -> NDArray:
        """Weigh the modalities of each person.

        Returns
        -------
        array (n, M)
            Weights in the order of `modalities_`; rows sum to 1, and to 0 where the model reads nothing of
            the person.
        """
        cohort, positions = self._check_fitted(cohort, positions)
        usable = self._usable(cohort, positions)
        weights = np.zeros(usable.shape)
        somebody = usable.any(axis=1)
        if somebody.any():
            weights[somebody] = self._gate(cohort, positions[somebody], usable[somebody])
        return weights

    def save(self, folder: Path | str) -> None:
        """Write the fitted model into a folder: `model.safetensors`, and when that is whole `model.json`."""
        self._demand_fit()
        folder, (arrays, facts) = Path(folder), self._state()
        if folder.exists() and not folder.is_dir():
            raise InputError(expected="a folder", found="a file", where=folder, fix="save under another name")
        # The description of an old model must not stand beside the arrays of this one.
        (folder / "model.json").unlink(missing_ok=True)
        known = {} if self.held_out_ is None else dict(zip(_HELD_OUT, self.held_out_, strict=True))
        write_arrays(folder / "model.safetensors", {**arrays, **known, "prior": self.prior_})
        described = {"model": self.name, "seed": self.seed, "settings": asdict(self.settings)}
        fitted = {
            "classes": self.classes_.tolist(),
            "modalities": list(self.modalities_),
            "clinical_columns": list(self.clinical_columns_),
            "fitted": facts,
        }
        write_json(folder / "model.json", {**described, **fitted})

    def restore(self, folder: Path | str) -> Self:
        """Take over what `save` wrote; `neuromoe.model.load` finds the right class first."""
        facts = read_facts(Path(folder) / "model.json")
        arrays, _ = read_arrays(Path(folder) / "model.safetensors")
        try:
            self.classes_, self.modalities_ = np.array(facts["classes"]), tuple(facts["modalities"])
            self.clinical_columns_, self.prior_ = tuple(facts["clinical_columns"]), arrays.pop("prior")
            known = [arrays.pop(name) for name in _HELD_OUT if name in arrays]
            self.held_out_ = (known[0], known[1]) if known else None
            self._set_state(arrays, facts["fitted"])
        except (KeyError, TypeError, RuntimeError) as err:
            raise InputError(
                expected="a model that this version of NeuroMoE saved",
                found=f"no {err} in it" if isinstance(err, KeyError) else str(err),
                where=folder,
                fix="fit the model again",
            ) from err
        return self

    @abstractmethod
    def _fit(self, cohort: Cohort, train: NDArray, val: NDArray | None) -> None: ...

    @abstractmethod
    def _predict_log(self, cohort: Cohort, positions: NDArray) -> NDArray:
        """Return log probabilities (n, K) of people of whom something is usable."""

    @abstractmethod
    def _gate(self, cohort: Cohort, positions: NDArray, usable_NM: NDArray) -> NDArray: ...

    @abstractmethod
    def _state(self) -> tuple[dict[str, NDArray], dict[str, Any]]: ...

    @abstractmethod
    def _set_state(self, arrays: dict[str, NDArray], facts: dict[str, Any]) -> None: ...

    def _usable(self, cohort: Cohort, positions: NDArray) -> NDArray:
        """Tell which modalities the model can read of each person (n, M)."""
        return cohort.present(positions, self.modalities_)

    def _of_all_classes(self, cohort: Cohort, rows: NDArray) -> NDArray:
        """Tell which modalities people of every class have (M,): an expert that lacks a class is sure against it."""
        targets, present_NM = self._targets(cohort, rows), cohort.present(rows, self.modalities_)
        return np.array([len(np.unique(targets[there])) == len(self.classes_) for there in present_NM.T], bool)

    def _targets(self, cohort: Cohort, positions: NDArray) -> NDArray:
        place = {label: column for column, label in enumerate(self.classes_.tolist())}
        return np.array([place[label] for label in cohort.labels[positions]], np.int64)

    def _class_weights(self, targets: NDArray, weighted: bool) -> NDArray:
        """Weigh classes against their frequency, so that the weights average 1 over the people."""
        counts_K = np.bincount(targets, minlength=len(self.classes_))
        weights_K = len(targets) / (np.maximum(counts_K, 1) * max((counts_K > 0).sum(), 1))
        return weights_K if weighted else np.ones(len(counts_K))

    def _with_inner(self, cohort: Cohort, train: NDArray, val: NDArray | None, share: float) -> tuple[NDArray, NDArray]:
        if val is not None:
            return train, val
        kept, aside = split_inner(cohort.groups[train], self._targets(cohort, train), share, self.seed)
        return train[kept], train[aside]

    def _check_fitted(self, cohort: Cohort, positions: ArrayLike) -> tuple[Cohort, NDArray]:
        """Return the cohort, of the clinical columns those that the model knows, and the rows."""
        self._demand_fit()
        if self.layout is not None:
            self.layout.check(cohort)
        if cohort.clinical is not None and not set(cohort.clinical) <= set(self.clinical_columns_):
            known = [name for name in self.clinical_columns_ if name in cohort.clinical]
            cohort = replace(cohort, clinical=cohort.clinical[known])
        return cohort, check_positions(cohort, positions, "positions")

    def _check_known(self, log_proba_NK: NDArray, participants: NDArray) -> None:
        unknown = np.isnan(log_proba_NK).any(axis=1)
        if unknown.any():
            raise InputError(
                expected="maps and weights of which a prediction can be made",
                found=f"NaN for {unknown.sum()} of {len(unknown)}: {', '.join(participants[unknown][:5])}",
                where=f"the predictions of {self.name}",
                fix="look for NaN and huge values in their maps, or, where it is everybody, in those of the training "
                "people; or train with a lower learning_rate",
            )

    def _demand_fit(self) -> None:
        if not hasattr(self, "classes_"):
            raise RuntimeError(f"{self.name} is not fitted: call fit, or load it from a folder")


class LongFit(Model):
    """A model whose fit takes long enough to be watched, and to be gone on with after it was killed.

    Attributes
    ----------
    folder : path or None
        Where a fit keeps its logs and, until `forget_checkpoints`, the checkpoints that the same fit goes on from.
    progress : bool
        Show how training goes.
    """

    folder: Path | str | None = None
    progress: bool = False

    def forget_checkpoints(self) -> None:
        """Remove the checkpoints of a finished fit; its logs stay."""
        for path in () if self.folder is None else Path(self.folder).rglob("*.ckpt"):
            path.unlink()
