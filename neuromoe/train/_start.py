"""Which models start from pretrained encoders."""

from collections.abc import Mapping
from typing import Any


def start_from(folder: str, model: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with which the networks of a model start from pretrained encoders.

    Parameters
    ----------
    folder : str
        Of the encoders.
    model : str
        `neuromoe` and `neuromoe-paper` start from them, and where they are candidates of `neuromoe-auto`.
    settings : mapping
        The model's own. What they say of `pretrained` stays.

    Examples
    --------
    >>> start_from("encoders", "neuromoe", {"epochs": 9})
    {'pretrained': 'encoders', 'epochs': 9}
    >>> start_from("encoders", "neuromoe-auto", {"candidates": "kernel-moe, neuromoe"})["candidate_settings"]
    {'neuromoe': {'pretrained': 'encoders'}}
    >>> start_from("encoders", "neuromoe-auto", {"candidates": "kernel-moe"})
    {'candidates': 'kernel-moe'}
    """
    if model in ("neuromoe", "neuromoe-paper"):
        return {"pretrained": folder, **settings}
    if model != "neuromoe-auto":
        return dict(settings)
    from neuromoe.model.auto import AutoSettings

    candidates = AutoSettings(**settings)
    own = candidates.candidate_settings
    started = {name: start_from(folder, name, own.get(name, {})) for name in candidates.names}
    changed = {name: value for name, value in started.items() if value != own.get(name, {})}
    return {**settings, "candidate_settings": {**own, **changed}} if changed else dict(settings)
