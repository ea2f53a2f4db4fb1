"""List the images, sessions and clinical rows of a dataset."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from neuromoe.core.atomic import write_if_changed
from neuromoe.core.errors import InputError
from neuromoe.core.tables import MISSING, read_table, write_table

MANIFEST = (
    "participant_id", "session_id", "modality", "suffix", "task", "run", "dir", "acq", "path", "used", "reason",
    "repetition_time_s", "shape", "voxel_mm", "volumes", "mem_mb", "sidecars", "bval", "bvec", "intended_for",
)  # fmt: skip
SESSIONS = ("participant_id", "session_id", "anat", "dwi", "func")
ISSUES = ("severity", "code", "message", "file", "fix")


def index(
    *,
    bids_dir: Path,
    manifest: Path,
    sessions: Path,
    issues: Path,
    clinical: Path,
    derivatives: Path | None = None,
    planned: Path | None = None,
    participants: list[str] | None = None,
    only_sessions: list[str] | None = None,
    exclude: list[str] | None = None,
    filters: dict[str, Any] | None = None,
    strict: bool = False,
    task: str | None = None,
    run: str = "first",
    label: dict[str, Any] | None = None,
    tables: list[str] | None = None,
    columns: dict[str, Any] | None = None,
    serum: list[str] | None = None,
    site_column: str | None = None,
    group_column: str | None = None,
    shell_tolerance: float = 0.05,
    unused_fieldmaps: dict[str, Any] | None = None,
    single_band: str = "auto",
) -> None:
    """Write the manifest of a BIDS dataset, its sessions, its issues and its clinical table.

    Parameters
    ----------
    bids_dir : path
        The dataset.
    manifest, sessions, issues, clinical : path
        The tables to write; a JSON file beside `clinical` types its columns. A table that would not change is
        not touched.
    derivatives : path, optional
        The folder to describe as a dataset made from this one.
    planned : path, optional
        A table of images that are still to be made, taken in place of what is in the folder.
    participants, only_sessions : list of str, optional
        Labels to keep, with or without `sub-` and `ses-`; all by default.
    exclude : list of str, optional
        Participants, sessions (`sub-X_ses-Y`) or beginnings of file names to leave out.
    filters : dict, optional
        For each modality the entities that an image must have, as in `{"func": {"task": "rest"}}`.
    strict : bool, default=False
        Stop on an image with an error, instead of leaving it out by name.
    task : str, optional
        The BOLD task; by default rest where there is one, else the longest run of any task.
    run : str, default="first"
        Which run of the task: `first`, `longest` or `all`.
    label : dict, optional
        `column` of the class, and `classes` to keep (all by default).
    tables : list of str, optional
        Phenotype tables beside participants.tsv, as patterns relative to the dataset.
    columns : dict, optional
        Clinical features: the type of each column.
    serum : list of str, optional
        Those of `columns` that are serum markers.
    site_column, group_column : str, optional
        Columns of the site, and of the family or other unit that must not be split.
    shell_tolerance : float, default=0.05
        Diffusion volumes of b-values within this share of a shell's median belong to it.
    unused_fieldmaps : dict, optional
        Why the fieldmaps of a modality are not used, as in `{"func": "FSL's topup is not installed"}`.
    single_band : str, default="auto"
        Whether the single-band references of BOLD runs are used: `auto` or `off`.

    Raises
    ------
    InputError
        No image was found, or `strict` is set and an image has an error.
    """
    from neuromoe.bids._choose import Row, by_filters, one_per_session, with_tensor
    from neuromoe.bids._derivatives import describe_derivatives
    from neuromoe.bids._fieldmaps import find_fieldmaps
    from neuromoe.bids._people import IDENTITY, People, check_people, clinical_rows, column_types
    from neuromoe.bids._references import find_references

    label = label or {"column": "group"}
    columns = columns or {}
    rows = [Row(image) for image in (_from_plan(planned) if planned else _from_folder(bids_dir))]
    rows = by_filters(
        rows, participants=participants, sessions=only_sessions, exclude=exclude or [], filters=filters or {}
    )
    rows, problems = _checked(rows, bids_dir, planned is not None)
    rows, passed_over = one_per_session(rows, task=task, run=run)
    rows, too_few = with_tensor(rows, _diffusion_tables(bids_dir, rows), shell_tolerance) if not planned else (rows, [])
    fieldmaps, notes = find_fieldmaps(bids_dir, rows, unused_fieldmaps or {}) if not planned else ([], [])
    references, noted = find_references(bids_dir, rows, single_band) if not planned else ([], [])
    keys = sorted({(row.image.participant_id, row.image.session_id) for row in rows if row.used})
    people = People(bids_dir, tables or [])
    problems += passed_over + too_few + notes + noted
    problems += check_people(people, keys, label["column"], columns)
    _stop_if_useless(bids_dir, rows, keys, problems if strict else [])
    features = clinical_rows(
        people, keys, label=label, columns=columns, site_column=site_column, group_column=group_column
    )
    if derivatives:
        describe_derivatives(derivatives, bids_dir)
    listed = [_manifest_row(row) for row in rows]
    listed += [_manifest_row(one.row) | {"intended_for": one.target} for one in references]
    listed += [_manifest_row(one.row) | {"intended_for": " ".join(one.targets)} for one in fieldmaps]
    write_table(manifest, listed, MANIFEST)
    write_table(sessions, _session_rows(rows, keys), SESSIONS)
    write_table(issues, [vars(problem) for problem in problems], ISSUES)
    write_table(clinical, features, (*IDENTITY, *columns))
    types = column_types(columns, serum or [], people.levels)
    write_if_changed(clinical.with_suffix(".json"), json.dumps(types, indent=1) + "\n")


def _from_folder(bids_dir: Path) -> list[Any]:
    from neuromoe.bids._scan import scan

    if not bids_dir.is_dir():
        raise InputError(
            expected="a BIDS dataset",
            found="no such folder",
            where=bids_dir,
            fix="set bids_dir to the dataset",
        )
    return scan(bids_dir)


def _from_plan(planned: Path) -> list[Any]:
    from neuromoe.bids._scan import Found, parse_name

    return [
        Found(
            path=row["path"],
            name=parse_name(Path(row["path"]).name),
            modality=row["modality"],
            sidecars=tuple(row["sidecars"].split()),
            bval=None if row["bval"] == MISSING else row["bval"],
            bvec=None if row["bvec"] == MISSING else row["bvec"],
            header={
                "shape": tuple(map(int, row["shape"].split("x"))),
                "voxel_mm": tuple(map(float, row["voxel_mm"].split("x"))),
                "volumes": int(row["volumes"]),
                "repetition_time_s": None if row["repetition_time_s"] == MISSING else float(row["repetition_time_s"]),
            },
        )
        for row in read_table(planned)
    ]


def _checked(rows: Sequence[Any], bids_dir: Path, exist_later: bool) -> tuple[list[Any], list[Any]]:
    """Read each used image's header and metadata; leave an image with an error out, by name."""
    from neuromoe.bids import _checks

    checked, problems = [], []
    for row in rows:
        if row.used and not exist_later:
            row, found = _read(row, bids_dir, _checks)
            problems += found
            if any(issue.severity == "error" for issue in found):
                row = row.left_out(", ".join(issue.code for issue in found))
        checked.append(row)
    return checked, problems


def _read(row: Any, bids_dir: Path, checks: Any) -> tuple[Any, list[Any]]:
    image = row.image
    try:
        header = checks.read_header(bids_dir / image.path)
    except (OSError, ValueError, EOFError) as err:
        return row, [checks.error("HEADER_UNREADABLE", str(err), image.path, "copy or convert the image again")]
    metadata, issues = checks.read_metadata(bids_dir, image)
    issues += checks.check(bids_dir, image, header, metadata)
    header["repetition_time_s"] = metadata.get("RepetitionTime") or header["repetition_time_s"]
    return replace(row, image=replace(image, header=header)), issues


def _diffusion_tables(bids_dir: Path, rows: Sequence[Any]) -> dict[str, Any]:
    """Return the phase encoding and the gradients of each used diffusion run, by its path."""
    from neuromoe.bids._checks import read_metadata, read_table_of

    images = [row.image for row in rows if row.used and row.image.modality == "dwi"]
    phase = "PhaseEncodingDirection"
    return {
        image.path: (str(read_metadata(bids_dir, image)[0].get(phase, "")), read_table_of(bids_dir, image))
        for image in images
    }


def _stop_if_useless(bids_dir: Path, rows: Sequence[Any], keys: Sequence[Any], problems: Sequence[Any]) -> None:
    errors = [f"\n  {issue.file}: {issue.code}: {issue.message}" for issue in problems if issue.severity == "error"]
    if errors:
        raise InputError(
            expected="no image with an error, as bids.index.strict is set",
            found=f"{len(errors)}:{''.join(errors)}\n",
            where=bids_dir,
            fix="correct or exclude them, or set strict to false",
        )
    if not keys:
        raise InputError(
            expected="at least one T1w, dwi or bold image that can be used",
            found=f"{len(rows)} images, none of them usable",
            where=bids_dir,
            fix="check bids_dir and the filters of bids.index",
        )


def _manifest_row(row: Any) -> dict[str, object]:
    image, header, entities = row.image, row.image.header, row.image.name.entities
    return {
        "participant_id": image.participant_id,
        "session_id": image.session_id,
        "modality": image.modality,
        "suffix": image.name.suffix,
        **{entity: entities.get(entity) for entity in ("task", "run", "dir", "acq")},
        "path": image.path,
        "used": row.used,
        "reason": row.reason,
        "repetition_time_s": header.get("repetition_time_s") if image.modality == "func" else None,
        "shape": "x".join(map(str, header.get("shape", ()))),
        "voxel_mm": "x".join(map(str, header.get("voxel_mm", ()))),
        "volumes": header.get("volumes"),
        "mem_mb": _mem_mb(header.get("shape", ())),
        "sidecars": " ".join(image.sidecars),
        "bval": image.bval,
        "bvec": image.bvec,
    }


def _mem_mb(shape: Sequence[int]) -> int | None:
    """Size of the image as float32, MB."""
    voxels = 1
    for size in shape:
        voxels *= size
    return max(1, round(voxels * 4 / 1e6)) if shape else None


def _session_rows(rows: Sequence[Any], keys: Sequence[tuple[str, str]]) -> list[dict[str, object]]:
    present = {(r.image.participant_id, r.image.session_id, r.image.modality) for r in rows if r.used}
    return [
        {
            "participant_id": participant,
            "session_id": session,
            **{modality: (participant, session, modality) in present for modality in SESSIONS[2:]},
        }
        for participant, session in keys
    ]
