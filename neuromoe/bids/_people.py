"""Labels, sites, families and clinical features from participants.tsv and the phenotype tables."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from neuromoe.bids._checks import Issue, warning
from neuromoe.core.tables import MISSING, read_table

Cells = dict[str, str]
IDENTITY = ("participant_id", "session_id", "label", "site", "group")


class People:
    """Every table of a dataset that has a row per participant (and session).

    Parameters
    ----------
    bids_dir : path
        The dataset.
    patterns : sequence of str
        Tables beside participants.tsv, as glob patterns relative to the dataset.

    Attributes
    ----------
    levels : dict of str to list of str
        Values of a column in the order of `Levels` in the data dictionary, the .json beside a table.
    unread : list of path
        Data dictionaries that are no JSON object.
    """

    def __init__(self, bids_dir: Path, patterns: Sequence[str]) -> None:
        self.rows: dict[tuple[str, str], Cells] = {}
        self.levels: dict[str, list[str]] = {}
        self.unread: list[Path] = []
        files = [bids_dir / "participants.tsv", *sorted(bids_dir.glob("sub-*/sub-*_sessions.tsv"))]
        for pattern in patterns:
            files += sorted(bids_dir.glob(pattern))
        for file in dict.fromkeys(path for path in files if path.is_file()):
            self._add(file)

    def _add(self, file: Path) -> None:
        for row in read_table(file):
            participant = row.pop("participant_id", file.name.split("_")[0])
            session = row.pop("session_id", MISSING)
            cells = self.rows.setdefault((participant, session), {})
            cells.update({column: value for column, value in row.items() if value != MISSING or column not in cells})

        dictionary = file.with_suffix(".json")
        if dictionary.is_file():
            self._learn_levels(dictionary)

    def _learn_levels(self, dictionary: Path) -> None:
        try:
            described = json.loads(dictionary.read_text(encoding="utf-8"))
            levels = {name: about["Levels"] for name, about in described.items() if "Levels" in about}
            self.levels |= {name: [str(level) for level in values] for name, values in levels.items()}
        except (ValueError, AttributeError, TypeError):
            self.unread.append(dictionary)

    def columns(self) -> set[str]:
        """Return every column that some table has."""
        return {column for cells in self.rows.values() for column in cells}

    def cell(self, participant: str, session: str, column: str | None) -> str:
        """Look a value up, in the session's own row first, then in the participant's."""
        for key in ((participant, session), (participant, MISSING)):
            value = self.rows.get(key, {}).get(column or "", MISSING)
            if value != MISSING:
                return value
        return MISSING

    def knows(self, participant: str) -> bool:
        """Tell whether any table has a row for the participant."""
        return any(key[0] == participant for key in self.rows)


def clinical_rows(
    people: People,
    sessions: Iterable[tuple[str, str]],
    *,
    label: Mapping[str, object],
    columns: Iterable[str],
    site_column: str | None,
    group_column: str | None,
) -> list[Cells]:
    """Return one row per session: identity, label, site, family and the clinical features."""
    classes = label.get("classes")
    return [
        {
            "participant_id": participant,
            "session_id": session,
            "label": _label(people.cell(participant, session, str(label["column"])), classes),
            "site": people.cell(participant, session, site_column),
            "group": _family(people.cell(participant, session, group_column), participant),
            **{column: people.cell(participant, session, column) for column in columns},
        }
        for participant, session in sessions
    ]


def _label(value: str, classes: object) -> str:
    return value if not isinstance(classes, list) or value in map(str, classes) else MISSING


def _family(value: str, participant: str) -> str:
    return participant if value == MISSING else value


def column_types(
    columns: Mapping[str, Any], serum: Sequence[str], levels: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, Any]]:
    """Type the clinical columns by configuration and data dictionary.

    Parameters
    ----------
    columns : mapping
        Each column's type, or a mapping with `type` and `levels`; `auto` is categorical where the dictionary has
        levels, else numeric.
    serum : sequence of str
        Those that are serum markers.
    levels : mapping
        From data dictionaries: they stand in where the configuration gives none.
    """
    types = {}
    for column, given in columns.items():
        kind = {"type": given} if isinstance(given, str) else given
        known = list(levels.get(column, []))
        name = ("categorical" if known else "numeric") if kind["type"] == "auto" else kind["type"]
        own = kind.get("levels") or ([] if name == "numeric" else known)
        types[column] = {"type": name, "levels": own, "serum": column in serum}
    return types


def check_people(
    people: People, sessions: Iterable[tuple[str, str]], label_column: str, columns: Iterable[str]
) -> list[Issue]:
    """Say which columns and participants the tables lack."""
    table = "participants.tsv"
    known = people.columns()
    issues = [
        warning("TABLE_DICTIONARY", "no JSON object of columns: its Levels are not used", str(path), "repair the file")
        for path in people.unread
    ]
    if label_column not in known:
        message = f"no column {label_column!r}: everybody is preprocessed, nothing is trained"
        issues.append(warning("LABEL_COLUMN", message, table, "set label.column to the column of the diagnosis"))
    for column in columns:
        if column not in known:
            message = f"no column {column!r} in any table: it is missing for everybody"
            issues.append(warning("CLINICAL_COLUMN", message, table, "correct clinical.columns or clinical.tables"))
    for participant in sorted({participant for participant, _ in sessions}):
        if people.rows and not people.knows(participant):
            message = f"{participant} has images but no row"
            issues.append(warning("PARTICIPANT_ROW", message, table, "add the row"))
    return issues
