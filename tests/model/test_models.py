"""What holds for every model of the registry."""

import json
import pickle
import re

import numpy as np
import pytest

from neuromoe.core.errors import InputError
from neuromoe.model import Cohort, available, build_model, load

SMALL = {"epochs": 2, "width": 12, "layers": 1, "folds": 2}
QUICK = {
    "kernel-moe": {"folds": 2, "calibration": 2},
    "neuromoe": SMALL,
    "neuromoe-auto": {
        "candidates": "kernel-moe, late-fusion, clinical-logistic, neuromoe",
        "folds": 2,
        "candidate_settings": {"kernel-moe": {"folds": 2, "calibration": 2}, "neuromoe": SMALL | {"gate": "bias"}},
    },
    "neuromoe-paper": SMALL,
}
every_model = pytest.mark.parametrize("name", available())


def _quick(name, seed=0):
    return build_model(name, seed=seed, **QUICK.get(name, {}))


@every_model
def test_probabilities_and_weights_are_as_promised(name, made_cohort):
    cohort = made_cohort()
    model, test = _quick(name).fit(cohort, np.arange(24)), np.arange(24, 36)
    probabilities, weights = model.predict_proba(cohort, test), model.gate(cohort, test)
    assert model.classes_.tolist() == ["ataxia", "control", "tremor"]
    assert model.modalities_ == ("anat", "dwi", "func", "clinical")
    assert probabilities.shape == (12, 3) and weights.shape == (12, 4)
    assert np.allclose(probabilities.sum(axis=1), 1) and (probabilities >= 0).all()
    assert (weights[~cohort.present(test)] == 0).all()
    assert np.isclose(weights.sum(axis=1), 0 if name == "majority" else 1).all()
    assert model.predict_proba(cohort, []).shape == (0, 3)


@every_model
def test_no_class_is_impossible_however_far_a_person_is_from_the_training_people(name, made_cohort):
    train, strange = made_cohort(missing_rate=0.0), made_cohort(missing_rate=0.0)
    model = _quick(name).fit(train, np.arange(36))
    strange.tokens["dwi"][:] *= 1e12
    assert np.isfinite(np.log(model.predict_proba(strange, np.arange(36)))).all()


@every_model
def test_a_saved_model_predicts_the_same(name, made_cohort, tmp_path):
    cohort = made_cohort()
    model = _quick(name).fit(cohort, np.arange(24))
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    everybody = np.arange(len(cohort))
    assert np.array_equal(again.predict_proba(cohort, everybody), model.predict_proba(cohort, everybody))
    assert np.array_equal(again.gate(cohort, everybody), model.gate(cohort, everybody))
    assert again.classes_.tolist() == model.classes_.tolist() and again.settings == model.settings


@every_model
def test_same_seed_same_bytes(name, made_cohort, tmp_path):
    cohort = made_cohort()
    for run in ("first", "second"):
        _quick(name, seed=7).fit(cohort, np.arange(24)).save(tmp_path / run)
    for file in ("model.json", "model.safetensors"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


@every_model
def test_who_has_nothing_gets_the_class_prior(name, made_cohort, rng):
    cohort = made_cohort(clinical=False)
    train = np.flatnonzero(cohort.labels != "tremor")
    train = np.concatenate([train, np.flatnonzero(cohort.labels == "tremor")[:3]])
    model = _quick(name).fit(cohort, train)
    nobody = Cohort.from_arrays(
        maps={"anat": np.full((1, 2, 12, 12, 12), np.nan)}, present={"anat": [False]}, participants=["x"]
    )
    shares = [np.mean(cohort.labels[train] == label) for label in model.classes_]
    assert np.allclose(model.predict_proba(nobody, [0]), [shares])
    assert model.gate(nobody, [0]).tolist() == [[0, 0, 0]]


@every_model
def test_training_people_must_be_labeled_and_apart_from_validation(name, made_cohort):
    cohort = made_cohort()
    cohort.labels[5] = None
    with pytest.raises(InputError, match="none for 5"):
        _quick(name).fit(cohort, np.arange(24))
    with pytest.raises(InputError, match="4 in both"):
        _quick(name).fit(cohort, [0, 1, 2, 3, 4], [4, 6, 7])
    with pytest.raises(InputError, match="at least two classes"):
        _quick(name).fit(cohort, [0, 3, 6])
    with pytest.raises(InputError, match="integer positions"):
        _quick(name).fit(cohort, np.ones(36, bool))
    with pytest.raises(RuntimeError, match="not fitted"):
        _quick(name).predict_proba(cohort, [0])


@pytest.mark.parametrize("name", ["kernel-moe", "late-fusion", "neuromoe", "neuromoe-paper"])
def test_another_grid_is_refused(name, made_cohort):
    model = _quick(name).fit(made_cohort(), np.arange(24))
    with pytest.raises(InputError, match="the cohort"):
        model.predict_proba(made_cohort(side=8, where="none"), np.arange(12))


def test_misspelt_names_are_answered_with_the_nearest():
    with pytest.raises(InputError, match="write neuromoe-paper"):
        build_model("neuromoe-papr")
    with pytest.raises(InputError, match="write epochs"):
        build_model("neuromoe-paper", epoch=3)
    with pytest.raises(InputError, match="expected int, as 40, found '30'"):
        build_model("neuromoe-paper", epochs="30")


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        ("neuromoe", "dropout", 1.0),
        ("neuromoe", "heads", 0),
        ("neuromoe", "slope_prior", 0.0),
        ("neuromoe-paper", "epochs", 0),
        ("neuromoe-paper", "learning_rate", float("nan")),
        ("neuromoe-paper", "balance", -0.1),
        ("neuromoe", "device", "gpu"),
        ("neuromoe", "precision", "float16"),
        ("neuromoe", "loggers", "csv, tensorbord"),
    ],
)
def test_a_setting_out_of_range_is_named(name, setting, value):
    with pytest.raises(InputError, match=f"the setting {setting} of {name}: expected a .*, found {value!r}"):
        build_model(name, **{setting: value})


@pytest.mark.parametrize("seed", [None, -1, 1.5, 2**32])
def test_a_seed_is_a_whole_number_that_generators_take(seed):
    with pytest.raises(InputError, match=re.escape(f"found {seed!r}")):
        build_model("majority", seed=seed)


def test_the_clinical_table_is_learned_from(made_cohort):
    cohort = made_cohort(people=90, where="clinical", effect=1.5)
    model = build_model("clinical-logistic").fit(cohort, np.arange(60))
    test = np.arange(60, 90)
    assert (model.predict(cohort, test) == cohort.labels[test]).mean() > 0.6


def test_late_fusion_finds_an_effect_in_one_modality(made_cohort):
    cohort, others = made_cohort(people=60, effect=0.5), made_cohort(people=90, effect=0.5)
    model = build_model("late-fusion").fit(cohort, np.arange(60))
    has_it = np.flatnonzero(others.present(np.arange(90), ["dwi"])[:, 0])
    # Chance is 1/3; 3 standard errors of 72 people are .17.
    assert (model.predict(others, has_it) == others.labels[has_it]).mean() > 0.6


def test_a_model_of_another_version_says_so(made_cohort, tmp_path):
    _quick("kernel-moe").fit(made_cohort(), np.arange(24)).save(tmp_path / "model")
    facts = json.loads((tmp_path / "model" / "model.json").read_text())
    del facts["fitted"]["layout"]
    (tmp_path / "model" / "model.json").write_text(json.dumps(facts))
    with pytest.raises(InputError, match="fit the model again"):
        load(tmp_path / "model")


@every_model
def test_a_fitted_model_can_be_sent_to_another_process(name, made_cohort):
    cohort = made_cohort()
    model = _quick(name).fit(cohort, np.arange(24))
    sent = pickle.loads(pickle.dumps(model))  # noqa: S301
    assert np.array_equal(sent.predict_proba(cohort, np.arange(36)), model.predict_proba(cohort, np.arange(36)))


@every_model
def test_a_fit_that_fails_leaves_no_model(name, made_cohort, monkeypatch):
    cohort = made_cohort()
    model = _quick(name).fit(cohort, np.arange(24))
    monkeypatch.setattr(model, "_fit", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.fit(cohort, np.arange(24))
    with pytest.raises(RuntimeError, match="not fitted"):
        model.predict_proba(cohort, [0])


def test_a_model_is_saved_beside_what_is_there_and_in_no_file(made_cohort, tmp_path):
    cohort = made_cohort()
    (tmp_path / "notes.txt").write_text("mine")
    for seed in (0, 1):
        _quick("majority", seed).fit(cohort, np.arange(24)).save(tmp_path)
    assert load(tmp_path).seed == 1 and (tmp_path / "notes.txt").read_text() == "mine"
    with pytest.raises(InputError, match="a folder, found a file"):
        _quick("majority").fit(cohort, np.arange(24)).save(tmp_path / "notes.txt")


@pytest.mark.parametrize("damage", [{"model": None}, {"seed": None, "model": "majority"}])
def test_a_damaged_description_is_refused(damage, tmp_path):
    (tmp_path / "model.json").write_text(json.dumps(damage))
    with pytest.raises(InputError, match="the description of a model"):
        load(tmp_path)


def test_a_family_on_both_sides_is_refused(made_cohort):
    cohort = made_cohort()
    cohort.groups[[0, 8]] = "z"
    with pytest.raises(InputError, match="z in both"):
        _quick("majority").fit(cohort, np.arange(6), np.arange(6, 12))
