"""Models by name."""

import difflib
from importlib import import_module
from pathlib import Path
from typing import Any

from neuromoe.core.errors import InputError
from neuromoe.core.saving import read_facts
from neuromoe.model.shared.base import Model

# Imported when asked for, so that a baseline does not load torch.
_WHERE = {
    "clinical-logistic": ("neuromoe.model.baselines", "ClinicalLogistic"),
    "early-fusion": ("neuromoe.model.early_fusion", "EarlyFusion"),
    "kernel-moe": ("neuromoe.model.kernel_moe", "KernelMoE"),
    "late-fusion": ("neuromoe.model.late_fusion", "LateFusion"),
    "majority": ("neuromoe.model.baselines", "Majority"),
    "neuromoe": ("neuromoe.model.neuromoe", "NeuroMoE"),
    "neuromoe-auto": ("neuromoe.model.auto", "NeuroMoEAuto"),
    "neuromoe-paper": ("neuromoe.model.neuromoe_paper", "NeuroMoEPaper"),
}


def available() -> list[str]:
    """Name all models.

    Examples
    --------
    >>> "neuromoe-paper" in available()
    True
    """
    return sorted(_WHERE)


def build_model(name: str, *, seed: int = 0, **settings: Any) -> Model:
    """Make a model that is not fitted yet.

    Parameters
    ----------
    name : str
        One of `available()`.
    seed : int, default=0
        Of everything random in it.
    **settings
        The model's own; see the `Settings` of its class.

    Raises
    ------
    InputError
        The name or a setting is unknown.
    """
    if not isinstance(name, str) or name not in _WHERE:
        near = difflib.get_close_matches(str(name), _WHERE, 1)
        raise InputError(
            expected=f"one of {', '.join(available())}",
            found=repr(name),
            where="the name of a model",
            fix=f"write {near[0]}" if near else "choose one of them",
        )
    module, kind = _WHERE[name]
    return getattr(import_module(module), kind)(seed=seed, **settings)


def load(folder: Path | str) -> Model:
    """Load a model that `save` wrote; it predicts what it predicted.

    Raises
    ------
    InputError
        The folder holds no model.
    """
    facts = read_facts(Path(folder) / "model.json")
    if not {"model", "seed", "settings"} <= set(facts):
        raise InputError(
            expected="the description of a model", found=str(list(facts)), where=folder, fix="fit the model again"
        )
    return build_model(facts["model"], seed=facts["seed"], **facts["settings"]).restore(folder)
