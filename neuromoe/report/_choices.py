"""What a model that chooses between models chose, fold by fold."""

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
    folds = [] if models is None else sorted((models / experiment).glob("*/model/model.json"))
    choices = [json.loads(path.read_text(encoding="utf-8"))["fitted"].get("choice") for path in folds]
    tables = [choice for choice in choices if choice]
    if not tables:
        return None
    names = [row["candidate"] for row in tables[0]]
    return {"experiment": experiment, "folds": len(tables), "rows": [_mean(tables, name) for name in names]}


def _mean(tables: list[list[dict[str, Any]]], name: str) -> dict[str, Any]:
    rows = [row for table in tables for row in table if row["candidate"] == name]
    keys = ("held_out_nll", "held_out_balanced_accuracy", "weight")
    means = {key: sum(row[key] for row in rows) / len(rows) for key in keys}
    return {"candidate": name, **means, "used": sum(row["weight"] > 0 for row in rows)}
