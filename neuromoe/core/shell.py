"""The shell line of a step, from the names that its rule gives to files and settings."""

import json
import shlex
from collections.abc import Iterable, Mapping
from typing import Any


def shell_words(stage: str, step: str, arguments: Mapping[str, Any]) -> str:
    """Write the words after `neuromoe`, quoted.

    Parameters
    ----------
    stage, step : str
        The command.
    arguments : mapping
        Argument name to value. What is None or an empty list is left out, so that the function's default holds; a
        list becomes several words, a mapping one word of JSON.

    Examples
    --------
    >>> shell_words("anat", "extract", {"t1w": "a b.nii", "gm": None, "shrink": [1, 2], "fast": True})
    "anat extract --t1w 'a b.nii' --shrink 1 2 --fast"
    """
    words = [stage, step]
    for name, value in arguments.items():
        words += _option(name.replace("_", "-"), value)
    return shlex.join(words)


def _option(name: str, value: Any) -> Iterable[str]:
    if value is None or value == []:
        return []
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    if isinstance(value, Mapping):
        return [f"--{name}", json.dumps(value, sort_keys=True)]
    if isinstance(value, list | tuple):
        return [f"--{name}", *map(str, value)]
    return [f"--{name}", str(value)]
