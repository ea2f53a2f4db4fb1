"""Which images feed the tensors: the filters of the configuration, and one T1w and one BOLD run per session."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neuromoe.bids._checks import Issue, error, warning
from neuromoe.bids._scan import Found
from neuromoe.imaging.gradients import LEAST_DIRECTIONS, Gradients, concatenate, determines_tensor


@dataclass(frozen=True)
class Row:
    """A row of the manifest in the making."""

    image: Found
    used: bool = True
    reason: str = ""

    def left_out(self, reason: str) -> "Row":
        """Return the row of an image that is not used, and why."""
        return replace(self, used=False, reason=reason)


def by_filters(
    rows: Iterable[Row],
    *,
    participants: Sequence[str] | None,
    sessions: Sequence[str] | None,
    exclude: Sequence[str],
    filters: Mapping[str, Mapping[str, str]],
) -> list[Row]:
    """Leave out what the configuration does not ask for.

    Parameters
    ----------
    rows : iterable of Row
        Every image.
    participants, sessions : sequence of str, optional
        Labels to keep, with or without `sub-` and `ses-`; None keeps all.
    exclude : sequence of str
        Labels of participants, keys `sub-X_ses-Y` of sessions, or beginnings of file names.
    filters : mapping
        For each modality the entities that an image must have.
    """
    return [_filter(row, participants, sessions, exclude, filters) for row in rows]


def _filter(row: Row, participants, sessions, exclude, filters) -> Row:
    image = row.image
    if participants is not None and not _named(image.participant_id, participants, "sub-"):
        return row.left_out("not in bids.index.participants")
    if sessions is not None and not _named(image.session_id, sessions, "ses-"):
        return row.left_out("not in bids.index.sessions")
    filename = image.path.rsplit("/", 1)[-1]
    if any(filename == word or filename.startswith(f"{_with_prefix(word, 'sub-')}_") for word in exclude):
        return row.left_out("in bids.index.exclude")
    wanted = filters.get(image.modality, {})
    if any(image.name.entities.get(entity) != str(value) for entity, value in wanted.items()):
        return row.left_out(f"not bids.index.filters.{image.modality}")
    return row


def _with_prefix(label: str, prefix: str) -> str:
    return label if label.startswith(prefix) else prefix + label


def _named(label: str, wanted: Sequence[str], prefix: str) -> bool:
    return label in {_with_prefix(str(word), prefix) for word in wanted}


def one_per_session(rows: Iterable[Row], *, task: str | None, run: str) -> tuple[list[Row], list[Issue]]:
    """Keep one T1w and one BOLD run of each session; all dwi runs stay, to be merged.

    Parameters
    ----------
    rows : iterable of Row
        With the images' headers.
    task : str or None
        The BOLD task; None takes rest where there is one, else the longest run of any task.
    run : str
        `first`, `longest` or `all` of the runs of that task.
    """
    groups: dict[tuple[str, str, str], list[Row]] = {}
    rows = list(rows)
    for row in rows:
        if row.used and row.image.modality != "dwi":
            groups.setdefault((row.image.participant_id, row.image.session_id, row.image.modality), []).append(row)
    chosen: set[str] = set()
    issues: list[Issue] = []
    for (*_, modality), group in groups.items():
        best, found = ([_best_t1w(group)], None) if modality == "anat" else _best_bold(group, task, run)
        chosen |= {row.image.path for row in best}
        issues += [found] if found else []
    return [_keep(row, chosen) for row in rows], issues


def _keep(row: Row, chosen: set[str]) -> Row:
    passed_over = row.used and row.image.modality != "dwi" and row.image.path not in chosen
    return row.left_out("another image of the session was chosen") if passed_over else row


def with_tensor(
    rows: Sequence[Row], tables: Mapping[str, tuple[str, Gradients]], tolerance: float
) -> tuple[list[Row], list[Issue]]:
    """Leave out the diffusion of a session whose runs have no shell that determines a tensor.

    Parameters
    ----------
    rows : sequence of Row
    tables : mapping of str to (str, Gradients)
        The phase encoding ("" where it is not said) and the gradients of each diffusion run by its path. Runs of one
        phase encoding count together.
    tolerance : float
        b-values within this share of a shell's median belong to it.
    """
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.used and row.image.modality == "dwi":
            groups.setdefault((row.image.participant_id, row.image.session_id), []).append(row)
    useless: set[str] = set()
    issues: list[Issue] = []
    for group in groups.values():
        best = _largest_shell([tables[row.image.path] for row in group], tolerance)
        if not _determines(best):
            useless |= {row.image.path for row in group}
            wanted = f"a tensor needs {LEAST_DIRECTIONS} directions that do not repeat or lie in a plane"
            message = f"the largest shell of the session has {len(best)} volumes; {wanted}"
            fix = "add the session's other diffusion runs, correct the b-values, or exclude the file"
            issues += [error("DWI_DIRECTIONS", message, row.image.path, fix) for row in group]
    return [row.left_out("DWI_DIRECTIONS") if row.image.path in useless else row for row in rows], issues


def _largest_shell(runs: Sequence[tuple[str, Gradients]], tolerance: float) -> NDArray:
    """Return the directions (V, 3) of the shell that determines a tensor, else of the largest one."""
    phases = {phase for phase, _ in runs if phase} or {""}
    joined = [concatenate(table for own, table in runs if own in ("", phase)) for phase in phases]
    shells = [table.directions[shell] for table in joined for shell in table.shells(tolerance)]
    return max(shells, key=lambda shell: (_determines(shell), len(shell)), default=np.zeros((0, 3)))


def _determines(directions: NDArray) -> bool:
    # Vectors that are wrong otherwise are the step's to tell.
    unit = np.abs(np.linalg.norm(directions, axis=1) - 1) < 0.1
    return determines_tensor(directions) if unit.all() else len(directions) >= LEAST_DIRECTIONS


def _best_t1w(rows: Sequence[Row]) -> Row:
    """Take the finest voxels, then the first name."""

    def volume(row: Row) -> float:
        return round(math.prod(row.image.header["voxel_mm"]), 2)  # type: ignore[call-overload]

    return min(rows, key=lambda row: (volume(row), row.image.path))


def _best_bold(rows: Sequence[Row], task: str | None, run: str) -> tuple[list[Row], Issue | None]:
    def duration_s(row: Row) -> float:
        header = row.image.header
        return float(header["volumes"]) * float(header["repetition_time_s"] or 0)  # type: ignore[arg-type]

    wanted = _of_task(rows, task or "rest")
    if not wanted and task is not None:
        found = ", ".join(sorted({row.image.name.entities.get("task", "none") for row in rows}))
        fix = "correct func.select.task"
        return [], warning("TASK_ABSENT", f"no run of task {task}; found {found}", rows[0].image.path, fix)
    issue = None
    if not wanted:
        best = max(sorted(rows, key=lambda row: row.image.path), key=duration_s)
        text = (
            "no resting run; the longest run is used"
            if run != "all"
            else "no resting run; the longest run's task is used"
        )
        issue = warning("TASK_NOT_REST", text, best.image.path, "set func.select.task")
        wanted = _of_task(rows, best.image.name.entities.get("task")) if run == "all" else [best]
    ordered = sorted(wanted, key=lambda row: row.image.path)
    return {"first": ordered[:1], "longest": [max(ordered, key=duration_s)], "all": ordered}[run], issue


def _of_task(rows: Sequence[Row], task: str | None) -> list[Row]:
    return [row for row in rows if row.image.name.entities.get("task") == task]
