"""The mixture of transformer experts that starts from linear ones."""

from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch

from neuromoe.core.errors import InputError
from neuromoe.model import Cohort, build_model, load
from neuromoe.model.kernels.linear_experts import trust_of
from neuromoe.model.networks.augment import _cut, _join, _move
from neuromoe.model.networks.mixture import GATES
from neuromoe.model.neuromoe import _leave_out

QUICK = {"epochs": 3, "width": 12, "layers": 1, "folds": 3}


def test_a_planted_effect_is_found_in_other_people(made_cohort):
    cohort, others = made_cohort(people=60, effect=0.5), made_cohort(people=90, effect=0.5)
    model = build_model("neuromoe", seed=1, **QUICK).fit(cohort, np.arange(60))
    has_it = np.flatnonzero(others.present(np.arange(90), ["dwi"])[:, 0])
    accuracy = (model.predict(others, has_it) == others.labels[has_it]).mean()
    # Chance is 1/3; 3 standard errors of 72 people are .17.
    assert accuracy > 0.6


def test_without_the_linear_part_the_transformers_learn_by_themselves(made_cohort):
    cohort, others = made_cohort(people=60, effect=1.5), made_cohort(people=90, effect=1.5)
    settings = QUICK | {"linear": False, "epochs": 25, "learning_rate": 3e-3}
    model = build_model("neuromoe", seed=1, **settings).fit(cohort, np.arange(60))
    has_it = np.flatnonzero(others.present(np.arange(90), ["dwi"])[:, 0])
    assert (model.predict(others, has_it) == others.labels[has_it]).mean() > 0.5


def test_what_is_held_out_is_as_good_as_new_people(made_cohort):
    """A model that had seen the people would be far better on them than on others."""
    cohort, others = made_cohort(people=90, effect=0.4), made_cohort(people=200, effect=0.4)
    model = build_model("neuromoe", **QUICK).fit(cohort, np.arange(90))
    rows, log_proba = model.held_out_
    targets = model._targets(cohort, rows)
    inside = -log_proba[np.arange(len(rows)), targets].mean()
    said = model.predict_proba(others, np.arange(200))
    outside = -np.log(said[np.arange(200), model._targets(others, np.arange(200))]).mean()
    # The standard error of a mean of 90 losses with deviation .5 is .05.
    assert abs(inside - outside) < 0.2


@pytest.mark.parametrize("gate", GATES)
def test_every_gate_trains_saves_and_weighs(gate, made_cohort, tmp_path):
    cohort = made_cohort()
    model = build_model("neuromoe", gate=gate, **QUICK).fit(cohort, np.arange(24))
    model.save(tmp_path / "model")
    weights = model.gate(cohort, np.arange(36))
    again = load(tmp_path / "model")
    assert np.array_equal(again.gate(cohort, np.arange(36)), weights) and again.history == model.history
    present = cohort.present(np.arange(36))
    if gate == "uniform":
        assert np.allclose(weights, present / present.sum(axis=1, keepdims=True), atol=1e-4)


def test_a_person_never_loses_all_modalities_in_training():
    torch.manual_seed(0)
    present = torch.rand(500, 4) < 0.5
    kept = _leave_out(present, 0.3)
    assert torch.equal(kept.any(dim=1), present.any(dim=1)) and not (kept & ~present).any()
    assert 0.6 * present.sum() < kept.sum() < 0.9 * present.sum()


def test_a_single_member_sets_people_aside(made_cohort):
    cohort = made_cohort(missing_rate=0.0)
    model = build_model("neuromoe", **QUICK | {"folds": 1}).fit(cohort, np.arange(36))
    assert len(model.members) == 1 and model.held_out_ is None
    assert np.isfinite(model.predict_proba(cohort, np.arange(36))).all()


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


@pytest.mark.parametrize("patch", [3, 4])
def test_augmentation_keeps_patches_in_their_places(patch):
    torch.manual_seed(0)
    places = torch.tensor(np.argwhere(np.random.default_rng(0).random((3, 2, 4)) < 0.8))
    grid = (places.max(dim=0).values + 1).tolist()
    tokens = torch.randn(2, len(places), 2 * patch**3)
    assert torch.equal(_cut(_join(tokens, places, grid, patch), places, grid, patch), tokens)
    still = _move(tokens, places, patch, shift=0.0, elastic=0.0, flip=False)
    assert torch.allclose(still, tokens, atol=1e-4)


def test_a_flip_mirrors_left_and_right_and_a_shift_moves():
    places = torch.tensor(np.argwhere(np.ones((2, 2, 2))))
    volume = torch.arange(8.0)[None, None, :, None, None].expand(64, 1, 8, 8, 8)
    tokens = _cut(volume.contiguous(), places, [2, 2, 2], 4)
    torch.manual_seed(0)
    flipped = _join(_move(tokens, places, 4, shift=0.0, elastic=0.0, flip=True), places, [2, 2, 2], 4)
    kinds = [tuple(one[0, :, 0, 0].round().int().tolist()) for one in flipped]
    assert set(kinds) == {tuple(range(8)), tuple(range(7, -1, -1))}
    # The brain may begin some patches into the grid: the mirror stands in its middle all the same.
    assert set(
        map(tuple, _move(tokens, places + 3, 4, shift=0.0, elastic=0.0, flip=True)[:, 0, ::16].round().tolist())
    ) == {
        (0.0, 1.0, 2.0, 3.0),
        (7.0, 6.0, 5.0, 4.0),
    }
    moved = _join(_move(tokens, places, 4, shift=1.0, elastic=0.0, flip=False), places, [2, 2, 2], 4)
    steps = moved[:, 0, 4, 4, 4] - 4
    # Drawn with deviation 1; the border cuts some off. 64 draws: the deviation's standard error is .09.
    assert 0.7 < float(steps.std()) < 1.3


def test_augmentation_bears_batches_in_which_nobody_has_a_modality(made_cohort):
    settings = QUICK | {"batch_size": 2, "noise": 0.1, "intensity": 0.1, "shift": 0.5, "elastic": 0.5, "flip": True}
    model = build_model("neuromoe", **settings).fit(made_cohort(missing_rate=0.5), np.arange(24))
    assert np.isfinite([epoch["val"] for epoch in model.history]).all()


def test_what_reads_the_maps_may_go_to_a_worker_that_is_not_forked(made_cohort):
    cohort, rows = made_cohort(), np.arange(6)
    model = build_model("neuromoe", **QUICK | {"epochs": 1, "folds": 1}).fit(cohort, np.arange(24))
    read = model._reader(cohort, rows)
    here, there = read(rows), ForkingPickler.loads(ForkingPickler.dumps(read))(rows)
    assert here.tokens.keys() == there.tokens.keys() == cohort.tokens.keys()
    assert all(torch.equal(here.tokens[name], there.tokens[name]) for name in here.tokens)


def test_impossible_settings_are_one_clear_error():
    with pytest.raises(InputError, match="a gate of uniform, quality, linear, mlp"):
        build_model("neuromoe", gate="best")
