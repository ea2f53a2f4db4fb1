"""Single-band references (SBRef) beside the runs that are used."""

from collections.abc import Sequence
from pathlib import Path

from neuromoe.bids._checks import Issue, note
from neuromoe.bids._choose import Row
from neuromoe.bids._scan import Found, scan_folder

REASON = "single-band references are not read: the mean of the aligned volumes is the reference"


def find_references(bids_dir: Path, rows: Sequence[Row]) -> tuple[list[Row], list[Issue]]:
    """List the single-band references of the BOLD and dwi runs that are used.

    Parameters
    ----------
    bids_dir : path
        The dataset.
    rows : sequence of Row
        Its T1w, dwi and bold images.

    Returns
    -------
    references : list of Row
        Not used, and why; in the order of their names.
    issues : list of Issue
        One note for all of them.
    """
    runs = [row.image for row in rows if row.used and row.image.modality in ("dwi", "func")]
    folders = {(str(Path(run.path).parent), run.modality) for run in runs}
    wanted = {(str(Path(run.path).parent), _scan_of(run)) for run in runs}
    found = [
        Row(image).left_out(REASON)
        for folder, modality in sorted(folders)
        for image in scan_folder(bids_dir, bids_dir / folder, modality, ("sbref",))
        if (folder, _scan_of(image)) in wanted
    ]
    return found, [_note(found)] if found else []


def _scan_of(image: Found) -> frozenset[tuple[str, str]]:
    """Return what a run and its reference have in common: a reference may come in parts where the run does not."""
    return frozenset(pair for pair in image.name.entities.items() if pair[0] != "part")


def _note(found: Sequence[Row]) -> Issue:
    several = "1 image is" if len(found) == 1 else f"{len(found)} images are"
    return note("SBREF_UNUSED", f"{several} not used: {REASON}", found[0].image.path, "nothing to do")
