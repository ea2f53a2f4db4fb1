"""Which programs a run would use, told while the job graph is built."""

import json
import re
import sys
from pathlib import Path

import pytest

from neuromoe.core.backends import PROGRAMS
from neuromoe.core.tables import read_table

sys.path.insert(0, str(Path(__file__).parent))
from fsl_stand_in import put_on_path  # noqa: E402
from made_bids import add_image, made_dataset  # noqa: E402
from test_workflow import snakemake  # noqa: E402

AP = {"PhaseEncodingDirection": "j-", "TotalReadoutTime": 0.05}
PA = {"PhaseEncodingDirection": "j", "TotalReadoutTime": 0.05}


@pytest.fixture
def dataset(tmp_path) -> dict:
    """A person with an image of opposed phase encoding for both series."""
    bids = made_dataset(tmp_path / "bids", 1, modalities=[("anat",)])
    add_image(bids, "sub-001", "dwi", **AP)
    add_image(bids, "sub-001_task-rest", "func", **AP)
    intended = ["func/sub-001_task-rest_bold.nii.gz", "dwi/sub-001_dwi.nii.gz"]
    anat = add_image(bids, "sub-001_dir-PA", "anat", **PA, IntendedFor=intended)
    folder = bids / "sub-001" / "fmap"
    folder.mkdir()
    for ending in ("nii.gz", "json"):
        (anat.parent / f"sub-001_dir-PA_T1w.{ending}").rename(folder / f"sub-001_dir-PA_epi.{ending}")
    return {"bids_dir": str(bids), "output_dir": "out"}


@pytest.fixture
def with_fsl(tmp_path, monkeypatch) -> None:
    programs = put_on_path(monkeypatch, tmp_path / "fsl")
    for name in PROGRAMS:
        programs.add(name)


def commands(done) -> dict[str, str]:
    """Return the planned command of each rule."""
    assert done.returncode == 0, done.stdout + done.stderr
    lines = re.findall(r"-m neuromoe (\w+) (\w+) (.*)", done.stdout)
    return {f"{stage}_{step}": rest for stage, step, rest in lines}


def fieldmap_rows(folder: Path) -> list[tuple[str, str]]:
    rows = read_table(folder / "out" / "index" / "manifest.tsv")
    return [(row["used"], row["reason"]) for row in rows if row["modality"] == "fmap"]


def test_without_fsl_our_own_methods_run_and_a_note_tells_of_the_fieldmap(dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    planned = commands(snakemake(tmp_path / "work", "-n", "-p", config=dataset))
    named = {name: re.findall(r"--([\w-]+)-backend (\w+)", words) for name, words in planned.items()}
    assert dict(named["func_correct"]) == {
        "motion": "torch", "slice-timing": "scipy", "fieldmap": "none", "coregistration": "scipy",
    }  # fmt: skip
    assert dict(named["dwi_correct"]) == {"denoise": "numpy", "motion": "torch", "fieldmap": "none"}
    assert "auto" not in {value for pairs in named.values() for _, value in pairs}
    assert fieldmap_rows(tmp_path / "work") == [("false", "FSL's topup is not installed")]
    issues = read_table(tmp_path / "work" / "out" / "index" / "issues.tsv")
    assert [issue["severity"] for issue in issues if issue["code"] == "FIELDMAP_UNUSED"] == ["note"]


def test_with_fsl_fieldmaps_reach_the_steps(dataset, with_fsl, tmp_path):
    planned = commands(snakemake(tmp_path / "work", "-n", "-p", config=dataset))
    for name in ("dwi_correct", "func_correct"):
        assert "--fieldmap-backend fsl" in planned[name]
        assert re.search(r"--fieldmaps \S*sub-001_dir-PA_epi.nii.gz", planned[name])
        assert re.search(r"--fieldmap-sidecars \S*sub-001_dir-PA_epi.json", planned[name])
    assert "--motion-backend torch" in planned["func_correct"]
    for name in ("func_correct", "func_normalize"):
        assert "from-boldref_to-T1w_mode-image_xfm.h5" in planned[name]
    assert "from-dwi_to-T1w_mode-image_xfm.txt" in planned["dwi_normalize"]
    assert fieldmap_rows(tmp_path / "work") == [("true", "n/a")]


def test_a_program_that_is_asked_for_and_missing_stops_with_one_message(dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    config = dataset | {"func": {"correct": {"motion_backend": "fsl"}}}
    done = snakemake(tmp_path / "work", "-n", config=config)
    assert done.returncode != 0
    for word in ("mcflirt", "func.correct.motion_backend", "envs/fsl.yaml"):
        assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_does_not_mix_programs_with_an_earlier_one(dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    record = tmp_path / "work" / "out" / "index" / "backends.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"dwi.correct.fieldmap_backend": "fsl"}))
    done = snakemake(tmp_path / "work", "-n", config=dataset)
    assert done.returncode != 0
    assert "dwi.correct.fieldmap_backend: fsl before, none now" in done.stderr


def test_a_dry_run_records_nothing_and_a_run_does(dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    record = tmp_path / "work" / "out" / "index" / "backends.json"
    snakemake(tmp_path / "work", "-n", config=dataset)
    assert not record.exists()
    done = snakemake(tmp_path / "work", "bids_index", "--cores", "1", "--forcerun", "bids_index", config=dataset)
    assert done.returncode == 0, done.stderr
    assert json.loads(record.read_text())["func.correct.motion_backend"] == "torch"
