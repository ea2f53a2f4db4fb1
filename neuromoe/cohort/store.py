"""The door to the folder that the step `tensors store` writes."""

from pathlib import Path
from typing import Any

import numpy as np

from neuromoe.core.errors import InputError
from neuromoe.core.saving import read_facts


def read_store(store: Path | str) -> dict[str, Any]:
    """Read a store's index and map its arrays.

    Parameters
    ----------
    store : path
        The folder, or its index.tsv.

    Returns
    -------
    dict
        `index` (DataFrame) and the imaging fields of `Cohort`.

    Raises
    ------
    InputError
        The folder is no store, or its parts do not agree.
    """
    folder = Path(store)
    folder = folder.parent if folder.name == "index.tsv" else folder
    facts = read_facts(folder / "store.json")
    try:
        parts = _read(folder, facts)
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise InputError(
            expected="a store, whole: store.json, index.tsv, tokens.npy, and two arrays for each modality",
            found=f"no {err}" if isinstance(err, KeyError) else str(err),
            where=folder,
            fix="run the step `tensors store` again",
        ) from err
    _check(parts, folder)
    return parts


def _read(folder: Path, facts: dict[str, Any]) -> dict[str, Any]:
    import pandas as pd

    text = {"participant_id": str, "session_id": str}
    index = pd.read_csv(folder / "index.tsv", sep="\t", keep_default_na=False, dtype=text)
    names = list(facts["modalities"])
    return {
        "index": index,
        "tokens": {name: _map(folder / f"{name}.npy") for name in names},
        "rows": {name: index[name].to_numpy(np.int64) for name in names},
        "quality": {name: np.load(folder / f"quality_{name}.npy", allow_pickle=False) for name in names},
        "quality_names": {name: facts["modalities"][name]["quality"] for name in names},
        "channels": {name: facts["modalities"][name]["channels"] for name in names},
        "places": np.load(folder / "tokens.npy", allow_pickle=False).astype(np.int64),
        "grid": tuple(facts["patch_grid"]),
        "patch": facts["patch"],
    }


def _map(path: Path) -> np.ndarray:
    # An empty file cannot be mapped: a modality that nobody has.
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError:
        return np.load(path, allow_pickle=False)


def _check(parts: dict[str, Any], folder: Path) -> None:
    for name, tokens in parts["tokens"].items():
        rows, count = parts["rows"][name], len(parts["quality"][name])
        if count != len(parts["index"]):
            raise InputError(
                expected=f"{len(parts['index'])} rows, as in index.tsv",
                found=f"{count}",
                where=folder / f"quality_{name}.npy",
                fix="run the step `tensors store` again",
            )
        if len(tokens) != rows.max(initial=-1) + 1 or tokens.shape[1] != len(parts["places"]):
            raise InputError(
                expected=f"{rows.max(initial=-1) + 1} people of {len(parts['places'])} tokens",
                found=f"an array {tokens.shape}",
                where=folder / f"{name}.npy",
                fix="run the step `tensors store` again",
            )
