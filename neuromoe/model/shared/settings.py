"""Settings of models, checked."""

import difflib
import math
from dataclasses import MISSING, fields
from numbers import Integral
from typing import Any

from neuromoe.core.errors import InputError

# A setting means the same in every model that has it. Those of which only some values go together check it themselves.
_LEAST = {
    **dict.fromkeys(("epochs", "batch_size", "devices", "nodes", "folds", "rank"), 1),
    **dict.fromkeys(("heads", "widening", "clinical_width", "gate_width"), 1),
    **dict.fromkeys(("patience", "workers", "layers", "learning_rate", "weight_decay", "gradient_clip"), 0),
    **dict.fromkeys(("balance", "layer_start"), 0),
}
_SHARES = ("dropout", "clinical_dropout", "gate_dropout", "validation_share")
_ABOVE_0 = ("bias_prior", "slope_prior")
_CHOICES = {
    "device": ("auto", "cpu", "cuda", "mps"),
    # Whole half precision trains badly, and Lightning casts no batches of ours to double.
    "precision": ("32-true", "bf16-mixed", "16-mixed"),
}
# What the weights of experts hang on: nothing, a bias of each, besides it quality numbers, clinical features, or both.
GATES = ("uniform", "bias", "quality", "clinical", "both")
LOGGERS = ("csv", "tensorboard", "wandb", "mlflow")


def make_settings(kind: type, settings: dict[str, Any], model: str) -> Any:
    """Make settings of a kind, or raise InputError where a name is unknown or a value of another type or size."""
    known = {field.name: field for field in fields(kind)}
    for name, value in settings.items():
        near = difflib.get_close_matches(name, known, 1)
        if name not in known:
            raise InputError(
                expected=f"one of {', '.join(known) or 'no settings'}",
                found=name,
                where=f"the settings of {model}",
                fix=f"write {near[0]}" if near else "leave it out",
            )
        field = known[name]
        default = field.default if field.default_factory is MISSING else field.default_factory()
        right = isinstance(value, type(default)) and isinstance(value, bool) == isinstance(default, bool)
        if not right and not (isinstance(default, float) and type(value) is int):
            raise InputError(
                expected=f"{type(default).__name__}, as {default!r}",
                found=repr(value),
                where=f"the setting {name} of {model}",
                fix="correct its value",
            )
        _check_size(name, value, model)
    return kind(**settings)


def _check_size(name: str, value: Any, model: str) -> None:
    if name in _SHARES:
        right, expected = 0 <= value < 1, "a share from 0, below 1"
    elif name in _ABOVE_0:
        right, expected = 0 < value < math.inf, "a number above 0"
    elif name in _LEAST:
        right, expected = _LEAST[name] <= value < math.inf, f"a number from {_LEAST[name]}"
    elif name in _CHOICES:
        right, expected = value in _CHOICES[name], f"a {name} of {', '.join(_CHOICES[name])}"
    elif name == "loggers":
        chosen = {part.strip() for part in value.split(",") if part.strip()}
        right, expected = chosen <= set(LOGGERS), f"a list of {', '.join(LOGGERS)} with commas, or nothing"
    else:
        return
    if not right:
        raise InputError(
            expected=expected, found=repr(value), where=f"the setting {name} of {model}", fix="correct its value"
        )


def check_seed(seed: Any) -> int:
    """Return a seed as numpy and torch take it, or raise InputError."""
    if not isinstance(seed, Integral) or not 0 <= int(seed) < 2**32:
        raise InputError(
            expected="a whole number from 0, below 2 to the power of 32",
            found=repr(seed),
            where="the seed of a model",
            fix="write seed=0",
        )
    return int(seed)
