"""Tensor files read one by one and written into the store's arrays."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neuromoe.cohort.patches import cut_patches, flat_places, patch_grid
from neuromoe.cohort.sessions import table_keys
from neuromoe.core.atomic import replacing, write_json, write_text
from neuromoe.core.errors import InputError
from neuromoe.tensors._header import read_header, read_tensors

_SAME = ("shape", "affine", "voxel_mm", "patch", "template", "channels")


def tensor_path(tensors: Path, key: str) -> Path:
    """Return the file of a session."""
    return tensors / f"{key}.safetensors"


def read_headers(table: pd.DataFrame, tensors: Path) -> list[dict[str, Any]]:
    """Read the header of every session's file.

    Raises
    ------
    InputError
        There are no sessions, or files are missing; all of them are named.
    """
    keys = table_keys(table)
    missing = [key for key in keys if not tensor_path(tensors, key).is_file()]
    if missing or not keys:
        raise InputError(
            expected=f"a tensor file for each of {len(keys)} sessions",
            found=f"none for {len(missing)}: {', '.join(missing[:10])}" if keys else "no session in the table",
            where=tensors,
            fix="run `tensors pack` for them",
        )
    return [read_header(tensor_path(tensors, key)) for key in keys]


def check_alike(headers: list[dict[str, Any]], tensors: Path) -> None:
    """Raise InputError unless all files have the first one's grid, channels and template."""
    first = headers[0]
    for name in _SAME:
        others = [header["session"] for header in headers if header[name] != first[name]]
        if others:
            raise InputError(
                expected=f"the {name} of {first['session']} in all files, {first[name]}",
                found=f"another in {len(others)}: {', '.join(others[:10])}",
                where=tensors,
                fix="delete these files and run `tensors pack` for them again",
            )


def write_store(
    folder: Path,
    table: pd.DataFrame,
    headers: list[dict[str, Any]],
    tensors: Path,
    brain_DHW: NDArray,
    places_T3: NDArray,
    facts: dict[str, Any],
    patch: int,
) -> None:
    """Write the arrays, then the facts, and last the index, which makes the store whole."""
    keys = table_keys(table)
    index = table[["participant_id"]].copy()
    index["session_id"] = table.get("session_id", "n/a")
    grid = patch_grid(brain_DHW.shape, patch)
    about: dict[str, Any] = {}
    for name in facts["present"]:
        there = np.array([header["present"][name] for header in headers])
        index[name] = np.where(there, np.cumsum(there) - 1, -1)
        files = [tensor_path(tensors, key) for key, has in zip(keys, there, strict=True) if has]
        channels = facts["channels"][name]
        _write_tokens(folder / f"{name}.npy", files, name, flat_places(places_T3, grid), len(channels), patch)
        names = sorted({quantity for header in headers for quantity in header["quality"][name]})
        _write_quality(folder / f"quality_{name}.npy", tensors, keys, headers, name, names)
        about[name] = {"channels": channels, "quality": names}
    for name in facts["present"]:
        index[f"{name}_verdict"] = [header["verdict"][name] for header in headers]
        index[f"{name}_reasons"] = ["; ".join(header["reasons"][name]) or "n/a" for header in headers]
    _write_array(folder / "tokens.npy", places_T3.astype(np.int16))
    _write_array(folder / "mask.npy", brain_DHW)
    kept = {key: facts[key] for key in ("affine", "shape", "template", "voxel_mm")}
    write_json(folder / "store.json", {**kept, "modalities": about, "patch": patch, "patch_grid": list(grid)})
    write_text(folder / "index.tsv", index.to_csv(sep="\t", index=False, lineterminator="\n"))


def _write_tokens(path: Path, files: list[Path], name: str, kept_T: NDArray, channels: int, patch: int) -> None:
    """Append session after session behind a header that says how many there will be."""
    shape = (len(files), len(kept_T), channels * patch**3)
    with replacing(path) as temporary, temporary.open("wb") as file:
        header = {"descr": "<f2", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for one in files:
            tokens = cut_patches(read_tensors(one, [name])[name][None], patch)[0, kept_T]
            file.write(np.ascontiguousarray(tokens, "<f2").tobytes())


def _write_quality(
    path: Path, tensors: Path, keys: list[str], headers: list[dict[str, Any]], name: str, names: list[str]
) -> None:
    column = {quantity: place for place, quantity in enumerate(names)}
    values = np.full((len(keys), len(names)), np.nan, np.float32)
    for row, (key, header) in enumerate(zip(keys, headers, strict=True)):
        if header["quality"][name]:
            numbers = read_tensors(tensor_path(tensors, key), [f"quality/{name}"])[f"quality/{name}"]
            values[row, [column[quantity] for quantity in header["quality"][name]]] = numbers
    _write_array(path, values)


def _write_array(path: Path, array: NDArray) -> None:
    with replacing(path) as temporary:
        np.save(temporary, array, allow_pickle=False)
