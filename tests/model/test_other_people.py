"""People who lack what the training people had: models must go on, and must not become too sure."""

import numpy as np
import pandas as pd
import pytest

from neuromoe.core.errors import InputError
from neuromoe.model import Cohort, build_model, load

QUICK = {"epochs": 2, "width": 12, "layers": 1, "folds": 2}
KERNELS = {"calibration": 0, "folds": 5}
MODELS = {
    "kernel-moe": KERNELS,
    "early-fusion": KERNELS,
    "late-fusion": {},
    "neuromoe": QUICK,
    "neuromoe-paper": QUICK,
    "neuromoe-auto": {
        "candidates": "kernel-moe, late-fusion",
        "folds": 2,
        "candidate_settings": {"kernel-moe": {"folds": 5, "calibration": 2}},
    },
}


def _people(seed=0, people=40, *, effect=0.3, **choices):
    rng = np.random.default_rng(seed)
    labels = np.arange(people) % 2
    maps = {name: rng.normal(size=(people, 1, 8, 8, 8)) for name in ("anat", "dwi", "func")}
    for volume in maps.values():
        volume[labels == 1, 0, :4] += effect
    quality = {"anat": rng.normal(size=(people, 2))}
    table = pd.DataFrame({"age": rng.normal(60, 9, people), "score": rng.normal(size=people)})
    return Cohort.from_arrays(**{"maps": maps, "quality": quality, "clinical": table, "labels": labels} | choices)


@pytest.mark.parametrize("name", MODELS)
def test_a_cohort_without_clinical_data_or_quality_numbers_is_predicted(name):
    model = build_model(name, **MODELS[name]).fit(_people(), np.arange(40))
    empty = pd.DataFrame({"age": np.full(40, np.nan), "score": np.full(40, np.nan)})
    for lacking in (
        {"clinical": None},
        {"clinical": empty},
        {"quality": {}},
        {"quality": {"anat": np.full((40, 2), np.nan)}},
    ):
        other = _people(1, **lacking)
        probabilities, weights = model.predict_proba(other, np.arange(40)), model.gate(other, np.arange(40))
        assert np.isfinite(np.log(probabilities)).all() and np.allclose(weights.sum(axis=1), 1)


@pytest.mark.parametrize("name", MODELS)
def test_six_people_of_whom_one_has_nothing_are_enough_to_go_on(name):
    there = {key: np.arange(6) != 2 for key in ("anat", "dwi", "func")}
    cohort = _people(4, people=6, present=there, clinical=None)
    model = build_model(name, **MODELS[name]).fit(cohort, np.arange(6))
    assert np.allclose(model.predict_proba(cohort, [2]), 0.5)
    assert (model.gate(cohort, [2]) == 0).all()


@pytest.mark.parametrize("name", ["kernel-moe", "neuromoe"])
def test_quality_numbers_are_known_by_their_names(name, tmp_path):
    def renamed(order):
        cohort = _people(2)
        cohort.quality["anat"] = cohort.quality["anat"][:, order]
        cohort.quality_names["anat"] = [["fd", "snr"][place] for place in order]
        return cohort

    model = build_model(name, **MODELS[name]).fit(renamed([0, 1]), np.arange(40))
    assert np.allclose(model.gate(renamed([0, 1]), np.arange(40)), model.gate(renamed([1, 0]), np.arange(40)))


@pytest.mark.parametrize("name", MODELS)
def test_patches_in_other_places_are_refused(name):
    masks = [np.ones((8, 8, 8), bool) for _ in range(2)]
    masks[0][4:, 4:, 4:], masks[1][:4, 4:, 4:] = False, False
    model = build_model(name, **MODELS[name]).fit(_people(mask=masks[0]), np.arange(40))
    with pytest.raises(InputError, match="other places"):
        model.predict_proba(_people(mask=masks[1]), np.arange(40))


@pytest.mark.parametrize("name", ["kernel-moe", "late-fusion", "neuromoe", "neuromoe-auto"])
def test_who_has_little_is_not_told_too_much(name):
    """Clear scans make the mean of experts far too unsure; clinical data that say nothing must not pay for that."""
    # The last temperature is what it is about.
    settings = {"folds": 5, "calibration": 2} if name == "kernel-moe" else MODELS[name]
    model = build_model(name, **settings).fit(_people(people=110), np.arange(110))
    nothing = {key: np.zeros(200, bool) for key in ("anat", "dwi", "func")}
    other = _people(3, people=200, present=nothing)
    losses = -np.log(model.predict_proba(other, np.arange(200))[np.arange(200), np.arange(200) % 2])
    # A guess loses .69; one temperature for all made it 1.
    assert losses.mean() < 0.85


@pytest.mark.parametrize("name", MODELS)
def test_a_map_of_another_size_does_no_more_than_harm(name):
    cohort = _people()
    cohort.tokens["anat"][3] *= np.float32(1e20)
    with np.errstate(over="ignore"):
        model = build_model(name, **MODELS[name]).fit(cohort, np.arange(40))
        assert np.isfinite(np.log(model.predict_proba(cohort, np.arange(40)))).all()


@pytest.mark.parametrize("name", MODELS)
def test_modalities_may_be_named_as_methods_of_torch(name, tmp_path):
    maps = {own: np.random.default_rng(5).normal(size=(40, 1, 8, 8, 8)) for own in ("type", "values", "to")}
    cohort = _people(5, maps=maps, quality={})
    model = build_model(name, **MODELS[name]).fit(cohort, np.arange(40))
    model.save(tmp_path)
    said = model.predict_proba(cohort, np.arange(40))
    assert np.array_equal(load(tmp_path).predict_proba(cohort, np.arange(40)), said)


@pytest.mark.parametrize("name", MODELS)
def test_a_clinical_column_that_the_model_does_not_know_says_nothing(name):
    model = build_model(name, **MODELS[name]).fit(_people(6), np.arange(28))
    told = {"age": [np.nan] * 2, "score": [np.nan] * 2}
    strangers = [Cohort.from_arrays(maps={}, clinical=pd.DataFrame(told | more)) for more in ({}, {"site": ["a", "b"]})]
    assert np.array_equal(*(model.predict_proba(cohort, [0, 1]) for cohort in strangers))
    assert (model.gate(strangers[1], [0, 1]) == 0).all()
