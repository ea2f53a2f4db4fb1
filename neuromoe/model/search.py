"""A search for settings by people held out of the training people, with Optuna."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from neuromoe.core.errors import InputError
from neuromoe.model._held_out import held_out_log_proba
from neuromoe.model._linear import balanced_weights, weighted_nll
from neuromoe.model.cohort import Cohort
from neuromoe.model.registry import build_model


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
        `settings` that were searched and `loss`, in the order of trial.
    """

    settings: dict[str, Any]
    loss: float
    tried: list[dict[str, Any]]


def search_settings(
    name: str,
    cohort: Cohort,
    rows: NDArray,
    *,
    settings: Mapping[str, Any],
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
    settings : mapping
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
        A searched setting is unknown, its range is none, or Optuna is not installed.

    References
    ----------
    Akiba T et al. 2019, doi:10.1145/3292500.3330701.
    """
    optuna = _optuna()
    defaults = build_model(name, seed=seed, **settings).settings
    _check(name, space, defaults)
    tried: list[dict[str, Any]] = []

    def loss_of(trial: Any) -> float:
        chosen = {
            setting: _suggest(trial, setting, values, getattr(defaults, setting)) for setting, values in space.items()
        }
        model = build_model(name, seed=seed, **{**settings, **chosen}).fit(cohort, rows)
        targets = model._targets(cohort, rows)
        log_proba = held_out_log_proba(model, cohort, rows, folds=folds)
        loss = weighted_nll(log_proba, targets, balanced_weights(targets, True))
        tried.append({"settings": chosen, "loss": loss})
        if progress:
            words = ", ".join(f"{setting} {value:g}" for setting, value in chosen.items() if not isinstance(value, str))
            print(f"search {len(tried)} of {trials}: {words or chosen}: held-out log loss {loss:.4f}", flush=True)
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
    return Found({**settings, **best["settings"]}, best["loss"], tried)


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


def _check(name: str, space: Mapping[str, Any], defaults: Any) -> None:
    for setting, values in space.items():
        # An unknown name is answered with the nearest one.
        if not hasattr(defaults, setting):
            unknown: dict[str, Any] = {setting: None}
            build_model(name, **unknown)
        ranged = isinstance(values, Mapping) and {"low", "high"} <= set(values) <= {"low", "high", "log"}
        if not (ranged and values["low"] < values["high"]) and not (isinstance(values, list) and values):
            raise InputError(
                expected="a list of values, or low below high and log",
                found=repr(values),
                where=f"search of {setting}",
                fix="write, say, {low: 0.0001, high: 0.01, log: true}",
            )


def _suggest(trial: Any, setting: str, values: Any, default: Any) -> Any:
    if isinstance(values, list):
        return trial.suggest_categorical(setting, values)
    low, high, log = values["low"], values["high"], bool(values.get("log", False))
    if isinstance(default, int):
        return trial.suggest_int(setting, low, high, log=log)
    return trial.suggest_float(setting, low, high, log=log)


def _holds(values: Any, default: Any) -> bool:
    return default in values if isinstance(values, list) else values["low"] <= default <= values["high"]
