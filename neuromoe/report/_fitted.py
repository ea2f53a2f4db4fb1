"""What fitted models say of themselves, fold by fold: what was chosen, and signs of a failed training."""

import json
from pathlib import Path
from typing import Any


def choice_rows(models: Path | None, experiment: str) -> dict[str, Any] | None:
    """Average what the folds' models chose, and the figures that they chose by.

    Parameters
    ----------
    models : path or None
        The folder of fitted models.
    experiment : str

    Returns
    -------
    dict or None
        `experiment`, `folds`, and `rows` of candidate, mean held-out log loss and balanced accuracy, mean weight, and
        in how many folds it was used; None where the experiment's models choose nothing.
    """
    tables = [fitted["choice"] for _, fitted in _fitted(models, experiment) if fitted.get("choice")]
    if not tables:
        return None
    names = [row["candidate"] for row in tables[0]]
    return {"experiment": experiment, "folds": len(tables), "rows": [_mean(tables, name) for name in names]}


def sign_rows(models: Path | None, experiment: str) -> dict[str, Any] | None:
    """List the signs of a failed training that the folds' models found.

    Returns
    -------
    dict or None
        `experiment`, how many folds there are and how many `with` a sign, and `rows` of fold and sentence; None where
        there is no sign.
    """
    found = _fitted(models, experiment)
    rows = [{"fold": fold, "sign": sign} for fold, fitted in found for sign in fitted.get("diagnosis", [])]
    if not rows:
        return None
    return {"experiment": experiment, "with": len({row["fold"] for row in rows}), "folds": len(found), "rows": rows}


def _fitted(models: Path | None, experiment: str) -> list[tuple[str, dict[str, Any]]]:
    paths = [] if models is None else sorted((models / experiment).glob("*/model/model.json"))
    return [(path.parts[-3], json.loads(path.read_text(encoding="utf-8"))["fitted"]) for path in paths]


def _mean(tables: list[list[dict[str, Any]]], name: str) -> dict[str, Any]:
    rows = [row for table in tables for row in table if row["candidate"] == name]
    keys = ("held_out_nll", "held_out_balanced_accuracy", "weight")
    means = {key: sum(row[key] for row in rows) / len(rows) for key in keys}
    return {"candidate": name, **means, "used": sum(row["weight"] > 0 for row in rows)}
