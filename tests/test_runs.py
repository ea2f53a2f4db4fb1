"""The workflow as a whole, on a small simulated cohort: it ends, goes on after a kill, reruns what changed."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parent.parent
COHORT = {
    "output_dir": "out",
    "template_voxel_mm": 4,
    "simulate": {"cohort": {"size": "tiny", "sessions": 6}},
    "anat": {"extract": {"segmentation_mm": 4}, "normalize": {"registration_mm": 4}},
    "train": {"split": {"folds": 2}},
    "evaluate": {"score": {"bootstrap": 200}},
}
COMPARED = ("derivatives", "tensors", "splits", "template", "evaluation")


def copy_of_the_code(folder: Path) -> Path:
    """Copy what a run needs, so that a test may edit it."""
    for name in ("Snakefile", "workflow", "config", "profiles", "envs", "neuromoe"):
        source = REPOSITORY / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / name)
    return folder


def command(folder: Path, *words: str) -> list[str]:
    base = [sys.executable, "-m", "snakemake", "-s", str(folder / "Snakefile"), "--directory", str(folder), "--nocolor"]
    return [*base, *words, "--configfile", str(folder / "my.yaml")]


def snakemake(folder: Path, *words: str) -> str:
    done = subprocess.run(command(folder, *words), capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return done.stdout + done.stderr


def planned(folder: Path, *words: str) -> set[str]:
    """Return the names of the rules that would run."""
    said = snakemake(folder, "-n", *words)
    rules = set(re.findall(r"(?m)^(?:local)?rule (\w+):", said))
    return {name for name in rules if not re.fullmatch(r"all|\w+_all", name)}


def prepared(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    copy_of_the_code(folder)
    (folder / "my.yaml").write_text(yaml.safe_dump(COHORT))
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A folder in which the whole workflow ran, undisturbed."""
    folder = prepared(tmp_path_factory.mktemp("run"))
    snakemake(folder, "--cores", "2")
    return folder


def test_the_run_leaves_tensors_models_an_evaluation_and_linked_pages(finished):
    out = finished / "out"
    assert len(list((out / "tensors").glob("*.safetensors"))) == 6
    metrics = json.loads((out / "evaluation" / "neuromoe-paper" / "metrics.json").read_text())
    assert metrics
    index = (out / "report" / "index.html").read_text()
    links = re.findall(r'href="([^"#:]+)"', index)
    assert {"cohort.html", "result.html", "sessions/sub-01.html"} <= set(links)
    assert all((out / "report" / link).is_file() for link in links)


def test_a_session_page_shows_every_step(finished):
    for page in (finished / "out" / "report" / "sessions").glob("*.html"):
        assert not re.search(r"was not (cleaned|corrected|brought)|no table of confounds|no sidecars", page.read_text())


def test_the_result_page_says_that_simulated_people_prove_nothing(finished):
    page = (finished / "out" / "report" / "result.html").read_text()
    assert "prove nothing" in page
    assert re.search(r"95 % interval", page)


def test_the_derivatives_are_a_dataset_that_says_who_made_them(finished):
    description = json.loads((finished / "out" / "derivatives" / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert description["GeneratedBy"][0]["Name"] == "neuromoe"
    assert (finished / "out" / "derivatives" / ".bidsignore").is_file()


def test_every_job_leaves_a_log_and_a_benchmark(finished):
    for kind, ending in (("logs", "*.log"), ("benchmarks", "*.tsv")):
        folders = {path.name for path in (finished / "out" / kind).iterdir() if list(path.rglob(ending))}
        assert {"anat_extract", "func_normalize", "train_fit", "report_index", "simulate_cohort"} <= folders


def test_a_second_run_does_nothing(finished):
    assert planned(finished) == set()


def test_editing_a_comment_reruns_nothing(finished):
    edited = finished / "neuromoe" / "imaging" / "geometry.py"
    edited.write_text(edited.read_text() + "\n# A remark.\n")
    assert planned(finished) == set()


def test_editing_a_helper_reruns_what_imports_it_and_what_follows(finished):
    edited = finished / "neuromoe" / "func" / "_fluctuation.py"
    before = edited.read_text()
    edited.write_text(before + "\n\nADDED = 1\n")
    rerun = planned(finished)
    edited.write_text(before)
    assert "func_normalize" in rerun
    assert not rerun & {
        "func_correct",
        "anat_extract",
        "anat_normalize",
        "dwi_correct",
        "dwi_normalize",
        "template_prepare",
    }
    assert {"tensors_pack", "tensors_store", "train_fit", "report_subject"} <= rerun
    assert planned(finished) == set()


def test_a_changed_setting_reruns_its_step(finished):
    (finished / "my.yaml").write_text(yaml.safe_dump(COHORT | {"func": {"normalize": {"seed_radius_mm": 9.0}}}))
    rerun = planned(finished, "func_all")
    (finished / "my.yaml").write_text(yaml.safe_dump(COHORT))
    assert rerun == {"func_normalize"}


def test_one_step_can_be_forced(finished):
    assert "anat_normalize" in planned(finished, "anat_all", "-R", "anat_normalize")
    assert "anat_extract" not in planned(finished, "anat_all", "-R", "anat_normalize")


def contents(out: Path) -> dict[str, bytes]:
    """Return every file that two equal runs must have in common, predictions included."""
    files = [path for name in COMPARED for path in (out / name).rglob("*") if path.is_file()]
    files += list((out / "models").rglob("predictions.tsv"))
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


@pytest.mark.nightly
def test_a_killed_run_goes_on_one_job_at_a_time_and_ends_with_the_same_bytes(finished, tmp_path):
    folder = prepared(tmp_path / "killed")
    run = subprocess.Popen(
        command(folder, "--cores", "2"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 900
    while len(list((folder / "out" / "derivatives").rglob("*_desc-extract_quality.json"))) < 2:
        assert run.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.2)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    snakemake(folder, "--unlock")
    # One job after the other: neither the kill nor who ran beside whom may show in the bytes.
    snakemake(folder, "--cores", "1")
    expected, found = contents(finished / "out"), contents(folder / "out")
    assert sorted(found) == sorted(expected)
    assert [name for name in expected if found[name] != expected[name]] == []
    assert not list(folder.rglob(".partial-*"))
