"""Arrays and facts on disk, without pickle and without chance: the same content gives the same bytes."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.atomic import replacing
from neuromoe.core.errors import InputError


def write_arrays(path: Path | str, arrays: Mapping[str, NDArray], metadata: Mapping[str, str] | None = None) -> None:
    """Write named arrays and text metadata as a safetensors file.

    Parameters
    ----------
    path : path
        The file, replaced atomically.
    arrays : mapping of str to array
        What to write.
    metadata : mapping of str to str, optional
        Goes into the header.
    """
    from safetensors.numpy import save

    whole = {name: np.ascontiguousarray(array) for name, array in sorted(arrays.items())}
    content = _sort_header(save(whole, metadata=dict(metadata or {}) or None))
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _sort_header(content: bytes) -> bytes:
    # The library writes metadata in the order of a hash map, which differs from one process to the next.
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + content[8 + size :]


def read_arrays(path: Path | str) -> tuple[dict[str, NDArray], dict[str, str]]:
    """Read all arrays and the metadata of a safetensors file.

    Raises
    ------
    InputError
        The file is missing or no safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (OSError, SafetensorError) as err:
        raise InputError(
            expected="a safetensors file", found=str(err), where=path, fix="run the step that writes it again"
        ) from err


def read_facts(path: Path | str) -> dict[str, Any]:
    """Read a JSON file that the project wrote itself.

    Raises
    ------
    InputError
        The file is missing or no JSON.
    """
    try:
        facts = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(facts, dict):
            raise ValueError(f"a {type(facts).__name__}")
    # Text that is no JSON or no UTF-8 is a ValueError, too.
    except (OSError, ValueError) as err:
        raise InputError(
            expected="a JSON file of named facts", found=str(err), where=path, fix="run the step that writes it again"
        ) from err
    return facts
