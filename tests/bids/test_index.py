import json
import shutil
import sys
from pathlib import Path

import nibabel as nib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuromoe.bids._scan import parse_name
from neuromoe.bids.index import index
from neuromoe.core.errors import InputError
from neuromoe.core.tables import read_table

sys.path.insert(0, str(Path(__file__).parent.parent))
from made_bids import add_image, made_dataset, write_participants  # noqa: E402

TABLES = ("manifest", "sessions", "issues", "clinical")


def run_index(bids_dir: Path, out: Path, **settings) -> dict[str, list[dict[str, str]]]:
    paths = {name: out / f"{name}.tsv" for name in TABLES}
    index(bids_dir=bids_dir, **paths, **settings)
    return {name: read_table(path) for name, path in paths.items()}


def codes(tables) -> set[str]:
    return {row["code"] for row in tables["issues"]}


def used(tables, modality) -> list[str]:
    return [Path(r["path"]).name for r in tables["manifest"] if r["used"] == "true" and r["modality"] == modality]


label = st.text("abcXYZ019", min_size=1, max_size=6)


@given(st.dictionaries(st.sampled_from(["ses", "task", "acq", "dir", "run"]), label), label)
def test_a_name_is_taken_apart_and_put_together_again(entities, subject):
    entities = {"sub": subject, **entities}
    name = "_".join(f"{key}-{value}" for key, value in entities.items()) + "_bold.nii.gz"
    parsed = parse_name(name)
    assert (parsed.entities, parsed.suffix, parsed.extension) == (entities, "bold", ".nii.gz")


def test_every_session_is_listed_with_what_it_has(tmp_path):
    bids = made_dataset(tmp_path / "bids", 2, ("ses-a", "ses-b"), [("anat",), ("dwi", "func")])
    tables = run_index(bids, tmp_path)
    assert [tuple(row.values()) for row in tables["sessions"]] == [
        ("sub-001", "ses-a", "true", "false", "false"),
        ("sub-001", "ses-b", "true", "false", "false"),
        ("sub-002", "ses-a", "false", "true", "true"),
        ("sub-002", "ses-b", "false", "true", "true"),
    ]


def test_without_sessions_the_session_is_not_applicable(tmp_path):
    tables = run_index(made_dataset(tmp_path / "bids", 1), tmp_path)
    assert tables["sessions"][0]["session_id"] == "n/a"
    assert tables["manifest"][0]["shape"] == "8x8x8"


def test_metadata_is_inherited_from_the_dataset_and_the_nearest_wins(tmp_path):
    bids = made_dataset(tmp_path / "bids", 1, ("ses-1",))
    (bids / "task-rest_bold.json").write_text(json.dumps({"RepetitionTime": 3.0}))
    add_image(bids, "sub-001_ses-1_task-rest", "func", RepetitionTime=1.5)
    (bids / "task-other_bold.json").write_text(json.dumps({"RepetitionTime": 9.0}))
    row = next(r for r in run_index(bids, tmp_path)["manifest"] if r["modality"] == "func")
    assert row["sidecars"].split() == [
        "task-rest_bold.json",
        "sub-001/ses-1/func/sub-001_ses-1_task-rest_bold.json",
    ]
    assert float(row["repetition_time_s"]) == 1.5


def test_gradient_tables_are_inherited(tmp_path):
    bids = made_dataset(tmp_path / "bids", 1)
    for ending in ("bval", "bvec"):
        shutil.move(bids / f"sub-001/dwi/sub-001_dwi.{ending}", bids / f"dwi.{ending}")
    assert next(r for r in run_index(bids, tmp_path)["manifest"] if r["modality"] == "dwi")["bvec"] == "dwi.bvec"


def test_all_dwi_runs_are_used_and_one_bold_run(tmp_path):
    bids = made_dataset(tmp_path / "bids", 1, modalities=[("anat",)])
    for direction in ("AP", "PA"):
        add_image(bids, f"sub-001_dir-{direction}", "dwi")
    add_image(bids, "sub-001_task-rest_run-1", "func")
    add_image(bids, "sub-001_task-rest_run-2", "func", shape=(8, 8, 8, 9))
    add_image(bids, "sub-001_task-nback", "func", shape=(8, 8, 8, 20))
    tables = run_index(bids, tmp_path)
    assert len(used(tables, "dwi")) == 2
    assert used(tables, "func") == ["sub-001_task-rest_run-1_bold.nii.gz"]
    assert len([row for row in tables["manifest"] if row["modality"] == "func"]) == 3
    longest = run_index(bids, tmp_path, run="longest")
    assert used(longest, "func") == ["sub-001_task-rest_run-2_bold.nii.gz"]
    everything = run_index(bids, tmp_path, run="all")
    assert used(everything, "func") == [f"sub-001_task-rest_run-{run}_bold.nii.gz" for run in (1, 2)]
    assert used(run_index(bids, tmp_path, task="nback"), "func") == ["sub-001_task-nback_bold.nii.gz"]


def reference_beside(image: Path) -> Path:
    """Write the first volume of a run as its single-band reference."""
    suffix = image.name.rsplit("_", 1)[1]
    reference = image.with_name(image.name.replace(suffix, "sbref.nii.gz"))
    nib.save(nib.load(image).slicer[..., 0], reference)
    return reference


@pytest.fixture
def with_references(tmp_path) -> Path:
    """Two people, each with a reference of the run that is used, of another run and of diffusion."""
    bids = made_dataset(tmp_path / "bids", 2, modalities=[("anat",)])
    for person in ("sub-001", "sub-002"):
        for run in (1, 2):
            reference_beside(add_image(bids, f"{person}_task-rest_run-{run}", "func"))
        reference_beside(add_image(bids, f"{person}_dir-AP", "dwi"))
    return bids


def references(tables) -> dict[str, dict[str, str]]:
    return {Path(row["path"]).name: row for row in tables["manifest"] if row["suffix"] == "sbref"}


def test_single_band_references_of_the_runs_used_name_their_run(with_references, tmp_path):
    tables = run_index(with_references, tmp_path)
    found = references(tables)
    people = ("sub-001", "sub-002")
    assert set(found) == {f"{one}_{name}_sbref.nii.gz" for one in people for name in ("task-rest_run-1", "dir-AP")}
    for name, row in found.items():
        assert row["used"] == ("true" if row["modality"] == "func" else "false")
        assert Path(row["intended_for"]).name.rsplit("_", 1)[0] == name.rsplit("_", 1)[0]
    (noted,) = [row for row in tables["issues"] if row["code"] == "SBREF_UNUSED"]
    assert noted["severity"] == "note" and noted["message"].startswith("2 images are") and "b=0" in noted["message"]
    assert {row["func"] for row in tables["sessions"]} == {"true"}


def test_single_band_references_can_be_left_alone(with_references, tmp_path):
    tables = run_index(with_references, tmp_path, single_band="off")
    assert {row["used"] for row in references(tables).values()} == {"false"}
    assert sum(row["code"] == "SBREF_UNUSED" for row in tables["issues"]) == 2


def test_of_a_reference_in_parts_the_magnitude_is_used_and_several_volumes_are_none(tmp_path):
    bids = made_dataset(tmp_path / "bids", 1, modalities=[("anat",)])
    run = add_image(bids, "sub-001_task-rest", "func")
    for part in ("mag", "phase"):
        shutil.copyfile(run, run.with_name(f"sub-001_task-rest_part-{part}_sbref.nii.gz"))
    found = references(run_index(bids, tmp_path))
    assert "5 volumes" in found["sub-001_task-rest_part-mag_sbref.nii.gz"]["reason"]
    reference_beside(run).rename(run.with_name("sub-001_task-rest_part-mag_sbref.nii.gz"))
    found = references(run_index(bids, tmp_path))
    assert found["sub-001_task-rest_part-mag_sbref.nii.gz"]["used"] == "true"
    assert "phase" in found["sub-001_task-rest_part-phase_sbref.nii.gz"]["reason"]


def test_multi_echo_is_refused_and_the_message_says_what_to_do(tmp_path):
    bids = made_dataset(tmp_path / "bids", 1, modalities=[("anat",)])
    for echo in ("1", "2"):
        add_image(bids, f"sub-001_task-rest_echo-{echo}", "func")
    tables = run_index(bids, tmp_path)
    refused = [row for row in tables["issues"] if row["code"] == "MULTI_ECHO"]
    assert [row["severity"] for row in refused] == ["error", "error"]
    assert all("multi-echo" in row["message"] and "combine the echoes" in row["fix"] for row in refused)
    assert used(tables, "func") == [] and used(tables, "anat") != []
    assert {row["reason"] for row in tables["manifest"] if row["modality"] == "func"} == {"MULTI_ECHO"}
    with pytest.raises(InputError, match=r"echo-1_bold.*MULTI_ECHO.*multi-echo BOLD is not combined"):
        run_index(bids, tmp_path, strict=True)


def test_a_task_run_stands_in_for_rest_with_a_warning(tmp_path):
    bids = made_dataset(tmp_path / "bids", 1, modalities=[("anat",)])
    add_image(bids, "sub-001_task-nback", "func")
    tables = run_index(bids, tmp_path)
    assert used(tables, "func") == ["sub-001_task-nback_bold.nii.gz"]
    assert "TASK_NOT_REST" in codes(tables)


def test_the_finest_t1w_is_used(tmp_path):
    import numpy as np

    bids = made_dataset(tmp_path / "bids", 1, modalities=[("anat",)])
    fine = add_image(bids, "sub-001_acq-fine", "anat")
    nib.save(nib.Nifti1Image(np.zeros((16, 16, 16), np.int16), np.eye(4)), fine)
    assert used(run_index(bids, tmp_path), "anat") == ["sub-001_acq-fine_T1w.nii.gz"]


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda dwi: dwi.with_suffix("").with_suffix(".bvec").unlink(), "BVEC_MISSING"),
        (lambda dwi: dwi.with_suffix("").with_suffix(".bval").write_text("0 1000"), "BVAL_COUNT"),
        (lambda dwi: dwi.with_suffix("").with_suffix(".bvec").write_text("0 0 0\n"), "BVEC_COUNT"),
        (lambda dwi: dwi.with_suffix("").with_suffix(".bval").write_text("0 b b b b b b"), "BVAL_INVALID"),
        (lambda dwi: dwi.with_suffix("").with_suffix(".bval").write_text("1000 " * 7), "DWI_NO_B0"),
        (lambda dwi: dwi.with_suffix("").with_suffix(".bval").write_text("0 " * 7), "DWI_DIRECTIONS"),
        (
            lambda dwi: dwi.with_suffix("").with_suffix(".bval").write_text("0 0 1000 1000 1000 2000 2000"),
            "DWI_DIRECTIONS",
        ),
        (
            lambda dwi: (
                dwi.with_suffix("").with_suffix(".bvec").write_text("0 1 1 1 1 1 1\n" + "0 " * 7 + "\n" + "0 " * 7)
            ),
            "DWI_DIRECTIONS",
        ),
        (lambda dwi: dwi.write_bytes(b"no image"), "HEADER_UNREADABLE"),
        (lambda dwi: dwi.with_suffix("").with_suffix(".json").write_text("{"), "JSON_INVALID"),
    ],
)
def test_an_image_with_an_error_is_left_out_by_name_and_strict_stops(tmp_path, spoil, code):
    bids = made_dataset(tmp_path / "bids", 1)
    spoil(bids / "sub-001/dwi/sub-001_dwi.nii.gz")
    tables = run_index(bids, tmp_path)
    assert code in codes(tables)
    assert used(tables, "dwi") == []
    assert tables["sessions"][0]["dwi"] == "false"
    with pytest.raises(InputError, match=code):
        run_index(bids, tmp_path, strict=True)


def test_the_runs_of_a_session_share_their_shells_and_unweighted_ones_may_stand_beside(tmp_path):
    bids = made_dataset(tmp_path / "bids", 1, modalities=[("anat",)])
    for name, bvals in (("run-1", "0 0 0 0 1000 1000 1000"), ("run-2", "0 0 0 0 1010 995 1000"), ("run-3", "0 " * 7)):
        add_image(bids, f"sub-001_{name}", "dwi", PhaseEncodingDirection="j")
        (bids / f"sub-001/dwi/sub-001_{name}_dwi.bval").write_text(bvals)
    tables = run_index(bids, tmp_path)
    assert len(used(tables, "dwi")) == 3 and "DWI_DIRECTIONS" not in codes(tables)


def test_runs_of_opposed_phase_do_not_add_up_to_a_shell(tmp_path):
    bids = made_dataset(tmp_path / "bids", 1, modalities=[("anat",)])
    for name, phase in (("dir-AP", "j-"), ("dir-PA", "j")):
        add_image(bids, f"sub-001_{name}", "dwi", PhaseEncodingDirection=phase)
        (bids / f"sub-001/dwi/sub-001_{name}_dwi.bval").write_text("0 0 0 1000 1000 1000 1000")
    tables = run_index(bids, tmp_path)
    assert used(tables, "dwi") == [] and "DWI_DIRECTIONS" in codes(tables)
    assert ["has 4 volumes; a tensor needs 6" in row["message"] for row in tables["issues"]] == [True, True]
    assert used(tables, "anat") == ["sub-001_T1w.nii.gz"]


def test_the_tolerance_of_the_tensor_fit_says_what_a_shell_is(tmp_path):
    bids = made_dataset(tmp_path / "bids", 1)
    (bids / "sub-001/dwi/sub-001_dwi.bval").write_text("0 900 900 900 1000 1000 1000")
    assert used(run_index(bids, tmp_path), "dwi") == []
    assert len(used(run_index(bids, tmp_path, shell_tolerance=0.2), "dwi")) == 1


def test_filters_leave_out_with_a_reason(tmp_path):
    bids = made_dataset(tmp_path / "bids", 4, ("ses-1", "ses-2"))
    tables = run_index(bids, tmp_path, participants=["001", "sub-002", "003"], only_sessions=["1"], exclude=["sub-003"])
    assert [row["participant_id"] for row in tables["sessions"]] == ["sub-001", "sub-002"]
    reasons = {row["reason"] for row in tables["manifest"]} - {"n/a"}
    assert reasons == {
        "not in bids.index.participants",
        "not in bids.index.sessions",
        "in bids.index.exclude",
    }


def test_excluding_a_person_keeps_those_whose_name_begins_alike(tmp_path):
    write_participants(tmp_path / "bids", {"sub-1": "PD", "sub-10": "HC"})
    for name in ("sub-1", "sub-10"):
        add_image(tmp_path / "bids", name, "anat")
    tables = run_index(tmp_path / "bids", tmp_path, exclude=["sub-1"])
    assert [row["participant_id"] for row in tables["sessions"]] == ["sub-10"]


def test_entity_filters_apply_to_their_modality(tmp_path):
    bids = made_dataset(tmp_path / "bids", 1)
    tables = run_index(bids, tmp_path, filters={"func": {"task": "other"}})
    assert (used(tables, "func"), len(used(tables, "anat"))) == ([], 1)


def test_labels_and_features_come_from_all_tables(tmp_path):
    bids = made_dataset(tmp_path / "bids", 3)
    (bids / "phenotype").mkdir()
    (bids / "phenotype" / "serum.tsv").write_text("participant_id\tnfl\nsub-001\t3.5\nsub-002\tn/a\n")
    tables = run_index(
        bids,
        tmp_path,
        label={"column": "group", "classes": ["PD"]},
        tables=["phenotype/*.tsv"],
        columns={"age": "numeric", "nfl": "numeric"},
        serum=["nfl"],
    )
    assert [row["label"] for row in tables["clinical"]] == ["PD", "n/a", "PD"]
    assert [row["nfl"] for row in tables["clinical"]] == ["3.5", "n/a", "n/a"]
    assert json.loads((tmp_path / "clinical.json").read_text())["nfl"] == {
        "type": "numeric",
        "levels": [],
        "serum": True,
    }


def test_a_session_row_overrides_the_participants(tmp_path):
    bids = made_dataset(tmp_path / "bids", 1, ("ses-1", "ses-2"))
    (bids / "sub-001" / "sub-001_sessions.tsv").write_text("session_id\tage\nses-2\t77\n")
    tables = run_index(bids, tmp_path, columns={"age": "numeric"})
    assert [row["age"] for row in tables["clinical"]] == ["50", "77"]


def test_missing_columns_are_told(tmp_path):
    bids = made_dataset(tmp_path / "bids", 1)
    tables = run_index(bids, tmp_path, label={"column": "diagnosis"}, columns={"nfl": "numeric"})
    assert {"LABEL_COLUMN", "CLINICAL_COLUMN"} <= codes(tables)


def test_an_unchanged_dataset_leaves_the_tables_untouched(tmp_path):
    bids = made_dataset(tmp_path / "bids", 2)
    run_index(bids, tmp_path)
    before = {name: (tmp_path / f"{name}.tsv").stat().st_mtime_ns for name in TABLES}
    run_index(bids, tmp_path)
    assert {name: (tmp_path / f"{name}.tsv").stat().st_mtime_ns for name in TABLES} == before


def test_no_dataset_and_no_image_are_one_clear_error(tmp_path):
    with pytest.raises(InputError, match="bids_dir"):
        run_index(tmp_path / "nowhere", tmp_path)
    write_participants(tmp_path / "bids", {})
    with pytest.raises(InputError, match="at least one"):
        run_index(tmp_path / "bids", tmp_path)


def test_real_people_are_found_with_their_modalities(real_bids, tmp_path):
    tables = run_index(real_bids, tmp_path)
    assert [tuple(row.values()) for row in tables["sessions"]] == [
        ("sub-forrest02", "n/a", "true", "false", "true"),
        ("sub-ms01", "ses-1", "true", "false", "false"),
        ("sub-ms01", "ses-2", "true", "false", "false"),
        ("sub-tosh", "ses-ortho", "false", "true", "false"),
        ("sub-tosh", "ses-sag30d", "false", "true", "false"),
    ]
    assert all(row["used"] == "true" for row in tables["manifest"])
