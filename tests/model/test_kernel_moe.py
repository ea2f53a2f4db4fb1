from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuromoe.cohort.quality import QualityEncoder
from neuromoe.core.errors import InputError
from neuromoe.model import Cohort, Model, build_model, load
from neuromoe.model.kernel_moe import KernelMoE

MODALITIES = ("anat", "dwi", "func")
# Without the last temperature a fit is six times as fast.
QUICK = {"calibration": 0, "folds": 5}


def _spoilt(rng, people=150, *, telling=True, shift=0.9):
    """Make three modalities with the class in each; of a third of the scans, noise alone is left."""
    labels, spoilt = rng.integers(0, 2, people), rng.random((people, 3)) < 0.33
    maps = {name: rng.normal(size=(people, 1, 8, 8, 8)) for name in MODALITIES}
    quality = {}
    for column, name in enumerate(MODALITIES):
        maps[name][:, 0, :4, :4, :4] += (shift * (2 * labels - 1) * ~spoilt[:, column])[:, None, None, None] / 4
        quality[name] = (telling * spoilt[:, column] * 3 + rng.normal(size=people))[:, None]
        quality[name][rng.random(people) < 0.1] = np.nan
    return Cohort.from_arrays(maps=maps, quality=quality, labels=labels), spoilt


def test_weights_find_the_spoilt_scans(rng):
    from sklearn.metrics import roc_auc_score

    cohort, spoilt = _spoilt(rng)
    model = build_model("kernel-moe", **QUICK).fit(cohort, np.arange(100))
    weights = model.gate(cohort, np.arange(100, 150))
    # Chance is .5 with a standard error of .05 for 50 spoilt among 150 scans.
    assert roc_auc_score(spoilt[100:].ravel(), 1 - weights.ravel()) > 0.65


def test_a_gate_without_information_stays_near_uniform(rng):
    cohort, _ = _spoilt(rng, telling=False)
    model = build_model("kernel-moe", oddness=False, joint=False, **QUICK).fit(cohort, np.arange(100))
    weights = model.gate(cohort, np.arange(100, 150))
    assert weights.std(axis=0).max() < 0.15


def test_the_joint_expert_finds_what_no_modality_shows_alone(rng):
    signs = rng.choice([-1, 1], (240, 2))
    maps = {name: rng.normal(size=(240, 1, 8, 8, 8)) for name in MODALITIES}
    for column, name in enumerate(("anat", "dwi")):
        maps[name][:, 0, :, :, :4] += signs[:, column, None, None, None]
    cohort = Cohort.from_arrays(maps=maps, labels=(signs.prod(axis=1) > 0).astype(int))
    train, test = np.arange(120), np.arange(120, 240)
    models = [build_model("kernel-moe", joint=joint, **QUICK).fit(cohort, train) for joint in (True, False)]
    right = [(model.predict(cohort, test) == cohort.labels[test]).mean() for model in models]
    # Chance is .5 with a standard error of .046.
    assert right[0] > 0.8 and right[1] < 0.64


def test_numbers_of_one_name_share_a_slope_and_missing_ones_are_flagged(rng):
    quality = {"dwi": {"fd": rng.normal(5, 2, 30)}, "func": {"fd": rng.normal(size=30), "snr": rng.normal(size=30)}}
    quality["dwi"]["fd"][0] = np.nan
    encoder = QualityEncoder.fit(quality)
    assert encoder.keys == ("fd", "fd missing", "snr")
    encoded = encoder.encode("dwi", quality["dwi"], 30)
    assert encoded[0].tolist() == [0, 1, 0] and abs(np.median(encoded[1:, 0])) < 1e-9
    assert QualityEncoder.from_facts(encoder.facts()) == encoder


@cache
def _fitted() -> Model:
    cohort, _ = _spoilt(np.random.default_rng(0), 40)
    return build_model("kernel-moe", folds=5, calibration=2).fit(cohort, np.arange(40))


@settings(max_examples=40, deadline=None)
@given(size=st.sampled_from([1e-6, 1.0, 1e6, 1e15]), seed=st.integers(0, 99))
def test_no_map_and_no_quality_number_gives_an_infinite_loss(size, seed):
    rng, model = np.random.default_rng(seed), _fitted()
    maps = {name: size * rng.normal(size=(4, 1, 8, 8, 8)) for name in MODALITIES}
    quality = {name: rng.choice([np.nan, np.inf, 1e30, -1e30], (4, 1)) for name in MODALITIES}
    strange = Cohort.from_arrays(maps=maps, quality=quality)
    probabilities, weights = model.predict_proba(strange, np.arange(4)), model.gate(strange, np.arange(4))
    assert np.isfinite(np.log(probabilities)).all() and np.allclose(probabilities.sum(axis=1), 1)
    assert np.isfinite(weights).all() and np.allclose(weights.sum(axis=1), 1)


def test_settings_are_checked():
    with pytest.raises(InputError, match="pool 'sum'"):
        build_model("kernel-moe", pool="sum")
    with pytest.raises(InputError, match="gate 'scan'"):
        build_model("kernel-moe", gate="scan")
    for wrong in ({"landmarks": 1}, {"exact": 1}, {"calibration": 1}, {"passes": 3}, {"alone": False, "joint": False}):
        with pytest.raises(InputError, match="landmarks from 2"):
            build_model("kernel-moe", **wrong)


def test_few_people_do_not_make_it_sure(made_cohort):
    """The temperature that comes with the gate knows the people that it is fitted on; the last one does not."""
    losses = {5: [], 0: []}
    quick = {"folds": 5, "passes": 1, "rbf": False, "gate": "bias", "pool": "mixture"}
    for seed in range(4):
        cohort, others = (made_cohort(people=people, effect=0.2, side=4) for people in (24, 100))
        for parts, found in losses.items():
            model = build_model("kernel-moe", seed=seed, calibration=parts, **quick).fit(cohort, np.arange(24))
            said = model.predict_proba(others, np.arange(100))
            found.append(-np.log(said[np.arange(100), model._targets(others, np.arange(100))]).mean())
    assert np.mean(losses[5]) < np.mean(losses[0])


def test_of_many_people_some_are_drawn_of_each_class_and_modality(made_cohort):
    cohort = made_cohort(people=120, effect=1.5)
    rare = np.flatnonzero(cohort.labels == cohort.labels[0])[4:]
    train = np.setdiff1d(np.arange(120), rare)
    # Of a modality that few people have, none may be lost.
    with_func = np.concatenate([train[cohort.labels[train] == label][:2] for label in set(cohort.labels)])
    cohort.rows["func"][~np.isin(np.arange(120), with_func)] = -1
    model = build_model("kernel-moe", exact=60, landmarks=60, folds=5, calibration=2).fit(cohort, train)
    assert len(np.unique(model.marks)) == 60 and len(train) > 60
    owners = {name: expert.owners for expert in model.experts for name in expert.weights if len(expert.weights) == 1}
    there = cohort.present(with_func, ["func"])[:, 0].sum()
    assert len(owners["func"]) == there
    for name, mine in owners.items():
        drawn = train[model.marks[mine]]
        assert cohort.present(drawn, [name]).all() and set(cohort.labels[drawn]) == set(cohort.labels)
    rows, _ = model.held_out_
    assert sorted(rows) == sorted(train)
    has_scan = np.flatnonzero(cohort.present(train, ["dwi"])[:, 0])
    assert (model.predict(cohort, train[has_scan]) == cohort.labels[train[has_scan]]).mean() > 0.6


def test_who_is_of_a_family_that_was_drawn_is_not_said_to_be_held_out(made_cohort):
    said = []

    class Watched(KernelMoE):
        def _fit(self, cohort, train, val):
            self.fitted_on = train
            super()._fit(cohort, train, val)

        def predict_proba(self, cohort, positions):
            said.append((self.fitted_on, positions))
            return super().predict_proba(cohort, positions)

    cohort = made_cohort(people=90, effect=1.5, side=8)
    cohort.groups[:] = np.arange(90) // 3
    model = Watched(exact=40, landmarks=40, folds=2, calibration=2, rbf=False).fit(cohort, np.arange(90))
    rows, _ = model.held_out_
    assert len(model.marks) == 40 and sorted(rows) == list(range(90))
    assert sorted(np.concatenate([outside for _, outside in said])) == list(range(90))
    for inside, outside in said:
        assert not set(cohort.groups[inside]) & set(cohort.groups[outside])
    # Families are drawn whole, but for the one at which the number is reached.
    drawn = np.unique(cohort.groups[model.marks], return_counts=True)[1]
    assert (drawn < 3).sum() <= 1


def test_landmarks_predict_about_what_all_people_do(made_cohort, tmp_path):
    cohort, others = made_cohort(people=120, effect=0.5, side=8), made_cohort(people=100, effect=0.5, side=8)
    exact, drawn = (
        build_model("kernel-moe", exact=few, landmarks=60, **QUICK).fit(cohort, np.arange(120)) for few in (120, 80)
    )
    assert len(exact.marks) == 120 and len(drawn.marks) == 60
    said = [model.predict_proba(others, np.arange(100)) for model in (exact, drawn)]
    assert np.corrcoef(said[0].ravel(), said[1].ravel())[0, 1] > 0.9
    drawn.save(tmp_path)
    assert np.array_equal(load(tmp_path).predict_proba(others, np.arange(100)), said[1])
    assert np.array_equal(load(tmp_path).gate(others, np.arange(100)), drawn.gate(others, np.arange(100)))


def _told_by_a_column(rng, people, *, telling, shift):
    """Make two modalities of which one shows the class of a person; the column of an age tells which, or not."""
    import pandas as pd

    labels, second = rng.integers(0, 2, people), rng.integers(0, 2, people)
    maps = {name: rng.normal(size=(people, 1, 4, 4, 4)) for name in ("anat", "dwi")}
    for column, name in enumerate(maps):
        maps[name] += (shift * (2 * labels - 1) * (second == column))[:, None, None, None, None]
    table = pd.DataFrame({"age": 20.0 * telling * second + rng.normal(60, 3, people), "x": rng.normal(size=people)})
    return Cohort.from_arrays(maps=maps, labels=labels, clinical=table), second


def test_the_gate_asks_the_column_that_tells_which_modality_shows_the_class(rng):
    cohort, second = _told_by_a_column(rng, 250, telling=True, shift=0.3)
    model = build_model("kernel-moe", **QUICK).fit(cohort, np.arange(150))
    assert model.gates_[0]["kind"] in ("clinical", "both")
    new = np.arange(150, 250)
    weights = model.gate(cohort, new)[:, :2]
    assert (weights.argmax(axis=1) == second[new]).mean() > 0.8


def test_where_no_column_tells_a_choice_of_gates_costs_little(rng):
    worse = []
    for _ in range(3):
        cohort, _ = _told_by_a_column(rng, 200, telling=False, shift=0.2)
        train, new = np.arange(80), np.arange(80, 200)
        losses = []
        for gate in ("best", "uniform"):
            said = build_model("kernel-moe", gate=gate, **QUICK).fit(cohort, train).predict_proba(cohort, new)
            losses.append(-np.log(said[np.arange(len(new)), cohort.labels[new].astype(int)]).mean())
        worse.append(losses[0] - losses[1])
    assert np.mean(worse) < 0.05


@pytest.mark.parametrize("gate", ["clinical", "quality", "both"])
def test_a_gate_on_what_is_not_there_weighs_by_what_is(rng, gate):
    maps = {name: rng.normal(size=(30, 1, 4, 4, 4)) for name in ("anat", "dwi")}
    cohort = Cohort.from_arrays(maps=maps, labels=np.arange(30) % 2)
    for oddness in (False, True):
        model = build_model("kernel-moe", gate=gate, oddness=oddness, rbf=False, **QUICK).fit(cohort, np.arange(30))
        assert model.gates_[0]["kind"] == ("quality" if oddness and gate != "clinical" else "bias")
        assert np.allclose(model.gate(cohort, np.arange(30)).sum(axis=1), 1)
