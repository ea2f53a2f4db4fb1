"""Every session of the cohort: what it has, its quality beside the others', its row in the table."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from neuromoe.cohort.sessions import session_key
from neuromoe.core.quality import VERDICTS, worst
from neuromoe.core.tables import MISSING
from neuromoe.report._outliers import Flag, flags, numbers_of
from neuromoe.report._page import Figure
from neuromoe.report._strips import strip_figure
from neuromoe.report._tensors import MODALITIES, Packed, read_packed

Row = Mapping[str, str]


@dataclass(frozen=True)
class Sessions:
    """The cohort's sessions.

    Parameters
    ----------
    rows : sequence of mapping
        Of the index's table of sessions.
    clinical : mapping
        Session's key to its row of the clinical table.
    packed : mapping
        Session's key to what its tensor file says, for those that have one.
    """

    rows: Sequence[Row]
    clinical: Mapping[str, Row]
    packed: Mapping[str, Packed]

    @classmethod
    def read(cls, rows: Sequence[Row], people: Sequence[Row], tensors: Path) -> "Sessions":
        """Read the tensor files of the sessions that have one."""
        files = {key_of(row): tensors / f"{key_of(row)}.safetensors" for row in rows}
        packed = {key: read_packed(file) for key, file in files.items() if file.is_file()}
        return cls(rows, {key_of(row): row for row in people}, packed)

    @cached_property
    def sites(self) -> dict[str, str]:
        """Session to site, `n/a` where it is not known."""
        return {key_of(row): self.clinical.get(key_of(row), {}).get("site", MISSING) for row in self.rows}

    @cached_property
    def quality(self) -> dict[str, dict[str, dict[str, float]]]:
        """Session, modality and number's name to value."""
        return {key: file.quality for key, file in self.packed.items()}

    @cached_property
    def odd(self) -> dict[str, list[Flag]]:
        """Session to its numbers that are outliers."""
        return flags(self.quality, self.sites)

    def strips(self) -> dict[str, list[Figure]]:
        """Draw each quality number of each modality."""
        figures: dict[str, list[Figure]] = {}
        links = {key: link(key) for key in self.sites}
        for modality, number in numbers_of(self.quality):
            keys = [key for key in self.quality if number in self.quality[key][modality]]
            values = [self.quality[key][modality][number] for key in keys]
            odd = {key for key in keys for flag in self.odd.get(key, ()) if flag[:2] == (modality, number)}
            figures.setdefault(modality, []).append(strip_figure(number, keys, values, self.sites, odd, links))
        return figures

    def quality_table(self) -> tuple[list[dict[str, object]], list[str]]:
        """Return a row per session with all verdicts and numbers, and the names of the columns."""
        numbers = [f"{modality}.{name}" for modality, name in numbers_of(self.quality)]
        columns = ["participant_id", "session_id", *(f"{name}_verdict" for name in MODALITIES), *numbers]
        return [self._quality_row(row) for row in self.rows], columns

    def _quality_row(self, row: Row) -> dict[str, object]:
        packed = self.packed.get(key_of(row))
        cells: dict[str, object] = {name: row.get(name) for name in ("participant_id", "session_id")}
        if packed is None:
            return cells
        cells |= {f"{name}_verdict": packed.verdicts.get(name) for name in MODALITIES}
        found = ((f"{name}.{key}", value) for name in MODALITIES for key, value in packed.quality[name].items())
        return cells | {name: f"{value:.6g}" for name, value in found if math.isfinite(value)}

    def table(self) -> list[dict[str, Any]]:
        """Return what the table says of each session."""
        return [self._row(key_of(row), row) for row in self.rows]

    def _row(self, key: str, row: Row) -> dict[str, Any]:
        packed = self.packed.get(key)
        verdicts = packed.verdicts if packed else {}
        known = [word for word in verdicts.values() if word in VERDICTS]
        person = self.clinical.get(key, {})
        return {
            "key": key,
            "href": link(key),
            "label": person.get("label", MISSING),
            "site": person.get("site", MISSING),
            "cells": [_cell(row.get(name) == "true", name, packed) for name in MODALITIES],
            "verdict": worst(known) if packed else "not packed",
            "usable": packed is None or bool(packed.modalities),
            "odd": self.odd.get(key, []),
        }


def key_of(row: Row) -> str:
    """Name the session of a row."""
    return session_key(row["participant_id"], row.get("session_id"))


def link(key: str) -> str:
    """Return the link from the cohort's page to a session's."""
    return quote(f"sessions/{key}.html")


def _cell(scanned: bool, modality: str, packed: Packed | None) -> str:
    if not scanned:
        return "absent"
    if packed is None:
        return "not packed"
    return packed.verdicts.get(modality, "missing") if modality in packed.modalities else "left out"
