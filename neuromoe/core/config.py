"""Check the configuration against its schema, and say what is wrong in the user's words."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from neuromoe.core.errors import InputError


def check_config(config: Mapping[str, Any], schema: Mapping[str, Any], where: str = "configuration") -> None:
    """Check a configuration; all problems are told together.

    Parameters
    ----------
    config : mapping
        What the user and the defaults say.
    schema : mapping
        JSON schema.
    where : str
        Named in the message.

    Raises
    ------
    InputError
        A key is unknown (the nearest right one is named), a value has the wrong type or is out of range.
    """
    from jsonschema import Draft202012Validator

    errors = sorted(Draft202012Validator(schema).iter_errors(config), key=lambda err: list(map(str, err.absolute_path)))
    problems = [line for err in errors for line in _explain(err)]
    if problems:
        raise InputError(
            expected="settings as config/schema.yaml describes them",
            found="\n  " + "\n  ".join(problems) + "\n",
            where=where,
            fix="correct them in your config file",
        )


def _explain(err: Any) -> Iterator[str]:
    place = ".".join(map(str, err.absolute_path))
    if err.validator == "additionalProperties":
        known = list(err.schema.get("properties", {}))
        for key in sorted(set(err.instance) - set(known)):
            nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"known here: {', '.join(sorted(known))}"
            yield f"{_join(place, key)}: unknown key; {hint}"
    else:
        unit = err.schema.get("description", "")
        yield f"{place}: {err.message}" + (f" ({unit})" if unit else "")


def _join(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key


def with_defaults(config: dict[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in the schema's defaults where the configuration is silent.

    Examples
    --------
    >>> with_defaults({}, {"properties": {"seed": {"default": 0}}})
    {'seed': 0}
    """
    for key, rule in schema.get("properties", {}).items():
        if "properties" in rule:
            config[key] = with_defaults(dict(config.get(key) or {}), rule)
        elif "default" in rule:
            config.setdefault(key, rule["default"])
    return config
