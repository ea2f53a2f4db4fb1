import json

import numpy as np
import pandas as pd
import pytest

from neuromoe.core.errors import InputError
from neuromoe.core.saving import read_arrays
from neuromoe.imaging.template import Template
from neuromoe.model import Cohort, build_model
from neuromoe.tensors._grid import tensor_grid
from neuromoe.tensors.pack import pack
from neuromoe.tensors.store import store

SESSIONS = {
    ("sub-1", "ses-a"): ("anat", "dwi", "func"),
    ("sub-1", "ses-b"): ("anat",),
    ("sub-2", "n/a"): ("dwi", "func"),
    ("sub-3", "n/a"): ("anat", "func"),
    ("sub-4", "n/a"): (),
    ("sub-5", "n/a"): ("anat", "dwi"),
}


@pytest.fixture
def stored(tmp_path, template, session):
    """Pack and store six sessions; return the folders and what went in."""
    for (who, when), modalities in SESSIONS.items():
        key = who if when == "n/a" else f"{who}_{when}"
        pack(template=template, tensor=tmp_path / f"tensors/{key}.safetensors", **session(key, modalities))
    rows = [f"{who}\t{when}" for who, when in SESSIONS]
    (tmp_path / "sessions.tsv").write_text("\n".join(["participant_id\tsession_id", *rows]) + "\n")
    _store(tmp_path, template)
    return tmp_path


def _store(folder, template, **choices):
    store(
        sessions=folder / "sessions.tsv",
        tensors=folder / "tensors",
        template=template,
        index=folder / "tensors/store/index.tsv",
        **choices,
    )


def _as_arrays(folder, template):
    """The same cohort, from whole volumes."""
    keys = [who if when == "n/a" else f"{who}_{when}" for who, when in SESSIONS]
    files = [read_arrays(folder / f"tensors/{key}.safetensors") for key in keys]
    shape = json.loads(files[0][1]["shape"])
    space = Template.load(template)
    mask = tensor_grid(space.brain_mask, space.mask.affine, voxel_mm=4.0, patch=4).brain(space.brain_mask)
    maps, present = {}, {}
    for name, count in (("anat", 3), ("dwi", 2), ("func", 3)):
        present[name] = [name in arrays for arrays, _ in files]
        empty = np.full((count, *shape), np.nan, np.float16)
        maps[name] = np.stack([arrays.get(name, empty) for arrays, _ in files])
    return {"maps": maps, "present": present, "mask": mask, "participants": [who for who, _ in SESSIONS]}


def test_store_and_volumes_give_the_same_predictions(stored, template):
    labels, table = ["x", "x", "y", "y", "x", "y"], pd.DataFrame({"age": [50.0, 51, 60, 70, np.nan, 65]})
    opened = Cohort.open(stored / "tensors/store", labels=labels, clinical=table)
    made = Cohort.from_arrays(**_as_arrays(stored, template), labels=labels, clinical=table)
    for name in ("late-fusion", "neuromoe-paper"):
        quick = {"epochs": 2, "width": 12} if name == "neuromoe-paper" else {}
        models = [build_model(name, **quick).fit(cohort, np.arange(6)) for cohort in (opened, made)]
        first, second = (
            model.predict_proba(cohort, np.arange(6)) for model, cohort in zip(models, (opened, made), strict=True)
        )
        assert np.array_equal(first, second)
        assert np.allclose(models[0].predict_proba(made, np.arange(6)), first)


def test_maps_in_other_patches_train(stored, template):
    _store(stored, template, patch=2)
    cohort = Cohort.open(stored / "tensors/store", labels=["x", "x", "y", "y", "x", "y"])
    quick = {"epochs": 1, "width": 12, "layers": 1, "folds": 1}
    model = build_model("neuromoe", **quick).fit(cohort, np.arange(6))
    assert np.isfinite(model.history[-1]["train"])


def test_index_tells_rows_and_quality_is_missing_where_absent(stored):
    index = pd.read_csv(stored / "tensors/store/index.tsv", sep="\t", keep_default_na=False)
    assert index["anat"].tolist() == [0, 1, -1, 2, -1, 3]
    assert index["dwi"].tolist() == [0, -1, 1, -1, -1, 2]
    assert index["session_id"].tolist() == ["ses-a", "ses-b", "n/a", "n/a", "n/a", "n/a"]
    assert index["dwi_verdict"].tolist() == ["pass", "missing", "pass", "missing", "missing", "pass"]
    cohort = Cohort.open(stored / "tensors/store")
    assert np.isnan(cohort.quality["dwi"]).all(axis=1).tolist() == (index["dwi"] < 0).tolist()
    assert cohort.quality_names["dwi"][0] == "correct.fd_mean_mm" and cohort.channels["dwi"] == ["fa", "md"]


def test_arrays_are_mapped_not_loaded(stored):
    cohort = Cohort.open(stored / "tensors/store/index.tsv")
    assert all(isinstance(tokens, np.memmap) and tokens.dtype == np.float16 for tokens in cohort.tokens.values())
    assert cohort.tokens["dwi"].shape == (3, len(cohort.places), 2 * 64)


def test_clinical_table_is_laid_beside_by_name(stored):
    rows = [
        "participant_id session_id label site group age",
        "sub-2 n/a n/a A n/a 30",
        "sub-1 n/a x B F1 n/a",
        "sub-1 ses-b y B F1 41",
    ]
    (stored / "clinical.tsv").write_text("\n".join(rows).replace(" ", "\t") + "\n")
    (stored / "clinical.json").write_text(json.dumps({"age": {"type": "numeric"}}))
    cohort = Cohort.open(stored / "tensors/store", clinical=stored / "clinical.tsv")
    assert cohort.labels.tolist() == ["x", "y", None, None, None, None]
    assert cohort.sites.tolist() == ["B", "B", "A", "", "", ""]
    assert cohort.groups.tolist() == ["F1", "F1", "sub-2", "sub-3", "sub-4", "sub-5"]
    assert cohort.clinical["age"].fillna(-1).tolist() == [-1, 41, 30, -1, -1, -1]
    assert cohort.patterns([2, 4]) == ["dwi+func+clinical", "none"]


def test_same_input_same_bytes(stored, template):
    files = sorted((stored / "tensors/store").iterdir())
    before = [path.read_bytes() for path in files]
    _store(stored, template)
    assert [path.read_bytes() for path in files] == before


def test_missing_and_unlike_tensors_are_all_named(stored, template, session):
    pack(
        template=template,
        tensor=stored / "tensors/sub-5.safetensors",
        anat_channels=["GM"],
        **session("sub-5", ("anat",)),
    )
    with pytest.raises(InputError, match="channels of sub-1_ses-a .* 1: sub-5"):
        _store(stored, template)
    for key in ("sub-2", "sub-3"):
        (stored / f"tensors/{key}.safetensors").unlink()
    with pytest.raises(InputError, match="none for 2: sub-2, sub-3"):
        _store(stored, template)
