"""A search for settings by people held out of the training people, with Optuna."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuromoe.cohort.cohort import Cohort
from neuromoe.core.errors import InputError
from neuromoe.model.kernels.linear import balanced_weights, weighted_nll
from neuromoe.model.registry import build_model
from neuromoe.model.shared.base import Model
from neuromoe.model.shared.fit_checks import check_positions
from neuromoe.model.shared.held_out import held_out_log_proba


@dataclass(frozen=True)
class Found:
    """What a search found.

    Parameters
    ----------
    settings : dict
        The best ones, those that were not searched among them.
    loss : float
        Log loss of people held out, with these.
    tried : list of dict
        `settings` that were searched and `loss`, in the order of trial; infinite where training failed.
    """

    settings: dict[str, Any]
    loss: float
    tried: list[dict[str, Any]]


def search_settings(
    name: str,
    cohort: Cohort,
    rows: ArrayLike,
    *,
    settings: Mapping[str, Any] | None = None,
    space: Mapping[str, Any],
    trials: int = 20,
    folds: int = 5,
    seed: int = 0,
    progress: bool = False,
) -> Found:
    """Search settings of a model by the log loss of training people held out.

    Parameters
    ----------
    name : str
        Of the model.
    cohort : Cohort
    rows : array (N,), int
        Positions of the training people; nobody else has a part in it.
    settings : mapping, optional
        Those that are not searched.
    space : mapping
        For each setting to search either a list of values, or `low`, `high` and, for a logarithmic scale, `log: true`.
    trials : int, default=20
        How many are tried; the first has the model's own defaults.
    folds : int, default=5
        Inner parts, for a model that is not cross-fitted by itself.
    seed : int, default=0
        Of the search and of the models.
    progress : bool, default=False
        Print a line per trial.

    Returns
    -------
    Found

    Raises
    ------
    InputError
        A searched setting is unknown, its range is none, Optuna is not installed, or every trial failed.

    References
    ----------
    Akiba T et al. 2019, doi:10.1145/3292500.3330701.
    """
    optuna, settings, rows = _optuna(), dict(settings or {}), check_positions(cohort, rows, "rows")
    defaults = build_model(name, seed=seed, **settings).settings
    _check_counts(trials, folds)
    _check(name, space, defaults)
    tried: list[dict[str, Any]] = []
    failed: list[InputError] = []

    def loss_of(trial: Any) -> float:
        chosen = {
            setting: _suggest(trial, setting, values, getattr(defaults, setting)) for setting, values in space.items()
        }
        try:
            loss = _held_out_loss(build_model(name, seed=seed, **{**settings, **chosen}), cohort, rows, folds)
        # Settings that do not go together, or with which a network's weights run away, are no good ones.
        except InputError as err:
            failed.append(err)
            loss = np.inf
        tried.append({"settings": chosen, "loss": loss})
        if progress:
            words = ", ".join(f"{setting} {value}" for setting, value in chosen.items())
            print(f"search {len(tried)} of {trials}: {words}: held-out log loss {loss:.4f}", flush=True)
        return loss

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
        if all(_holds(values, getattr(defaults, setting)) for setting, values in space.items()):
            study.enqueue_trial({setting: getattr(defaults, setting) for setting in space})
        study.optimize(loss_of, n_trials=trials)
    finally:
        optuna.logging.set_verbosity(before)
    best = min(tried, key=lambda one: one["loss"])
    if best["loss"] == np.inf:
        raise failed[-1]
    return Found({**settings, **best["settings"]}, best["loss"], tried)


def _held_out_loss(model: Model, cohort: Cohort, rows: NDArray, folds: int) -> float:
    """Fit a model; return the log loss of people held out."""
    model.fit(cohort, rows)
    targets = model._targets(cohort, rows)
    log_proba = held_out_log_proba(model, cohort, rows, folds=folds)
    loss = float(weighted_nll(log_proba, targets, balanced_weights(targets, True)))
    if not np.isfinite(loss):
        raise InputError(
            expected="a finite log loss of people held out",
            found=str(loss),
            where=f"the training of {model.name}",
            fix="search lower values of learning_rate",
        )
    return loss


def _optuna() -> Any:
    try:
        import optuna
    except ModuleNotFoundError as err:
        raise InputError(
            expected="the package optuna",
            found="it is not installed",
            where="search",
            fix="pip install optuna, or leave search out",
        ) from err
    return optuna


def _check_counts(trials: int, folds: int) -> None:
    if trials < 1 or folds < 2:
        raise InputError(
            expected="trials from 1 and folds from 2",
            found=f"{trials} and {folds}",
            where="search",
            fix="write, say, trials=20, folds=5",
        )


def _check(name: str, space: Mapping[str, Any], defaults: Any) -> None:
    for setting, values in space.items():
        # An unknown name is answered with the nearest one.
        if not hasattr(defaults, setting):
            unknown: dict[str, Any] = {setting: None}
            build_model(name, **unknown)
        if not _is_range(values, getattr(defaults, setting)) and not (isinstance(values, list) and values):
            raise InputError(
                expected="a list of values, or, of numbers, low below high, and log, for which low is above 0",
                found=repr(values),
                where=f"search of {setting}",
                fix="write, say, {low: 0.0001, high: 0.01, log: true}",
            )


def _is_range(values: Any, default: Any) -> bool:
    if not isinstance(values, Mapping) or not {"low", "high"} <= set(values) <= {"low", "high", "log"}:
        return False
    bounds = values["low"], values["high"]
    if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in (*bounds, default)):
        return False
    return bounds[0] < bounds[1] and (bounds[0] > 0 or not values.get("log", False))


def _suggest(trial: Any, setting: str, values: Any, default: Any) -> Any:
    if isinstance(values, list):
        return trial.suggest_categorical(setting, values)
    low, high, log = values["low"], values["high"], bool(values.get("log", False))
    if isinstance(default, int):
        return trial.suggest_int(setting, low, high, log=log)
    return trial.suggest_float(setting, low, high, log=log)


def _holds(values: Any, default: Any) -> bool:
    return default in values if isinstance(values, list) else values["low"] <= default <= values["high"]
