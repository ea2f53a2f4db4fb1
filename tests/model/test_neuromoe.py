"""The mixture of transformer experts beside linear ones."""

import json
from dataclasses import asdict
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pandas as pd
import pytest
import torch

from neuromoe.cohort.clinical import ClinicalEncoder
from neuromoe.cohort.inner import inner_parts
from neuromoe.core.errors import InputError
from neuromoe.model import Cohort, build_model, load
from neuromoe.model.kernels.linear_experts import trust_of
from neuromoe.model.networks.reader import near_tokens
from neuromoe.model.networks.settings import GATES, PaperSettings
from neuromoe.model.shared.maps import Frame, reader_of

QUICK = {"epochs": 3, "width": 12, "layers": 1, "folds": 2}
# No linear experts, and no choice of gates: what is left are the networks.
ALONE = QUICK | {"linear": False, "gate": "bias"}


def _accuracy(model, cohort, rows):
    return (model.predict(cohort, rows) == cohort.labels[rows]).mean()


def _loss(model, cohort, rows, said=None):
    said = model.predict_proba(cohort, rows) if said is None else said
    return -np.log(said[np.arange(len(rows)), model._targets(cohort, rows)]).mean()


def test_a_planted_effect_is_found_in_other_people(made_cohort):
    cohort, others = made_cohort(people=60, effect=0.5), made_cohort(people=90, effect=0.5)
    model = build_model("neuromoe", seed=1, **QUICK).fit(cohort, np.arange(60))
    has_it = np.flatnonzero(others.present(np.arange(90), ["dwi"])[:, 0])
    # Chance is 1/3; 3 standard errors of 72 people are .17.
    assert _accuracy(model, others, has_it) > 0.6


def test_without_the_linear_part_the_transformers_learn_by_themselves(made_cohort):
    cohort, others = (made_cohort(people=people, effect=1.5, side=8, where="anat") for people in (36, 90))
    model = build_model("neuromoe", seed=1, **ALONE | {"epochs": 20, "learning_rate": 3e-3}).fit(cohort, np.arange(36))
    has_it = np.flatnonzero(others.present(np.arange(90), ["anat"])[:, 0])
    assert not model.linear and set(model.share_.values()) == {1.0}
    # Two of the three classes are raised in a slab; chance among three is 1/3.
    assert _accuracy(model, others, has_it) > 0.55


@pytest.mark.parametrize("name", ["neuromoe", "neuromoe-paper"])
def test_what_is_held_out_is_as_good_as_new_people(name, made_cohort, tmp_path):
    """A model that had seen the people would be far better on them than on others."""
    cohort, others = (made_cohort(people=people, effect=0.2, side=8, where="anat") for people in (75, 200))
    settings = {"folds": 3, "epochs": 20, "learning_rate": 1e-2} if name == "neuromoe-paper" else {"folds": 4}
    model = build_model(name, **QUICK | settings).fit(cohort, np.arange(75))
    rows, log_proba = model.held_out_
    assert sorted(rows) == np.flatnonzero(cohort.present(np.arange(75)).any(axis=1)).tolist()
    inside = _loss(model, cohort, rows, np.exp(log_proba))
    outside, seen = _loss(model, others, np.arange(200)), _loss(model, cohort, rows)
    # The standard error of a mean of 75 losses with deviation .5 is .06.
    assert abs(inside - outside) < 0.2 and seen < inside - 0.2
    model.save(tmp_path)
    again = load(tmp_path).held_out_
    assert np.array_equal(again[0], rows) and np.array_equal(again[1], log_proba)


@pytest.mark.parametrize(("training", "gate"), [(training, gate) for training in GATES for gate in GATES[training]])
def test_every_gate_trains_saves_and_weighs(training, gate, made_cohort, tmp_path):
    cohort = made_cohort(side=8, where="anat")
    model = build_model("neuromoe", training=training, gate=gate, **QUICK).fit(cohort, np.arange(24))
    model.save(tmp_path / "model")
    weights = model.gate(cohort, np.arange(36))
    again = load(tmp_path / "model")
    assert np.array_equal(again.gate(cohort, np.arange(36)), weights) and again.history == model.history
    present = cohort.present(np.arange(36))
    if gate == "uniform":
        assert np.allclose(weights, present / present.sum(axis=1, keepdims=True), atol=1e-4)
    # What was tried and decided, for those who read no arrays.
    facts = json.loads((tmp_path / "model/model.json").read_text())["fitted"]
    kinds = {"experts": {"best": 5}.get(gate, 1), "mixture": 0}[training]
    assert len({one["kind"] for one in facts["gates"]}) == kinds
    assert (facts["gates"], facts["use"], facts["share"]) == (model.gates_, model.use_, model.share_)
    assert (again.gates_, again.use_, again.share_) == (model.gates_, model.use_, model.share_)
    assert list(model.use_) == list(model.modalities_) and list(model.share_) in ([], list(model.use_))
    assert all(0 < use < 1 for use in model.use_.values()) and all(0 <= one <= 1 for one in model.share_.values())


def test_a_single_member_sets_people_aside(made_cohort):
    cohort = made_cohort(missing_rate=0.0, side=8)
    for training in ("experts", "mixture"):
        chosen = {"training": training, "gate": "clinical", "folds": 1}
        model = build_model("neuromoe", linear=False, **QUICK | chosen).fit(cohort, np.arange(36))
        assert len(model.members) == 1 and model.held_out_ is None
        assert len(model.history) == 3 and all("val" in epoch for epoch in model.history)
        assert np.isfinite(model.predict_proba(cohort, np.arange(36))).all()


def test_a_single_member_that_nobody_is_held_out_from_is_believed(made_cohort):
    cohort = made_cohort(missing_rate=0.0, side=8, where="anat")
    model = build_model("neuromoe", **ALONE | {"folds": 1, "validation_share": 0.0, "epochs": 20})
    assert _accuracy(model.fit(cohort, np.arange(36)), cohort, np.arange(36)) > 0.6


def test_who_has_only_a_modality_that_one_class_alone_has_does_not_spoil_the_training(rng):
    labels = np.array(["a", "b", "c"] * 4)
    maps = {name: rng.normal(size=(12, 1, 8, 8, 8)) for name in ("anat", "dwi")}
    present = {"anat": np.arange(12) != 0, "dwi": labels == "a"}
    cohort = Cohort.from_arrays(maps=maps, present=present, labels=labels)
    model = build_model("neuromoe", **QUICK).fit(cohort, np.arange(12))
    assert len(model.history) == 3 and np.isfinite([epoch["val"] for epoch in model.history]).all()
    assert np.allclose(model.predict_proba(cohort, [0]), 1 / 3)


def test_scans_of_bad_quality_count_less():
    present = np.array([[True, True], [True, False], [True, True]])
    trust = trust_of(np.array([[-2.0, 0.0], [0.0, 0.0], [0.0, 0.0]]), present)
    assert trust[0, 0] < 0.3 * trust[1, 0] and np.isclose(trust[:, 0].mean(), 1) and (trust[:, 1] == 1).all()


@pytest.mark.parametrize("joint", [False, True])
def test_batches_in_which_nobody_has_a_modality_are_borne(joint, made_cohort):
    cohort = made_cohort(missing_rate=0.5, side=8)
    model = build_model("neuromoe", joint=joint, **ALONE | {"batch_size": 2}).fit(cohort, np.arange(24))
    assert np.isfinite([list(epoch.values()) for epoch in model.history]).all()
    assert np.isfinite(model.predict_proba(cohort, np.arange(36))).all()


def test_a_joint_expert_bears_that_no_modality_has_people_of_all_classes(rng):
    labels = np.array(["a", "b"] * 12)
    maps, table = {"anat": rng.normal(size=(24, 1, 8, 8, 8))}, pd.DataFrame({"age": rng.normal(size=24)})
    cohort = Cohort.from_arrays(maps=maps, present={"anat": labels == "a"}, clinical=table, labels=labels)
    model = build_model("neuromoe", joint=True, **ALONE).fit(cohort, np.arange(24))
    assert np.isfinite(model.predict_proba(cohort, np.arange(24))).all()
    assert np.allclose(model.gate(cohort, np.arange(24))[:, 1], 1)


def test_networks_read_maps_where_the_closed_form_models_do(rng):
    maps = (3 + rng.normal(size=(9, 2, 8, 8, 8)) * np.array([1, 20])[:, None, None, None]).astype(np.float32)
    maps[4] *= 1e4
    cohort = Cohort.from_arrays(maps={"anat": maps})
    read = reader_of(cohort, "anat", np.arange(9), ClinicalEncoder())
    frame = Frame.fit(read, 9)
    near = near_tokens(torch.from_numpy(cohort.patches("anat", np.arange(9)).copy()), frame)
    scaled = frame.scaled(read, np.arange(9)) * frame.mean.shape[1] ** 0.5
    assert np.allclose(near.view(9, 8, 2, 64).permute(2, 0, 1, 3).reshape(2, 9, -1), scaled, atol=1e-4)


def test_what_reads_the_maps_may_go_to_a_worker_that_is_not_forked(made_cohort):
    cohort, rows = made_cohort(side=8), np.arange(6)
    model = build_model("neuromoe", **QUICK | {"epochs": 1, "folds": 1}).fit(cohort, np.arange(24))
    read = model._reader(cohort, rows)
    here, there = read(rows), ForkingPickler.loads(ForkingPickler.dumps(read))(rows)
    assert here.tokens.keys() == there.tokens.keys() == cohort.tokens.keys()
    assert all(torch.equal(here.tokens[name], there.tokens[name]) for name in here.tokens)


def test_how_much_a_channel_counts_is_told_by_the_people_that_a_member_trains_on(made_cohort):
    cohort = made_cohort(people=48, effect=1.0, side=8, where="anat", missing_rate=0.0)
    own = inner_parts(cohort.groups, np.unique(cohort.labels, return_inverse=True)[1], 2, 0) == 0

    def counts():
        model = build_model("neuromoe", **ALONE | {"epochs": 1}).fit(cohort, np.arange(48))
        # The second channel of anat is noise.
        return [member.experts["anat"].relevance.reshape(2, -1).numpy() for member in model.members]

    first = counts()
    for one in first:
        assert np.ptp(one, axis=1).max() == 0 and 0 < one[1, 0] < 0.3 * one[0, 0]
        assert (one[:, 0] ** 2).mean() == pytest.approx(1)
    # The same maps, so that the mean map stays: those of the first part are dealt anew among its people.
    cohort.tokens["anat"][own] = np.random.default_rng(0).permutation(cohort.tokens["anat"][own])
    second = counts()
    assert np.allclose(second[0], first[0], atol=1e-4) and abs(second[1] - first[1]).max() > 1e-2


def test_where_two_members_are_not_believed_no_others_are_trained(rng, tmp_path):
    labels = np.arange(60) % 2
    # As seen from each of the first two parts, what the others show is the wrong way round.
    sign = np.array([1.0, -1.0, 0.0])[inner_parts(np.arange(60), labels, 3, 0)]
    maps = rng.normal(size=(60, 1, 8, 8, 8)) + (sign * (2 * labels - 1))[:, None, None, None, None]
    cohort = Cohort.from_arrays(maps={"anat": maps}, labels=labels)
    model = build_model("neuromoe", **QUICK | {"folds": 3, "epochs": 8}).fit(cohort, np.arange(60))
    assert model.members == [] and model.share_ == {"anat": 0} and len(model.history) == 8
    model.save(tmp_path)
    again = load(tmp_path)
    assert again.members == [] and again.share_ == model.share_
    said = model.predict_proba(cohort, np.arange(60))
    assert np.array_equal(again.predict_proba(cohort, np.arange(60)), said) and np.isfinite(np.log(said)).all()
    assert len(build_model("neuromoe", **ALONE | {"folds": 3}).fit(cohort, np.arange(60)).members) == 3


def test_believed_members_are_joined_by_the_others(made_cohort):
    cohort = made_cohort(people=36, side=8, where="anat")
    model = build_model("neuromoe", **QUICK | {"folds": 3, "epochs": 12}).fit(cohort, np.arange(36))
    assert model.share_["anat"] > 0.02 and len(model.members) == 3 and len(model.history) == 24


def test_gains_of_places_let_the_mean_of_the_tokens_tell_where_something_is(rng):
    """One class is raised in a patch and lowered in another, so that the mean over patches is the same."""
    labels = np.arange(120) % 2
    maps = rng.normal(size=(120, 1, 8, 8, 8))
    maps[:, 0, :4, :4, :4] += 0.7 * labels[:, None, None, None]
    maps[:, 0, 4:, 4:, 4:] -= 0.7 * labels[:, None, None, None]
    cohort = Cohort.from_arrays(maps={"anat": maps}, labels=labels)
    right = {}
    for positions in ("gain", "add"):
        chosen = {"positions": positions, "readout": "mean", "layers": 0, "epochs": 15, "learning_rate": 3e-3}
        model = build_model("neuromoe", **ALONE | chosen).fit(cohort, np.arange(60))
        right[positions] = _accuracy(model, cohort, np.arange(60, 120))
    # Chance is .5, its standard error .065.
    assert right["gain"] > 0.8 and right["add"] < 0.7


def test_a_joint_expert_trains_weighs_and_is_saved(made_cohort, tmp_path):
    cohort = made_cohort(side=8, where="anat")
    for training, gate in (("experts", "both"), ("mixture", "clinical")):
        chosen = {"joint": True, "training": training, "gate": gate}
        model = build_model("neuromoe", **QUICK | chosen).fit(cohort, np.arange(24))
        still = build_model("neuromoe", **QUICK | chosen | {"learning_rate": 0.0}).fit(cohort, np.arange(24))
        for member, untrained in zip(model.members, still.members, strict=True):
            before = dict(untrained.joint.named_parameters())
            assert not any(torch.equal(value, before[name]) for name, value in member.joint.named_parameters())
        assert list(model.use_) == [*model.modalities_, "joint"] and model.use_["joint"] > 0
        weights, said = model.gate(cohort, np.arange(36)), model.predict_proba(cohort, np.arange(36))
        assert weights.shape == (36, 4) and np.allclose(weights.sum(axis=1), 1)
        assert (weights[~cohort.present(np.arange(36))] == 0).all()
        model.save(tmp_path / training)
        again = load(tmp_path / training)
        assert np.array_equal(again.predict_proba(cohort, np.arange(36)), said)
        assert np.array_equal(again.gate(cohort, np.arange(36)), weights) and again.use_ == model.use_


def test_the_papers_network_is_a_preset(made_cohort):
    cohort, said = made_cohort(side=8), []
    chosen = {"epochs": 2, "width": 12}
    for name, settings in (("neuromoe-paper", chosen), ("neuromoe", asdict(PaperSettings()) | chosen)):
        said.append(build_model(name, **settings).fit(cohort, np.arange(24)).predict_proba(cohort, np.arange(36)))
    assert np.array_equal(*said)


def test_impossible_settings_are_one_clear_error():
    kinds = "a gate of best, uniform, bias, quality, clinical, both; mixture: a gate of clinical, uniform"
    for wrong in ({"gate": "scan"}, {"training": "mixture"}, {"training": "experts ", "gate": "clinical"}):
        with pytest.raises(InputError, match=kinds):
            build_model("neuromoe", **wrong)
    with pytest.raises(InputError, match="a readout of places, mean, both, positions of add, gain, tokens brain or"):
        build_model("neuromoe", readout="place")
