"""Scans far from all others: they must neither break a model nor rule what it says."""

import numpy as np
import pandas as pd
import pytest

from neuromoe.cohort.clinical import ClinicalEncoder
from neuromoe.cohort.tables import typed_clinical
from neuromoe.core.errors import InputError
from neuromoe.model import Cohort, available, build_model
from neuromoe.model.shared.maps import Frame, Read, pull

SMALL = {"epochs": 2, "width": 12, "layers": 1, "folds": 2}
QUICK = {"calibration": 0, "folds": 5}
SETTINGS = {
    "kernel-moe": QUICK,
    "early-fusion": QUICK,
    "neuromoe": SMALL,
    "neuromoe-paper": SMALL,
    "neuromoe-auto": {
        "candidates": "kernel-moe, late-fusion",
        "folds": 2,
        "candidate_settings": {"kernel-moe": {"folds": 5, "calibration": 2}},
    },
}
TRAIN, NEW = np.arange(60), np.arange(60, 120)


def _cohort(change=None, rows=(), effect=0.5):
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 2
    maps = {name: rng.normal(size=(120, 1, 8, 8, 8)).astype(np.float32) for name in ("anat", "func")}
    for volume in maps.values():
        volume[labels == 1, 0, :4] += effect
    for row in rows:
        maps["anat"][row] = change(maps["anat"][row])
    return Cohort.from_arrays(maps=maps, clinical=pd.DataFrame({"age": rng.normal(60, 9, 120)}), labels=labels)


def _loss(model, cohort, rows=NEW):
    return -np.log(model.predict_proba(cohort, rows)[np.arange(len(rows)), cohort.labels[rows].astype(int)]).mean()


@pytest.mark.parametrize("name", available())
def test_a_huge_map_leaves_predictions_finite(name):
    model = build_model(name, **SETTINGS.get(name, {})).fit(_cohort(), TRAIN)
    for factor in (1e5, 1e20, 1e30):
        spoilt = _cohort(lambda one, by=factor: one * np.float32(by), NEW)
        assert np.isfinite(model.predict_proba(spoilt, NEW)).all()
        assert np.allclose(model.gate(spoilt, NEW).sum(axis=1), name != "majority")


@pytest.mark.parametrize("name", ["kernel-moe", "early-fusion", "late-fusion"])
def test_noise_in_a_scan_makes_no_model_sure(name):
    model = build_model(name, **SETTINGS.get(name, {})).fit(_cohort(), TRAIN)
    rng = np.random.default_rng(5)
    spoilt = _cohort(lambda one: one + 20 * rng.normal(size=one.shape).astype(np.float32), NEW)
    assert _loss(model, _cohort()) < _loss(model, spoilt) < 1.0


@pytest.mark.parametrize("name", ["kernel-moe", "late-fusion"])
def test_one_spoilt_scan_among_the_training_people_does_not_take_the_modality_from_all(name):
    settings = SETTINGS.get(name, {})
    clean = build_model(name, **settings).fit(_cohort(), TRAIN)
    for factor in (1e3, 1e10, 1e20):
        model = build_model(name, **settings).fit(_cohort(lambda one, by=factor: one * np.float32(by), [7]), TRAIN)
        assert _loss(model, _cohort()) < _loss(clean, _cohort()) + 0.1


def test_where_maps_lie_does_not_hang_on_their_unit(rng):
    maps = rng.normal(3, 1, (9, 40)).astype(np.float32)
    reads = [Read(lambda rows, by=by: maps[rows] * np.float32(by), (2, 2, 10)) for by in (1, 1e-25)]
    one, other = (Frame.fit(read, 9) for read in reads)
    by_channel = maps.reshape(9, 2, 2, 10).transpose(2, 0, 1, 3).reshape(2, 9, 20)
    expected = (by_channel - one.mean[:, None]) / one.scale[:, None, None]
    assert np.allclose(one.scaled(reads[0], np.arange(9)), expected, atol=1e-6)
    assert np.allclose(other.scaled(reads[1], np.arange(9)), expected, atol=1e-5)
    assert np.allclose(other.scale, one.scale * 1e-25) and np.allclose(other.mean, one.mean * 1e-25, atol=1e-30)


def test_a_map_of_zeros_stays_one_and_others_are_pulled_to_the_limit():
    maps = np.array([[[0.0, 0.0], [3.0, 4.0], [30.0, 40.0]]], np.float32)
    for limit, expected in ((10.0, [0, 5, 10]), (np.inf, [0, 5, 50]), (0.0, [0, 0, 0])):
        assert np.allclose(np.linalg.norm(pull(maps, np.array([limit]))[0], axis=1), expected)


# Torch warns of a layer without inputs.
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("name", available())
def test_with_nothing_to_read_everybody_gets_the_class_frequencies(name):
    cohort = Cohort.from_arrays(maps={}, labels=["a", "b", "b", "b"] * 4)
    model = build_model(name, **SETTINGS.get(name, {})).fit(cohort, np.arange(16))
    assert np.allclose(model.predict_proba(cohort, [3]), [0.25, 0.75])


def test_a_column_in_which_nobody_differed_says_nothing_of_others():
    table = pd.DataFrame({"same": [5.0] * 4, "unknown": [np.nan] * 4, "age": [1.0, 2, 3, 4]})
    encoder = ClinicalEncoder.fit(table, dict.fromkeys(table, {"type": "numeric"}))
    other = encoder.encode(pd.DataFrame({"same": [50.0], "unknown": [7.0], "age": [2.5]}), 1)
    assert encoder.features == ["same", "unknown", "age"] and other.tolist() == [[0, 0, 0]]


def test_values_beyond_all_measure_keep_the_encoder_finite():
    table = pd.DataFrame({"x": [1e300, -1e300, 1.0, 2.0]})
    encoder = ClinicalEncoder.fit(table, {"x": {"type": "numeric"}})
    assert np.isfinite(encoder.encode(table, 4)).all() and np.isfinite(encoder.columns[0].scale)


def test_missing_written_as_text_is_missing_and_other_text_among_numbers_an_error():
    column = pd.Series([40.0, "n/a", 60.0, 80.0], dtype=object)
    cohort = Cohort.from_arrays(maps={}, labels=[0, 1, 0, 1], clinical=pd.DataFrame({"age": column}))
    assert cohort.clinical_types == {"age": {"type": "numeric"}}
    assert cohort.present([1])[0].tolist() == [False]
    twice = pd.DataFrame([["a", "n/a", 1.0], ["b", "c", 2.0]], columns=["note", "note", "age"])
    assert typed_clinical(twice, cohort.clinical_types)[0]["age"].tolist() == [1, 2]
    with pytest.raises(InputError, match="clinical column age"):
        ClinicalEncoder.fit(pd.DataFrame({"age": ["forty"]}), {"age": {"type": "numeric"}})


@pytest.mark.parametrize("label", [b"PD", np.inf, ("PD", 1), pd.Timestamp("2020-01-01")])
def test_labels_that_cannot_be_saved_are_refused(label):
    labels = np.empty(4, object)
    labels[:] = [label, "HC", "HC", "HC"]
    with pytest.raises(InputError, match="labels"):
        Cohort.from_arrays(maps={}, labels=labels)


def test_a_model_that_is_not_fitted_says_so_when_saved(tmp_path):
    with pytest.raises(RuntimeError, match="not fitted"):
        build_model("late-fusion").save(tmp_path / "model")
