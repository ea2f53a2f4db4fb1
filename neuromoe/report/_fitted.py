"""What fitted models say of themselves, fold by fold: what was chosen, and signs of a failed training."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Fitted:
    """What the models of an experiment keep beside their arrays.

    Parameters
    ----------
    experiment : str
    folds : dict of str to dict
        By the fold's name.
    """

    experiment: str
    folds: dict[str, dict[str, Any]]


def read_fitted(models: Path | None, experiment: str) -> Fitted:
    """Read the `model.json` of every fold of an experiment under `models`, none where that is None."""
    paths = [] if models is None else sorted((models / experiment).glob("*/model/model.json"))
    told = {path.parts[-3]: json.loads(path.read_text(encoding="utf-8"))["fitted"] for path in paths}
    return Fitted(experiment, told)


def choice_rows(fitted: Fitted) -> dict[str, Any] | None:
    """Average what the folds' models chose, and the figures that they chose by.

    Returns
    -------
    dict or None
        `experiment`, `folds`, and `rows` of candidate, mean held-out log loss and balanced accuracy, mean weight, and
        in how many folds it was used; None where the experiment's models choose nothing.
    """
    tables = [facts["choice"] for facts in fitted.folds.values() if facts.get("choice")]
    if not tables:
        return None
    names = [row["candidate"] for row in tables[0]]
    return {"experiment": fitted.experiment, "folds": len(tables), "rows": [_mean(tables, name) for name in names]}


def belief_rows(fitted: Fitted) -> dict[str, Any] | None:
    """Say which gate the folds' models chose, how far they believed each network, and how much each expert was used.

    Returns
    -------
    dict or None
        `experiment`, `folds`; `gates`: rows of kind, mean of its best loss on people held out, and in how many folds it
        was `chosen`; `experts`: rows of expert, mean share of its network, None where none was told, mean use, and in
        how many folds the network was `believed`. None where the experiment's models have neither.
    """
    gates = [facts["gates"] for facts in fitted.folds.values() if facts.get("gates")]
    told = [facts for facts in fitted.folds.values() if facts.get("use")]
    if not gates and not told:
        return None
    kinds = dict.fromkeys(row["kind"] for tried in gates for row in tried)
    rows = [{"kind": kind, **_of_kind(gates, kind)} for kind in kinds]
    experts = [{"expert": name, **_of_expert(told, name)} for name in (told[0]["use"] if told else ())]
    known = {"gates": sorted(rows, key=lambda row: row["held_out_nll"]), "experts": experts}
    return {"experiment": fitted.experiment, "folds": max(len(gates), len(told)), **known}


def _of_kind(gates: list[list[dict[str, Any]]], kind: str) -> dict[str, Any]:
    best = [min(row["held_out_nll"] for row in tried if row["kind"] == kind) for tried in gates if _has(tried, kind)]
    chosen = sum(tried[0]["kind"] == kind for tried in gates)
    return {"held_out_nll": sum(best) / len(best), "chosen": chosen}


def _has(tried: list[dict[str, Any]], kind: str) -> bool:
    return any(row["kind"] == kind for row in tried)


def _of_expert(told: list[dict[str, Any]], name: str) -> dict[str, Any]:
    shares = [facts["share"][name] for facts in told if name in facts["share"]]
    use = [facts["use"].get(name, 0.0) for facts in told]
    believed = sum(share > 0 for share in shares)
    return {"share": sum(shares) / len(shares) if shares else None, "use": sum(use) / len(told), "believed": believed}


def sign_rows(fitted: Fitted) -> dict[str, Any] | None:
    """List the signs of a failed training that the folds' models found.

    Returns
    -------
    dict or None
        `experiment`, how many folds there are and how many `with` a sign, and `rows` of fold and sentence; None where
        there is no sign.
    """
    folds = fitted.folds
    rows = [{"fold": fold, "sign": sign} for fold, facts in folds.items() for sign in facts.get("diagnosis", [])]
    if not rows:
        return None
    having = len({row["fold"] for row in rows})
    return {"experiment": fitted.experiment, "with": having, "folds": len(folds), "rows": rows}


def _mean(tables: list[list[dict[str, Any]]], name: str) -> dict[str, Any]:
    rows = [row for table in tables for row in table if row["candidate"] == name]
    keys = ("held_out_nll", "held_out_balanced_accuracy", "weight")
    means = {key: sum(row[key] for row in rows) / len(rows) for key in keys}
    return {"candidate": name, **means, "used": sum(row["weight"] > 0 for row in rows)}
