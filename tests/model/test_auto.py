"""Choosing between models by people held out."""

import numpy as np
import pytest

from neuromoe.core.errors import InputError
from neuromoe.model import Model, build_model, load
from neuromoe.model.auto import weigh
from neuromoe.model.shared.held_out import held_out_log_proba

QUICK = {"epochs": 3, "width": 12, "layers": 1, "folds": 2}
KERNELS = {"folds": 5, "calibration": 2}
FEW = "late-fusion, clinical-logistic, majority"


def test_the_model_that_finds_the_effect_is_chosen(made_cohort):
    for where, expected in (("dwi", "late-fusion"), ("clinical", "clinical-logistic")):
        cohort = made_cohort(people=60, effect=1.0, where=where)
        model = build_model("neuromoe-auto", candidates=FEW).fit(cohort, np.arange(60))
        weights = {row["candidate"]: row["weight"] for row in model.choice_}
        assert weights[expected] == max(weights[name] for name in FEW.split(", "))


def test_labels_of_people_outside_the_training_have_no_part_in_the_choice(made_cohort):
    cohort = made_cohort(people=60)
    first = build_model("neuromoe-auto", candidates=FEW).fit(cohort, np.arange(30))
    cohort.labels[30:] = cohort.labels[30:][::-1]
    second = build_model("neuromoe-auto", candidates=FEW).fit(cohort, np.arange(30))
    assert first.choice_ == second.choice_


def test_few_people_make_a_mean_and_many_a_choice():
    losses = np.array([0.50, 0.55, 0.80])
    few, many = weigh(losses, 10), weigh(losses, 2000)
    assert few[0] > few[1] > few[2] > 0 and few[1] > 0.3
    assert many.tolist() == [1.0, 0.0, 0.0]
    assert few.sum() == pytest.approx(1)


def test_the_gate_is_that_of_what_was_chosen(made_cohort):
    cohort = made_cohort(people=60, effect=1.5)
    own = {"candidates": "kernel-moe", "candidate_settings": {"kernel-moe": KERNELS}}
    auto = build_model("neuromoe-auto", **own).fit(cohort, np.arange(60))
    alone = build_model("kernel-moe", **KERNELS).fit(cohort, np.arange(60))
    assert np.allclose(auto.gate(cohort, np.arange(60)), alone.gate(cohort, np.arange(60)))
    assert np.allclose(auto.predict_proba(cohort, np.arange(60)), alone.predict_proba(cohort, np.arange(60)))


@pytest.mark.parametrize("name", ["kernel-moe", "early-fusion", "neuromoe"])
def test_what_candidates_say_of_people_held_out_does_not_flatter_them(name, made_cohort):
    """Where nothing can be learned from few people, they must not seem to have learned it."""
    losses = []
    for seed in range(4):
        cohort = made_cohort(people=24, effect=0.0, side=8, where="none")
        settings = QUICK if name == "neuromoe" else {"folds": 5}
        model = build_model(name, seed=seed, **settings).fit(cohort, np.arange(24))
        said_NK = held_out_log_proba(model, cohort, np.arange(24), folds=5)
        losses.append(-said_NK[np.arange(24), model._targets(cohort, np.arange(24))].mean())
    # A guess loses log 3 = 1.1; a gate that was fitted on the people it is judged on makes it .9 and less.
    assert np.mean(losses) > np.log(3) - 0.03


def test_a_modality_that_three_people_have_does_no_harm(made_cohort):
    """In a part of late fusion's own, a single person is left of it, of whom nothing can be learned."""
    cohort = made_cohort(people=24, missing_rate=0.0)
    cohort.rows["func"][3:] = -1
    auto = build_model("neuromoe-auto", candidates=f"kernel-moe, {FEW}").fit(cohort, np.arange(24))
    assert np.isfinite(auto.predict_proba(cohort, np.arange(24))).all()
    assert all(np.isfinite(row["held_out_nll"]) for row in auto.choice_)


def test_a_candidate_that_was_lent_is_the_one_that_would_have_been_fitted(made_cohort, monkeypatch):
    cohort, rows, fitted = made_cohort(people=30, side=8), np.arange(30), []
    own = {"neuromoe": QUICK, "late-fusion": {}}
    choices = {"candidates": ", ".join([*own, "majority"]), "candidate_settings": own}
    lent = {name: build_model(name, seed=4, **settings).fit(cohort, rows) for name, settings in own.items()}
    before = Model.fit
    monkeypatch.setattr(
        Model, "fit", lambda self, *given: (fitted.append((self.name, len(given[1]))), before(self, *given))[1]
    )
    alone, auto = (build_model("neuromoe-auto", seed=4, **choices) for _ in range(2))
    auto.lent = lent
    said = []
    for model, expected in ((alone, {"neuromoe", "late-fusion", "majority"}), (auto, {"majority"})):
        fitted.clear()
        said.append(model.fit(cohort, rows).predict_proba(cohort, rows))
        assert {name for name, people in fitted if people == 30} - {"neuromoe-auto"} == expected
    assert np.array_equal(*said) and alone.choice_ == auto.choice_


@pytest.mark.parametrize("other", [{"seed": 5}, {"epochs": 2}])
def test_a_model_of_other_settings_or_seed_is_fitted_anew(other, made_cohort):
    cohort, rows = made_cohort(people=30, side=8, where="anat"), np.arange(30)
    strange = build_model("neuromoe", **{"seed": 4, **QUICK, **other}).fit(cohort, rows)
    choices = {"candidates": "neuromoe", "candidate_settings": {"neuromoe": QUICK}}
    alone, auto = (build_model("neuromoe-auto", seed=4, **choices) for _ in range(2))
    auto.lent = {"neuromoe": strange}
    said = [model.fit(cohort, rows).predict_proba(cohort, rows) for model in (alone, auto)]
    assert np.array_equal(*said) and auto.candidates["neuromoe"] is not strange
    assert not np.allclose(said[0], strange.predict_proba(cohort, rows), atol=1e-4)


def test_a_model_that_was_saved_may_be_lent(made_cohort, tmp_path):
    cohort, rows = made_cohort(people=30, side=8), np.arange(30)
    build_model("neuromoe", seed=4, **QUICK).fit(cohort, rows).save(tmp_path)
    choices = {"candidates": "neuromoe, majority", "candidate_settings": {"neuromoe": QUICK}}
    alone, auto = (build_model("neuromoe-auto", seed=4, **choices) for _ in range(2))
    auto.lent = {"neuromoe": load(tmp_path)}
    said = [model.fit(cohort, rows).predict_proba(cohort, rows) for model in (alone, auto)]
    assert np.array_equal(*said) and alone.choice_ == auto.choice_


def test_it_is_no_candidate_of_itself():
    with pytest.raises(InputError, match="names of other models"):
        build_model("neuromoe-auto", candidates="neuromoe-auto")


def test_settings_reach_a_candidate_and_no_other_model(made_cohort):
    cohort = made_cohort(people=30)
    choices = {
        "candidates": "kernel-moe",
        "candidate_settings": {"kernel-moe": {"passes": 1, "folds": 5, "calibration": 2}},
    }
    auto = build_model("neuromoe-auto", **choices).fit(cohort, np.arange(30))
    assert auto.candidates["kernel-moe"].settings.passes == 1
    with pytest.raises(InputError, match="of candidates alone"):
        build_model("neuromoe-auto", candidate_settings={"neuromoe-paper": {"epochs": 2}})
