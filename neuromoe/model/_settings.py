"""Settings of models, checked."""

import difflib
from dataclasses import MISSING, fields
from typing import Any

from neuromoe.core.errors import InputError


def make_settings(kind: type, settings: dict[str, Any], model: str) -> Any:
    """Make settings of a kind, or raise InputError where a name is unknown or a value of another type."""
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
    return kind(**settings)
