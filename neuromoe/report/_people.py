"""Who is in the cohort, with what: counts for tables."""

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from neuromoe.core.tables import MISSING
from neuromoe.report._tensors import MODALITIES, MODALITY_NAMES

Row = Mapping[str, str]
KEYS = ("participant_id", "session_id", "label", "site", "group")


def patterns(sessions: Sequence[Row]) -> list[dict[str, Any]]:
    """Count the sessions that have the same modalities, the commonest first."""
    counts = Counter(tuple(row.get(modality) == "true" for modality in MODALITIES) for row in sessions)
    order = sorted(counts.items(), key=lambda item: (-item[1], [not there for there in item[0]]))
    return [
        {"has": has, "words": pattern_words(has), "count": count, "share": count / len(sessions)}
        for has, count in order
    ]


def pattern_words(has: Sequence[bool]) -> str:
    """Name the modalities of a pattern.

    Examples
    --------
    >>> pattern_words([True, False, True])
    'T1w, BOLD'
    """
    names = [MODALITY_NAMES[modality] for modality, there in zip(MODALITIES, has, strict=True) if there]
    return ", ".join(names) or "nothing"


def cross_table(rows: Sequence[Row], down: str = "label", across: str = "site") -> dict[str, Any]:
    """Count people by two columns.

    Returns
    -------
    dict
        `columns`, the values across; `rows`, a list of (value, counts, total); `totals`.
    """
    people = {row["participant_id"]: row for row in reversed(rows)}.values()
    counts = Counter((_shown(row, down), _shown(row, across)) for row in people)
    columns = sorted({key[1] for key in counts})
    body = []
    for value in sorted({key[0] for key in counts}, key=lambda name: (name == "n/a", name)):
        line = [counts[value, column] for column in columns]
        body.append((value, line, sum(line)))
    totals = [sum(line[i] for _, line, _ in body) for i in range(len(columns))]
    return {"columns": columns, "rows": body, "totals": totals}


def _shown(row: Row, name: str) -> str:
    return row.get(name, MISSING)


def clinical_columns(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Say for each clinical column how many rows have it, and how many distinct values there are."""
    names = [name for name in (rows[0] if rows else {}) if name not in KEYS]
    found = []
    for name in names:
        values = [row[name] for row in rows if row[name] != MISSING]
        found.append(
            {
                "name": name,
                "known": len(values),
                "missing": 1 - len(values) / len(rows),
                "range": _range(values),
            }
        )
    return found


def _range(values: Sequence[str]) -> str:
    try:
        numbers = sorted(float(value) for value in values)
    except ValueError:
        common = Counter(values).most_common(6)
        more = ", ..." if len(set(values)) > len(common) else ""
        return ", ".join(f"{value} ({count})" for value, count in common) + more
    return f"{numbers[0]:g} to {numbers[-1]:g}, median {median(numbers):g}" if numbers else ""
