"""Single-band references (SBRef) beside the runs that are used."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from neuromoe.bids._checks import Issue, note, read_header
from neuromoe.bids._choose import Row
from neuromoe.bids._scan import Found, scan_folder

OF_DIFFUSION = "single-band references of diffusion are not read: the first b=0 volume is the reference"
OFF = "func.correct.single_band is off: the mean of the aligned volumes is the reference"


@dataclass(frozen=True)
class Reference:
    """A single-band reference and the run that it is for."""

    row: Row
    target: str


def find_references(bids_dir: Path, rows: Sequence[Row], single_band: str) -> tuple[list[Reference], list[Issue]]:
    """List the single-band references of the BOLD and dwi runs that are used, and decide about each.

    Parameters
    ----------
    bids_dir : path
        The dataset.
    rows : sequence of Row
        Its T1w, dwi and bold images.
    single_band : str
        `auto` uses one of each BOLD run, `off` none.

    Returns
    -------
    references : list of Reference
        In the order of their names.
    issues : list of Issue
        For each reason why some are not used, one note for all of them.
    """
    runs = [row.image for row in rows if row.used and row.image.modality in ("dwi", "func")]
    wanted = {(str(Path(run.path).parent), _scan_of(run)): run.path for run in runs}
    folders = {(str(Path(run.path).parent), run.modality) for run in runs}
    taken: dict[str, str] = {}
    found: list[Reference] = []
    for folder, modality in sorted(folders):
        for image in scan_folder(bids_dir, bids_dir / folder, modality, ("sbref",)):
            target = wanted.get((folder, _scan_of(image)))
            if target is not None:
                found.append(Reference(_judged(bids_dir, image, target, taken, single_band), target))
    return found, list(_notes(found))


def _scan_of(image: Found) -> frozenset[tuple[str, str]]:
    """Return what a run and its reference have in common: a reference may come in parts where the run does not."""
    return frozenset(pair for pair in image.name.entities.items() if pair[0] != "part")


def _judged(bids_dir: Path, image: Found, target: str, taken: dict[str, str], single_band: str) -> Row:
    if image.modality == "dwi":
        return Row(image).left_out(OF_DIFFUSION)
    try:
        image = replace(image, header=read_header(bids_dir / image.path))
    except (OSError, ValueError, EOFError) as err:
        return Row(image).left_out(f"cannot be read: {err}")
    reason = _reason(image, taken.get(target), single_band)
    if not reason:
        taken[target] = image.path
    return Row(image).left_out(reason) if reason else Row(image)


def _reason(image: Found, taken: str | None, single_band: str) -> str:
    if single_band == "off":
        return OFF
    if image.name.entities.get("part", "mag") != "mag":
        return "a single-band reference's phase is not read, its magnitude is"
    if image.header["volumes"] != 1:
        return f"a single-band reference of {image.header['volumes']} volumes"
    return "another single-band reference of the run was chosen" if taken else ""


def _notes(found: Sequence[Reference]) -> Iterator[Issue]:
    reasons: Mapping[str, list[str]] = {one.row.reason: [] for one in found if not one.row.used}
    for one in found:
        if not one.row.used:
            reasons[one.row.reason].append(one.row.image.path)
    for reason, paths in reasons.items():
        several = "1 image is" if len(paths) == 1 else f"{len(paths)} images are"
        yield note("SBREF_UNUSED", f"{several} not used: {reason}", paths[0], "nothing to do")
