"""The clinical table as the split sees it."""

from pathlib import Path

import numpy as np
import pandas as pd

from neuromoe.cohort.tables import read_clinical
from neuromoe.core.errors import InputError
from neuromoe.train._folds import People


def read_people(clinical: Path) -> tuple[People, int]:
    """Read the labeled participants, each once, in the order of their names.

    Returns
    -------
    people : People
    unlabeled : int
        Participants without a label.

    Raises
    ------
    InputError
        The table has no labels, or a participant has several classes or families.
    """
    table, _ = read_clinical(clinical)
    labeled = table[table["label"].notna()] if "label" in table else table.iloc[:0]
    columns = {name: _one_each(labeled, name, clinical) for name in ("label", "group")}
    names = columns["label"].index.to_numpy(str)
    groups = columns["group"].reindex(names)
    # Who changed site is counted at the first one.
    sites = labeled.groupby("participant_id")["site"].first() if "site" in labeled else pd.Series(dtype=str)
    people = People(
        names,
        columns["label"].to_numpy(str),
        np.where(groups.isna(), names, groups).astype(str),
        sites.reindex(names).fillna("").to_numpy(str),
    )
    return people, table["participant_id"].nunique() - len(people)


def _one_each(labeled: pd.DataFrame, column: str, where: Path) -> pd.Series:
    """Return the one value of each participant, sorted by name."""
    if column not in labeled:
        return pd.Series(index=sorted(labeled["participant_id"].unique()), dtype=object)
    by_person = labeled.groupby("participant_id", sort=True)[column]
    several = by_person.nunique()[lambda counts: counts > 1]
    if len(several):
        raise InputError(
            expected=f"one {column} per participant",
            found=f"several for {', '.join(several.index[:5])}",
            where=where,
            fix="label a participant by the final diagnosis, or leave the others' sessions unlabeled",
        )
    return by_person.first()
