"""The door to one session's tensor file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from neuromoe.core.errors import InputError

_TEXTS = ("session", "template")


def read_header(path: Path) -> dict[str, Any]:
    """Read what a tensor file says of itself, without its arrays.

    Raises
    ------
    InputError
        The file is none of `tensors pack`.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
        return {key: text if key in _TEXTS else json.loads(text) for key, text in metadata.items()}
    except (OSError, SafetensorError, json.JSONDecodeError) as err:
        raise InputError(
            expected="a tensor file", found=str(err), where=path, fix="delete it and run `tensors pack` again"
        ) from err


def read_tensors(path: Path, names: Sequence[str]) -> dict[str, NDArray]:
    """Read some of a tensor file's arrays."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return {name: file.get_tensor(name) for name in names}
