"""A hard protocol through the preprocessing: few volumes, strong weighting, reversed phases; and no head at all."""

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml

from neuromoe.core.quality import read_quality
from neuromoe.core.saving import read_arrays
from neuromoe.core.tables import read_table

sys.path.insert(0, str(Path(__file__).parent))
from bottle import write_bottle  # noqa: E402

REPOSITORY = Path(__file__).parent.parent
PERSON, BOTTLE = "sub-01", "sub-bottle"


def make_hard(bids: Path) -> None:
    """Simulate a person at demo size and turn the scans into 20 BOLD volumes and two phases of b = 2500."""
    from neuromoe.simulate.cohort import cohort

    made = dict(size="demo", sessions=1, participant=PERSON, seed=5)
    cohort(bids_dir=bids, **made, missing_rate=0.0, corrupted_rate=0.0)
    bold = bids / PERSON / "func" / f"{PERSON}_task-rest_bold.nii.gz"
    nib.save(nib.load(bold).slicer[..., :20], bold)
    stem = bids / PERSON / "dwi" / f"{PERSON}_dwi"
    image, bvals = nib.load(stem.with_suffix(".nii.gz")), np.loadtxt(stem.with_suffix(".bval"))
    data = image.get_fdata()
    unweighted = data[..., bvals == 0].mean(axis=-1, keepdims=True)
    # What one tensor per voxel gives at 2.5 times the b-value; the noise grows with it, as it does in a scanner.
    stronger = unweighted * (np.clip(data, 1, None) / np.clip(unweighted, 1, None)).clip(0, 1) ** 2.5
    data = np.where(bvals == 0, data, stronger)
    metadata = json.loads(stem.with_suffix(".json").read_text())
    for name, phase in (("AP", "j-"), ("PA", "j")):
        other = stem.with_name(f"{PERSON}_dir-{name}_dwi")
        nib.save(nib.Nifti1Image(np.round(data).astype(np.int16), image.affine), other.with_suffix(".nii.gz"))
        np.savetxt(other.with_suffix(".bval"), 2.5 * bvals[None], fmt="%d")
        other.with_suffix(".bvec").write_text(stem.with_suffix(".bvec").read_text())
        other.with_suffix(".json").write_text(json.dumps(metadata | {"PhaseEncodingDirection": phase}))
    for extension in (".nii.gz", ".bval", ".bvec", ".json"):
        stem.with_suffix(extension).unlink()


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    """The output of a run on the hard person and the bottle."""
    folder = tmp_path_factory.mktemp("hard")
    write_bottle(folder / "bids", BOTTLE)
    make_hard(folder / "bids")
    (folder / "my.yaml").write_text(yaml.safe_dump({"output_dir": "out", "bids_dir": "bids"}))
    command = [sys.executable, "-m", "snakemake", "-s", str(REPOSITORY / "Snakefile"), "--directory", str(folder)]
    words = ["tensors_all", "reports_all", "--cores", "2", "--configfile", str(folder / "my.yaml")]
    done = subprocess.run([*command, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr[-6000:]
    return folder / "out"


def verdicts(out: Path, participant: str) -> dict[str, str]:
    (row,) = (row for row in read_table(out / "report/quality.tsv") if row["participant_id"] == participant)
    return {modality: row[f"{modality}_verdict"] for modality in ("anat", "dwi", "func")}


def test_every_map_of_the_hard_person_lies_on_the_template(out):
    assert "fail" not in verdicts(out, PERSON).values()
    arrays, _ = read_arrays(out / f"tensors/{PERSON}.safetensors")
    assert {"anat", "dwi", "func"} <= set(arrays)
    for name in ("anat", "dwi", "func"):
        assert all(np.count_nonzero(channel) > 1000 for channel in arrays[name])


def test_a_short_run_is_marked_as_of_low_quality(out):
    records = [read_quality(path) for path in (out / f"derivatives/{PERSON}/func").glob("*_quality.json")]
    reasons = [reason for record in records for reason in record["reasons"]]
    assert any("20 volumes" in reason for reason in reasons), reasons
    assert "pass" not in {record["verdict"] for record in records}


@pytest.mark.parametrize("modality", ["anat", "dwi", "func"])
def test_a_bottle_fails_with_a_reason(out, modality):
    records = [read_quality(path) for path in (out / f"derivatives/{BOTTLE}/{modality}").glob("*_quality.json")]
    failed = [record for record in records if record["verdict"] == "fail"]
    assert failed, records
    assert all(record["reasons"] for record in failed)
    assert verdicts(out, BOTTLE)[modality] == "fail"


def test_a_bottle_ends_without_a_usable_modality(out):
    arrays, _ = read_arrays(out / f"tensors/{BOTTLE}.safetensors")
    assert all(name.startswith("quality/") for name in arrays)
    assert "no usable modality" in (out / "report/cohort.html").read_text()
    assert "No usable modality" in (out / f"report/sessions/{BOTTLE}.html").read_text()
