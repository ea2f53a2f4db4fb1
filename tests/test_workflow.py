"""The workflow as a graph: which jobs it plans, for many shapes of datasets, without running them."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml

from neuromoe.core.tables import read_table

sys.path.insert(0, str(Path(__file__).parent))
from made_bids import add_image, add_person, made_dataset  # noqa: E402

REPOSITORY = Path(__file__).parent.parent
ALL = ("anat", "dwi", "func")


def snakemake(folder: Path, *words: str, config: dict | None = None) -> subprocess.CompletedProcess:
    """Run Snakemake in a folder with a config file."""
    folder.mkdir(exist_ok=True)
    (folder / "my.yaml").write_text(yaml.safe_dump({"output_dir": "out"} | (config or {})))
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "-s",
        str(REPOSITORY / "Snakefile"),
        "--directory",
        str(folder),
    ]
    command += ["--configfile", str(folder / "my.yaml"), "--nocolor", *words]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def jobs(folder: Path, *words: str, config: dict | None = None) -> Counter:
    """Plan a run and count the jobs of each rule."""
    done = snakemake(folder, *words, "-n", config=config)
    assert done.returncode == 0, done.stdout + done.stderr
    table = re.search(r"job +count\n[- ]+\n(.*?)\n\n", done.stdout + "\n\n", re.S)
    counts = dict(line.split() for line in table.group(1).splitlines()) if table else {}
    return Counter({name: int(count) for name, count in counts.items() if name not in ("all", "total")})


def per_session(counts: Counter) -> dict[str, int]:
    names = (
        "anat_extract",
        "anat_normalize",
        "dwi_correct",
        "dwi_normalize",
        "func_correct",
        "func_normalize",
    )
    return {name: counts[name] for name in (*names, "tensors_pack", "report_subject") if counts[name]}


MATRIX = {
    "one person": ({"people": 1}, dict.fromkeys(ALL, 1), 1),
    "two sessions each": ({"people": 3, "sessions": ("ses-1", "ses-2")}, dict.fromkeys(ALL, 6), 6),
    "one modality each": (
        {"people": 3, "modalities": [("anat",), ("dwi",), ("func",)]},
        dict.fromkeys(ALL, 1),
        3,
    ),
    "no T1w": ({"people": 2, "modalities": [("dwi", "func")]}, {"dwi": 2, "func": 2}, 2),
    "BOLD alone": ({"people": 2, "modalities": [("func",)]}, {"func": 2}, 2),
}


@pytest.mark.parametrize("case", MATRIX)
def test_each_session_gets_the_jobs_of_its_modalities_and_nobody_is_dropped(case, tmp_path):
    shape, expected, sessions = MATRIX[case]
    bids = made_dataset(tmp_path / "bids", **shape)
    counts = jobs(tmp_path, config={"bids_dir": str(bids), "experiments": dict.fromkeys(DEFAULT_EXPERIMENTS)})
    steps = {
        "anat": ("extract", "normalize"),
        "dwi": ("correct", "normalize"),
        "func": ("correct", "normalize"),
    }
    wanted = {f"{m}_{step}": count for m, count in expected.items() for step in steps[m]}
    assert per_session(counts) == wanted | {"tensors_pack": sessions, "report_subject": sessions}
    assert counts["tensors_store"] == counts["report_cohort"] == counts["report_index"] == 1


DEFAULT_EXPERIMENTS = list(yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text())["experiments"])


def test_runs_of_dwi_are_merged_and_one_bold_run_is_used(tmp_path):
    bids = made_dataset(tmp_path / "bids", 1, modalities=[("anat",)])
    for run in ("1", "2"):
        add_image(bids, f"sub-001_dir-AP_run-{run}", "dwi")
        add_image(bids, f"sub-001_task-rest_run-{run}", "func")
    config = {"bids_dir": str(bids)}
    plan = snakemake(tmp_path, "-n", config=config).stdout
    assert "func/sub-001_task-rest_run-1_desc-confounds_timeseries.tsv" in plan
    assert "dwi/sub-001_desc-preproc_dwi.nii.gz" in plan
    assert (jobs(tmp_path, config=config)["dwi_correct"], jobs(tmp_path, config=config)["func_correct"]) == (
        1,
        1,
    )


def test_maps_of_all_bold_runs_are_averaged_where_asked_for(tmp_path):
    bids = made_dataset(tmp_path / "bids", 2, modalities=[("anat",), ("anat", "func")])
    for run in ("1", "2", "3"):
        add_image(bids, f"sub-001_task-rest_run-{run}", "func")
    config = {"bids_dir": str(bids), "func": {"select": {"run": "all"}}}
    counts = jobs(tmp_path, config=config)
    assert (counts["func_correct"], counts["func_normalize"], counts["func_average"]) == (4, 4, 1)
    plan = snakemake(tmp_path, "-n", "-p", config=config).stdout
    words = re.findall(r"neuromoe func average .*", plan)[0]
    assert len(re.findall(r"run-\d_space-\S+_stat-alff_boldmap.nii.gz", words)) == 3
    assert "func/sub-001_task-rest_space-MNI152NLin2009aSym_stat-alff_desc-average_boldmap.nii.gz" in words
    assert all(f"--bold {bids}/sub-001/func/sub-001_task-rest_run-{run}_bold.nii.gz" in plan for run in "123")
    tensor = next(line for line in plan.splitlines() if "tensors pack" in line and "sub-001.safetensors" in line)
    assert "stat-falff_desc-average_boldmap" in tensor and "stat-mean_desc-correct_quality.json" in tensor
    page = next(line for line in plan.splitlines() if "report subject" in line and "sub-001.html" in line)
    assert "run-1_desc-confounds_timeseries.tsv" in page and "run-2" not in page


def test_each_bold_run_is_given_its_own_single_band_reference(tmp_path):
    bids = made_dataset(tmp_path / "bids", 1, modalities=[("anat",)])
    volume = add_image(bids, "sub-001_task-volume", "func", (8, 8, 8))
    for run in (1, 2):
        add_image(bids, f"sub-001_task-rest_run-{run}", "func")
        shutil.copyfile(volume, volume.with_name(f"sub-001_task-rest_run-{run}_sbref.nii.gz"))
    volume.unlink()
    config = {"bids_dir": str(bids), "func": {"select": {"run": "all"}}}
    done = snakemake(tmp_path, "func_all", "-n", "-p", config=config)
    given = re.findall(r"func correct .*?run-(\d)_bold\.nii.*?run-(\d)_sbref\.nii", done.stdout)
    assert sorted(given) == [("1", "1"), ("2", "2")]
    assert jobs(tmp_path, "func_all", config=config)["func_correct"] == 2
    config["func"]["correct"] = {"single_band": "off"}
    assert "sbref.nii" not in snakemake(tmp_path, "func_all", "-n", "-p", config=config).stdout


def test_network_maps_are_planned_where_they_are_asked_for(tmp_path):
    bids = made_dataset(tmp_path / "bids", 1, modalities=[("func",)])
    plain = snakemake(tmp_path, "-n", config={"bids_dir": str(bids)}).stdout
    (tmp_path / "atlas.tsv").write_text("name\tx\ty\tz\nA\t0\t0\t0\n")
    planned = {}
    for networks in ("bundled", str(tmp_path / "atlas.tsv")):
        config = {"bids_dir": str(bids), "func": {"normalize": {"networks": networks}}}
        planned[networks] = snakemake(tmp_path, "-n", "-p", config=config).stdout
    assert "func_normalize" in plain and "stat-network_boldmap" not in plain
    assert all(f"--networks {networks}" in plan for networks, plan in planned.items()), planned
    assert all(re.search(r"--network-map \S+_stat-network_boldmap.nii.gz", plan) for plan in planned.values())


@pytest.mark.parametrize(("asked", "averages"), [(False, 0), (True, 2)])
def test_people_with_several_t1w_are_averaged_where_it_is_asked_for(asked, averages, tmp_path):
    """Of four people two have two T1w; one has one session, one has a T1w in one of two sessions."""
    bids = made_dataset(tmp_path / "bids", 2, sessions=("ses-1", "ses-2"), modalities=[("anat", "func")])
    add_person(bids, "sub-003", "ses-1")
    add_person(bids, "sub-004", "ses-1")
    add_person(bids, "sub-004", "ses-2", ("func",))
    config = {"bids_dir": str(bids), "anat": {"longitudinal": asked}}
    plan = snakemake(tmp_path, "-n", "-p", "anat_all", config=config).stdout
    normalized = re.findall(r"neuromoe anat normalize .*", plan)
    shared = [re.findall(r"--average-to-template \S+?/(sub-\d+)_from-average_to", line) for line in normalized]
    assert len(re.findall(r"neuromoe anat average ", plan)) == averages
    assert len(normalized) == 6
    assert sorted(sum(shared, [])) == (["sub-001", "sub-001", "sub-002", "sub-002"] if asked else [])


def test_labels_bring_training_with_one_job_per_experiment_and_fold(tmp_path):
    bids = made_dataset(tmp_path / "bids", 12)
    split = {"folds": 3, "repeats": 2}
    counts = jobs(tmp_path, config={"bids_dir": str(bids), "train": {"split": split}})
    assert counts["train_fit"] == len(DEFAULT_EXPERIMENTS) * 6
    assert counts["evaluate_score"] == len(DEFAULT_EXPERIMENTS)
    assert (counts["train_split"], counts["report_result"]) == (1, 1)


def test_the_directions_of_the_paper_are_planned_in_one_command(tmp_path):
    bids = made_dataset(tmp_path / "bids", 10)
    experiments = yaml.safe_load((REPOSITORY / "config/experiments/paper.yaml").read_text())["experiments"]
    config = {"bids_dir": str(bids), "experiments": experiments}
    asked = {name for name, spec in (dict.fromkeys(DEFAULT_EXPERIMENTS, True) | experiments).items() if spec}
    assert jobs(tmp_path, config=config)["evaluate_score"] == len(asked)
    experiments["no-gate"]["settings"]["gaet"] = experiments["no-gate"]["settings"].pop("gate")
    refused = snakemake(tmp_path, "-n", config=config)
    said = refused.stdout + refused.stderr
    assert refused.returncode and "experiments.no-gate" in said and "gaet" in said


@pytest.mark.parametrize("people", [1, 4])
def test_too_few_people_end_after_the_reports(tmp_path, people):
    bids = made_dataset(tmp_path / "bids", people)
    counts = jobs(tmp_path, config={"bids_dir": str(bids)})
    assert counts["report_index"] == 1
    assert not any(name.startswith(("train", "evaluate")) for name in counts)


def test_the_first_dry_run_of_the_demo_shows_every_job(tmp_path):
    counts = jobs(tmp_path)
    assert sum(count for name, count in counts.items() if name.startswith("simulate")) == 24
    assert counts["tensors_pack"] == counts["report_subject"] == 24
    assert counts["train_fit"] == len(DEFAULT_EXPERIMENTS) * 5


def test_the_demos_truth_tells_the_strengths_and_the_seed_of_the_configuration(tmp_path):
    cohort = {"sessions": 6, "effects": {"fa_drop": 0.0}}
    jobs(tmp_path, config={"seed": 3, "simulate": {"cohort": cohort}})
    truth = tmp_path / "out/bids/derivatives/truth"
    assert {float(row["fa_drop"]) for row in read_table(truth / "truth.tsv")} == {0.0}
    assert json.loads((truth / "truth.json").read_text())["seed"]["Description"] == "3"


def test_the_first_plan_of_200_sessions_shows_every_job(tmp_path):
    bids = made_dataset(tmp_path / "bids", 100, ("ses-1", "ses-2"))
    counts = jobs(tmp_path, config={"bids_dir": str(bids)})
    assert set(per_session(counts).values()) == {200}


def test_a_new_image_shows_in_the_next_plan(tmp_path):
    bids = made_dataset(tmp_path / "bids", 2)
    config = {"bids_dir": str(bids)}
    assert jobs(tmp_path, config=config)["anat_extract"] == 2
    time.sleep(0.01)
    add_person(bids, "sub-900")
    assert jobs(tmp_path, config=config)["anat_extract"] == 3


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["anat_all"], {"template_prepare": 1, "anat_extract": 2, "anat_normalize": 2}),
        (["--until", "anat_extract"], {"template_prepare": 1, "anat_extract": 2}),
        (
            ["func_all", "--until", "func_correct"],
            {"func_correct": 2, "anat_extract": 2, "template_prepare": 1},
        ),
        (["out/tensors/sub-001.safetensors"], {"tensors_pack": 1, "anat_extract": 1, "dwi_correct": 1}),
        (
            ["out/derivatives/sub-002/anat/sub-002_desc-brain_mask.nii.gz"],
            {"anat_extract": 1, "template_prepare": 1},
        ),
    ],
)
def test_any_stage_step_or_file_is_a_target(tmp_path, words, expected):
    bids = made_dataset(tmp_path / "bids", 2)
    counts = jobs(tmp_path, *words, config={"bids_dir": str(bids)})
    assert expected.items() <= counts.items()
    assert not counts["train_fit"]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"anat": {"extract": {"registration_m": 3}}}, "did you mean 'registration_mm'"),
        ({"template_voxel_mm": 100}, "template_voxel_mm: 100 is greater than the maximum of 8"),
        ({"bids_dir": "no/such/folder"}, "expected a BIDS dataset"),
        ({"template": "no/such/folder"}, None),
    ],
)
def test_a_wrong_setting_stops_with_one_line_and_no_stack(tmp_path, config, words):
    done = snakemake(tmp_path, "-n", config=config)
    said = done.stdout + done.stderr
    if words is None:
        assert done.returncode == 0, "a template's path is checked by the step that prepares it"
        return
    assert done.returncode != 0
    assert words in said
    assert "Traceback" not in said


def test_the_slurm_profile_plans_the_same_jobs_and_gives_resources_only(tmp_path):
    profile = yaml.safe_load((REPOSITORY / "profiles" / "slurm" / "config.yaml").read_text())
    assert profile["executor"] == "slurm"
    assert "config" not in profile
    assert "configfile" not in profile
    bids = made_dataset(tmp_path / "bids", 2)
    config = {"bids_dir": str(bids)}
    with_slurm = jobs(tmp_path, "--workflow-profile", str(REPOSITORY / "profiles" / "slurm"), config=config)
    assert with_slurm == jobs(tmp_path, config=config)


def test_a_rule_asks_for_memory_by_the_size_of_the_image(tmp_path):
    bids = made_dataset(tmp_path / "bids", 1, modalities=[("anat",)])
    add_image(bids, "sub-001_task-rest", "func", shape=(64, 64, 40, 100))
    plan = snakemake(tmp_path, "-n", config={"bids_dir": str(bids)}).stdout
    (asked,) = re.findall(r"rule func_correct:.*?mem_mb=(\d+)", plan, re.S)
    assert int(asked) > 2000 + 8 * 60
