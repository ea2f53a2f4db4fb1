"""BIDS tables: tab-separated, `n/a` for a missing cell; without pandas, so that the job graph reads them fast."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from neuromoe.core.atomic import write_if_changed
from neuromoe.core.errors import InputError

MISSING = "n/a"


def read_table(path: Path | str) -> list[dict[str, str]]:
    """Read a table as one dict per row.

    Raises
    ------
    InputError
        A row has another number of cells than the header.
    """
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    header, *body = rows or [[]]
    for number, row in enumerate(body, start=2):
        if row and len(row) != len(header):
            raise InputError(
                expected=f"{len(header)} cells as in the header",
                found=f"{len(row)} in line {number}",
                where=path,
                fix="separate cells by one tab and write n/a into empty ones",
            )
    return [dict(zip(header, row, strict=True)) for row in body if row]


def format_table(rows: Iterable[Mapping[str, object]], columns: Sequence[str]) -> str:
    r"""Write rows as the text of a table.

    Examples
    --------
    >>> format_table([{"a": 1, "b": None}], ["a", "b"])
    'a\tb\n1\tn/a\n'
    """
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, escapechar="\\")
    writer.writerow(columns)
    writer.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    return text.getvalue()


def write_table(path: Path | str, rows: Iterable[Mapping[str, object]], columns: Sequence[str]) -> None:
    """Write a table, unless the file holds it already."""
    write_if_changed(path, format_table(rows, columns))


def _cell(value: object) -> str:
    if value is None or value == "":
        return MISSING
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).replace("\t", " ").replace("\n", " ")
