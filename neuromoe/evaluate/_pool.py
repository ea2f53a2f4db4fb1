"""The folds' predictions gathered into one table, and the table taken apart into arrays."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neuromoe.core.errors import InputError
from neuromoe.evaluate._metrics import Predictions

_KEYS = ["repeat", "participant_id", "session_id"]


def gather(models: Path, experiment: str, folds: list[str] | None = None) -> pd.DataFrame:
    """Read every fold's predictions of an experiment.

    Parameters
    ----------
    models : path
        A folder that holds the experiment's folder, or that itself; tables are those named
        `*predictions.tsv`.
    experiment : str
        Its name.
    folds : list of str, optional
        Folders of the fits to pool, as `repeat-0_fold-1`; default all that are there.

    Raises
    ------
    InputError
        There are none, they do not have the same columns, or somebody was tested twice in a repeat.
    """
    folder = models / experiment if (models / experiment).is_dir() else models
    files = sorted(folder.rglob("*predictions.tsv"))
    if folds is not None:
        files = _of_folds(files, folds, folder)
    tables = [pd.read_csv(path, sep="\t", keep_default_na=False, dtype=_types(path)) for path in files]
    if not tables or any(list(table) != list(tables[0]) for table in tables):
        raise InputError(
            expected="tables *predictions.tsv with the same columns",
            found=f"{len(files)} tables" + ("" if not files else ", with different columns"),
            where=folder,
            fix="run `train fit` for all folds of the experiment",
        )
    pooled = pd.concat(tables).sort_values(["repeat", "fold", "participant_id", "session_id"], ignore_index=True)
    twice = pooled[pooled.duplicated(_KEYS)]
    if len(twice):
        raise InputError(
            expected="everybody tested once per repeat",
            found=f"{len(twice)} rows more, as of {twice['participant_id'].iloc[0]}",
            where=folder,
            fix="delete the folder's predictions of an older split and run `train fit` again",
        )
    return pooled


def _of_folds(files: list[Path], folds: list[str], folder: Path) -> list[Path]:
    """Leave out what an older split left behind, and miss nothing of this one."""
    by_fold = {path.parent.name: path for path in files}
    missing = [name for name in folds if name not in by_fold]
    if missing:
        raise InputError(
            expected=f"predictions of all {len(folds)} fits",
            found=f"none of {', '.join(missing[:10])}",
            where=folder,
            fix="run `train fit` for these folds",
        )
    return [by_fold[name] for name in folds]


def _types(path: Path) -> dict[str, type]:
    names = path.read_text(encoding="utf-8").split("\n", 1)[0].split("\t")
    numbers = {name: float for name in names if name.startswith(("p_", "gate_"))}
    return {**{name: str for name in names}, **numbers, "repeat": int, "fold": int}


class Pooled(NamedTuple):
    """The table as arrays, one entry per repeat in the lists."""

    classes: list[str]
    modalities: list[str]
    repeats: list[Predictions]
    owners: list[NDArray]
    folds: list[NDArray]
    people: int


def arrays_of(table: pd.DataFrame) -> Pooled:
    """Take a pooled table apart.

    Raises
    ------
    InputError
        A label has no column of probabilities.
    """
    names = [str(name) for name in table]
    classes = [name.removeprefix("p_") for name in names if name.startswith("p_")]
    modalities = [name.removeprefix("gate_") for name in names if name.startswith("gate_")]
    strange = sorted(set(table["label"]) - set(classes))
    if strange:
        raise InputError(
            expected=f"labels of {', '.join(classes)}",
            found=", ".join(strange),
            where="the predictions",
            fix="run `train split` and `train fit` again",
        )
    people, owner = np.unique(table["participant_id"].to_numpy(str), return_inverse=True)
    targets = pd.Categorical(table["label"], categories=classes).codes.astype(np.int64)
    p_NK = table[[f"p_{name}" for name in classes]].to_numpy(float)
    p_NK /= p_NK.sum(axis=1, keepdims=True)
    gates_NM = table[[f"gate_{name}" for name in modalities]].to_numpy(float).reshape(len(table), len(modalities))
    rows = [np.flatnonzero(table["repeat"] == repeat) for repeat in sorted(table["repeat"].unique())]
    return Pooled(
        classes,
        modalities,
        [Predictions(p_NK[mine], targets[mine], gates_NM[mine]) for mine in rows],
        [owner[mine] for mine in rows],
        [table["fold"].to_numpy()[mine] for mine in rows],
        len(people),
    )
