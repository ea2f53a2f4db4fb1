import json

import numpy as np
import pandas as pd
import pytest

from neuromoe.core.errors import InputError
from neuromoe.model import Cohort, load
from neuromoe.train.fit import fit
from tests.train.conftest import PEOPLE


def _fit(project, fold=0, name="run", **choices):
    arguments = {"kind": "neuromoe-paper", "settings": {"epochs": 2, "width": 6, "folds": 2}, **choices}
    fit(
        store=project / "store/index.tsv",
        clinical=project / "clinical.tsv",
        split=project / "split.json",
        predictions=project / name / f"fold-{fold}_predictions.tsv",
        model=project / name / f"fold-{fold}",
        experiment="made",
        fold=fold,
        **arguments,
    )
    return pd.read_csv(project / name / f"fold-{fold}_predictions.tsv", sep="\t", keep_default_na=False)


def test_test_people_are_predicted_in_all_their_sessions(project):
    tables = [_fit(project, fold, kind="late-fusion", settings={}) for fold in range(3)]
    content = json.loads((project / "split.json").read_text())
    for table, one in zip(tables, content["folds"], strict=True):
        assert sorted(set(table["participant_id"])) == one["test"]
    assert len(pd.concat(tables)) == PEOPLE + 1
    expected = ["repeat", "fold", "participant_id", "session_id", "label", "p_x", "p_y", "p_z"]
    assert list(tables[0]) == [*expected, "gate_anat", "gate_func", "gate_clinical", "pattern"]
    assert np.allclose(tables[0][["p_x", "p_y", "p_z"]].sum(axis=1), 1)


def test_the_saved_model_gives_the_predictions_of_the_table(project):
    table = _fit(project)
    cohort = Cohort.open(project / "store", clinical=project / "clinical.tsv")
    rows = np.flatnonzero(np.isin(cohort.participants, table["participant_id"]))
    again = load(project / "run/fold-0").predict_proba(cohort, rows)
    # The table has nine digits.
    assert np.allclose(table[["p_x", "p_y", "p_z"]], again, atol=1e-8)
    assert table["pattern"].tolist() == cohort.patterns(rows)


def test_same_seed_same_bytes_and_each_fold_its_own(project):
    for name in ("first", "second"):
        _fit(project, name=name)
    for file in ("fold-0_predictions.tsv", "fold-0/model.json", "fold-0/model.safetensors"):
        assert (project / "first" / file).read_bytes() == (project / "second" / file).read_bytes()
    _fit(project, 1, name="first")
    seeds = [json.loads((project / f"first/fold-{fold}/model.json").read_text())["seed"] for fold in (0, 1)]
    assert seeds[0] != seeds[1]


def test_a_changed_split_is_refused(project):
    content = json.loads((project / "split.json").read_text())
    content["folds"][0]["train"].append(content["folds"][0]["test"][0])
    (project / "split.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="hash that does not fit"):
        _fit(project)


def test_relatives_on_both_sides_are_refused(project):
    table = pd.read_csv(project / "clinical.tsv", sep="\t", keep_default_na=False)
    table.assign(group="one family").to_csv(project / "clinical.tsv", sep="\t", index=False)
    with pytest.raises(InputError, match="no groups in both train and val, found one family"):
        _fit(project)


def test_an_unknown_fold_is_named(project):
    with pytest.raises(InputError, match="one of the split's 3 fits"):
        _fit(project, 3)
