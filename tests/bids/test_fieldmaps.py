import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from neuromoe.bids.index import index
from neuromoe.core.tables import read_table

sys.path.insert(0, str(Path(__file__).parent.parent))
from made_bids import add_image, made_dataset  # noqa: E402

BOLD = "func/sub-001_task-rest_bold.nii.gz"
DWI = "dwi/sub-001_dwi.nii.gz"
AP = {"PhaseEncodingDirection": "j-", "TotalReadoutTime": 0.05}
PA = {"PhaseEncodingDirection": "j", "TotalReadoutTime": 0.05}


@pytest.fixture
def bids(tmp_path) -> Path:
    """One person with all modalities; the BOLD run and the diffusion are read out from front to back."""
    folder = made_dataset(tmp_path / "bids", 1, modalities=[("anat",)])
    add_image(folder, "sub-001_task-rest", "func", **AP)
    add_image(folder, "sub-001", "dwi", **AP)
    return folder


def add_fieldmap(bids: Path, name: str, session: str | None = None, **metadata) -> None:
    folder = bids.joinpath("sub-001", *([session] if session else []), "fmap")
    folder.mkdir(parents=True, exist_ok=True)
    stem = "_".join(part for part in ("sub-001", session, name) if part)
    nib.save(nib.Nifti1Image(np.zeros((8, 8, 8), np.int16), np.diag([2.0, 2, 2, 1])), folder / f"{stem}.nii.gz")
    (folder / f"{stem}.json").write_text(json.dumps(metadata))


def fieldmaps(bids: Path, **settings) -> tuple[dict[str, dict[str, str]], list[dict[str, str]]]:
    """Return the manifest's fieldmaps by the end of their names, and the notes."""
    out = bids.parent / "index"
    paths = {name: out / f"{name}.tsv" for name in ("manifest", "sessions", "issues", "clinical")}
    index(bids_dir=bids, **paths, **settings)
    rows = [row for row in read_table(paths["manifest"]) if row["modality"] == "fmap"]
    found = {Path(row["path"]).name.removeprefix("sub-001_").removesuffix(".nii.gz"): row for row in rows}
    return found, [row for row in read_table(paths["issues"]) if row["code"] == "FIELDMAP_UNUSED"]


def used(rows) -> set[str]:
    return {name for name, row in rows.items() if row["used"] == "true"}


@pytest.mark.parametrize("named", [BOLD, [BOLD], f"bids::sub-001/{BOLD}"])
def test_an_opposed_image_is_found_for_the_run_that_it_names(bids, named):
    add_fieldmap(bids, "dir-PA_epi", **PA, IntendedFor=named)
    rows, notes = fieldmaps(bids)
    assert used(rows) == {"dir-PA_epi"}
    assert rows["dir-PA_epi"]["intended_for"] == f"sub-001/{BOLD}"
    assert rows["dir-PA_epi"]["sidecars"].endswith("dir-PA_epi.json")
    assert notes == []


def test_a_field_identifier_names_its_images_too(bids):
    add_image(bids, "sub-001_task-rest", "func", **AP, B0FieldSource=["pepolar0", "other"])
    add_fieldmap(bids, "dir-PA_epi", **PA, B0FieldIdentifier="pepolar0")
    rows, _ = fieldmaps(bids)
    assert rows["dir-PA_epi"]["intended_for"] == f"sub-001/{BOLD}"
    assert used(rows) == {"dir-PA_epi"}


def test_both_of_a_pair_are_used(bids):
    for name, encoding in (("dir-AP_epi", AP), ("dir-PA_epi", PA)):
        add_fieldmap(bids, name, **encoding, IntendedFor=[BOLD, DWI])
    rows, _ = fieldmaps(bids)
    assert used(rows) == {"dir-AP_epi", "dir-PA_epi"}
    assert rows["dir-AP_epi"]["intended_for"].split() == [f"sub-001/{DWI}", f"sub-001/{BOLD}"]


def test_sessions_keep_their_own(tmp_path):
    bids = made_dataset(tmp_path / "bids", 1, ("ses-1", "ses-2"), [("func",)])
    for session in ("ses-1", "ses-2"):
        add_image(bids, f"sub-001_{session}_task-rest", "func", **AP)
    add_fieldmap(bids, "dir-PA_epi", "ses-1", **PA, IntendedFor="ses-1/func/sub-001_ses-1_task-rest_bold.nii.gz")
    add_fieldmap(bids, "dir-PA_epi", "ses-2", **PA, IntendedFor="ses-1/func/sub-001_ses-1_task-rest_bold.nii.gz")
    rows, _ = fieldmaps(bids)
    assert used(rows) == {"ses-1_dir-PA_epi"}
    assert rows["ses-2_dir-PA_epi"]["reason"] == "for no image that is used"


def test_a_phase_difference_comes_with_its_magnitude(bids):
    add_fieldmap(bids, "phasediff", EchoTime1=0.00492, EchoTime2=0.00738, IntendedFor=BOLD)
    rows, notes = fieldmaps(bids)
    assert rows["phasediff"]["reason"] == "no magnitude image beside it"
    assert [note["severity"] for note in notes] == ["note"]
    add_fieldmap(bids, "magnitude1")
    add_fieldmap(bids, "magnitude2")
    assert used(fieldmaps(bids)[0]) == {"phasediff", "magnitude1", "magnitude2"}


def test_two_phases_are_used_together(bids):
    add_fieldmap(bids, "phase1", EchoTime=0.00492, IntendedFor=BOLD)
    add_fieldmap(bids, "magnitude1")
    assert fieldmaps(bids)[0]["phase1"]["reason"] == "the other of phase1 and phase2 is missing"
    add_fieldmap(bids, "phase2", EchoTime=0.00738, IntendedFor=BOLD)
    assert used(fieldmaps(bids)[0]) == {"phase1", "phase2", "magnitude1"}


def test_opposed_images_go_before_a_phase_image(bids):
    add_fieldmap(bids, "dir-PA_epi", **PA, IntendedFor=BOLD)
    add_fieldmap(bids, "phasediff", EchoTime1=0.00492, EchoTime2=0.00738, IntendedFor=BOLD)
    add_fieldmap(bids, "magnitude1")
    rows, notes = fieldmaps(bids)
    assert used(rows) == {"dir-PA_epi"}
    assert rows["phasediff"]["reason"] == "another fieldmap of the image was chosen"
    assert rows["magnitude1"]["reason"] == "its phase image is not used"
    assert notes == []


@pytest.mark.parametrize(
    ("name", "metadata", "reason"),
    [
        ("dir-PA_epi", PA, "names no image: neither IntendedFor nor B0FieldIdentifier"),
        ("dir-PA_epi", PA | {"IntendedFor": "func/sub-001_task-nback_bold.nii.gz"}, "for no image that is used"),
        ("dir-PA_epi", {"IntendedFor": BOLD}, "no PhaseEncodingDirection and readout time"),
        ("dir-AP_epi", AP | {"IntendedFor": BOLD}, "no image opposes its phase encoding j-; found none"),
        ("fieldmap", {"Units": "Hz", "IntendedFor": BOLD}, "fieldmaps in Hz are not read yet"),
        (
            "phasediff",
            {"EchoTime1": 0.005, "EchoTime2": 0.007, "IntendedFor": DWI},
            "phase fieldmaps of diffusion are not used, opposed images are",
        ),
    ],
)
def test_what_cannot_be_used_is_listed_with_the_reason(bids, name, metadata, reason):
    add_fieldmap(bids, name, **metadata)
    rows, notes = fieldmaps(bids)
    assert (rows[name]["used"], rows[name]["reason"]) == ("false", reason)
    assert [note["message"] for note in notes] == [reason]


def test_without_fsl_a_note_says_so_and_no_image_is_lost(bids):
    add_fieldmap(bids, "dir-PA_epi", **PA, IntendedFor=[BOLD, DWI])
    reason = "FSL's topup is not installed"
    rows, notes = fieldmaps(bids, unused_fieldmaps={"dwi": reason, "func": reason})
    assert rows["dir-PA_epi"]["reason"] == reason
    assert [(note["severity"], note["message"]) for note in notes] == [("note", reason)]
    sessions = read_table(bids.parent / "index" / "sessions.tsv")
    assert [(row["dwi"], row["func"]) for row in sessions] == [("true", "true")]
    # With one modality's backend there, it serves that one.
    rows, _ = fieldmaps(bids, unused_fieldmaps={"dwi": reason})
    assert used(rows) == {"dir-PA_epi"}


def test_opposed_diffusion_runs_without_fsl_are_noted(tmp_path):
    bids = made_dataset(tmp_path / "bids", 1, modalities=[("anat",)])
    for name, told in (("dir-AP", AP), ("dir-PA", PA)):
        add_image(bids, f"sub-001_{name}", "dwi", **told)
    fieldmaps(bids, unused_fieldmaps={"dwi": "FSL's topup is not installed"})
    issues = read_table(bids.parent / "index" / "issues.tsv")
    (found,) = [issue for issue in issues if issue["code"] == "DWI_OPPOSED"]
    assert found["severity"] == "note"
    assert found["message"].endswith("j and j- are not corrected by each other: FSL's topup is not installed")
    fieldmaps(bids)
    assert "DWI_OPPOSED" not in (bids.parent / "index" / "issues.tsv").read_text()


def test_an_image_that_does_not_say_how_it_was_read_out_is_served_by_no_fieldmap(bids):
    add_image(bids, "sub-001_task-rest", "func", PhaseEncodingDirection="j-")
    for name, told in (("dir-AP_epi", AP), ("dir-PA_epi", PA)):
        add_fieldmap(bids, name, **told, IntendedFor=[BOLD, DWI])
    rows, _ = fieldmaps(bids)
    assert used(rows) == {"dir-AP_epi", "dir-PA_epi"}
    assert rows["dir-AP_epi"]["intended_for"] == f"sub-001/{DWI}"
    for name, told in (("dir-AP_epi", AP), ("dir-PA_epi", PA)):
        add_fieldmap(bids, name, **told, IntendedFor=BOLD)
    rows, _ = fieldmaps(bids)
    assert rows["dir-AP_epi"]["reason"].startswith("its images do not say how they were read out")


def test_a_note_stops_nobody_who_is_strict(bids):
    add_fieldmap(bids, "dir-PA_epi", **PA)
    fieldmaps(bids, strict=True)


def test_a_fieldmap_that_cannot_be_read_costs_the_image_nothing(bids):
    add_fieldmap(bids, "dir-PA_epi", **PA, IntendedFor=BOLD)
    (bids / "sub-001/fmap/sub-001_dir-PA_epi.nii.gz").write_bytes(b"no image")
    rows, _ = fieldmaps(bids)
    assert rows["dir-PA_epi"]["reason"].startswith("cannot be read")
