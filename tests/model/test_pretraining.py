import json

import numpy as np
import pytest
import torch

from neuromoe.core.errors import InputError
from neuromoe.model import Cohort, build_model, load
from neuromoe.model.pretraining import Pretrained, load_pretrained, pretrain

SMALL = {"width": 12, "layers": 1, "heads": 2, "widening": 2}
QUICK = {**SMALL, "epochs": 2}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def maps_of(rng, people, *, structured):
    """Noise; or besides two patterns that reach over all patches, each person with loads of their own."""
    noise = rng.normal(size=(people, 1, 12, 12, 12))
    patterns = np.random.default_rng(3).normal(size=(2, 3, 3, 3)).repeat(4, 1).repeat(4, 2).repeat(4, 3)
    loads = 2 * structured * rng.normal(size=(people, 2))
    return noise + np.tensordot(loads, patterns, 1)[:, None]


@pytest.fixture
def unlabeled(rng):
    """24 people of whom 12 have a label; a map that is absent is NaN."""
    maps = {name: maps_of(rng, 24, structured=True) for name in ("anat", "func")}
    present = {"func": np.arange(24) % 4 > 0}
    maps["func"][~present["func"]] = np.nan
    labels = [("a", "b")[row % 2] if row < 12 else None for row in range(24)]
    return Cohort.from_arrays(maps=maps, present=present, labels=labels, participants=[f"p{i}" for i in range(24)])


@pytest.fixture
def start(unlabeled, tmp_path):
    pretrain(unlabeled, seed=1, **QUICK).save(tmp_path / "start")
    return str(tmp_path / "start")


def same(one: Pretrained, other: Pretrained) -> bool:
    ours, theirs = one.arrays(), other.arrays()
    return ours.keys() == theirs.keys() and all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_what_is_hidden_is_predicted_where_it_follows_from_what_is_shown_and_noise_is_not(rng):
    maps = {"patterns": maps_of(rng, 120, structured=True), "noise": maps_of(rng, 120, structured=False)}
    cohort = Cohort.from_arrays(maps=maps)
    found = pretrain(cohort, epochs=20, width=24, layers=1, learning_rate=1e-2, batch_size=8).explained
    # 8/9 of the variance is of the patterns; of noise nothing can be said, and to fit it costs a little.
    assert found["patterns"] > 0.3
    assert -0.1 < found["noise"] < 0.02


def test_one_spoilt_scan_is_pulled_back_to_the_others(rng):
    maps = maps_of(rng, 40, structured=True)
    clean = Cohort.from_arrays(maps={"anat": maps})
    maps[5] *= 1e6
    spoilt = pretrain(Cohort.from_arrays(maps={"anat": maps}), **QUICK)
    plain = pretrain(clean, **QUICK)
    own, other = plain.scalings["anat"], spoilt.scalings["anat"]
    assert 1 < other.scale / own.scale < 1.3
    assert np.abs(other.mean - own.mean).mean() < 0.2 * own.scale
    read = other.apply(torch.tensor(maps[5:6].reshape(1, 27, 64), dtype=torch.float32))
    assert read.square().mean() < 3.5**2


def test_a_pretraining_that_runs_away_is_an_error(unlabeled):
    with pytest.raises(InputError, match="expected an error of hidden patches that is finite"):
        pretrain(unlabeled, **QUICK | {"learning_rate": 1e30})


def test_only_people_without_a_label_are_looked_at(unlabeled):
    assert pretrain(unlabeled, **QUICK).participants == [f"p{i}" for i in range(12, 24)]
    assert pretrain(unlabeled, np.arange(4), **QUICK).participants == [f"p{i}" for i in range(4)]


def test_a_family_with_a_label_is_left_out(unlabeled):
    groups = [f"f{row % 23}" for row in range(24)]
    cohort = Cohort(**vars(unlabeled) | {"groups": np.array(groups, object)})
    assert "p23" not in pretrain(cohort, **QUICK).participants


def test_same_seed_same_bytes_and_another_seed_others(unlabeled, tmp_path):
    for name, seed in (("first", 5), ("second", 5), ("other", 6)):
        pretrain(unlabeled, seed=seed, **QUICK).save(tmp_path / name)
    first, second, other = (
        [(tmp_path / name / f"pretrained.{kind}").read_bytes() for kind in ("json", "safetensors")]
        for name in ("first", "second", "other")
    )
    assert first == second
    assert first != other


def test_what_is_saved_is_read_again(unlabeled, tmp_path):
    found = pretrain(unlabeled, **QUICK)
    found.save(tmp_path / "start")
    again = load_pretrained(tmp_path / "start")
    assert same(found, again)
    assert (again.explained, again.size, again.participants) == (found.explained, found.size, found.participants)
    assert set(again.explained) == {"anat", "func"}
    assert np.isfinite(np.concatenate([value.ravel() for value in again.arrays().values()])).all()


def test_nothing_else_in_the_folder_is_lost(unlabeled, tmp_path):
    (tmp_path / "derivatives").mkdir()
    pretrain(unlabeled, **QUICK).save(tmp_path)
    assert (tmp_path / "derivatives").is_dir() and (tmp_path / "pretrained.json").is_file()


def test_a_run_that_was_killed_goes_on_to_the_same_weights(unlabeled, tmp_path, monkeypatch):
    whole = pretrain(unlabeled, folder=tmp_path / "whole", **QUICK | {"epochs": 4})
    from neuromoe.model.networks.learner import Learner

    ending = Learner.on_train_epoch_start

    def killed(learner):
        if learner.current_epoch == 2:
            raise KeyboardInterrupt("killed")
        ending(learner)

    with monkeypatch.context() as patch, pytest.raises((KeyboardInterrupt, SystemExit)):
        patch.setattr(Learner, "on_train_epoch_start", killed)
        pretrain(unlabeled, folder=tmp_path / "killed", **QUICK | {"epochs": 4})
    assert list((tmp_path / "killed").rglob("last.ckpt"))
    assert same(whole, pretrain(unlabeled, folder=tmp_path / "killed", **QUICK | {"epochs": 4}))


def test_without_unlabeled_people_the_error_says_so(made_cohort):
    with pytest.raises(InputError, match="who have no label"):
        pretrain(made_cohort())


@pytest.mark.parametrize("kind", ["neuromoe", "neuromoe-paper"])
def test_a_network_starts_from_the_encoders(kind, unlabeled, start):
    # A rate of zero leaves the weights as they were at the start.
    still = {**SMALL, "epochs": 1, "learning_rate": 0.0, **({"folds": 2} if kind == "neuromoe" else {})}
    model = build_model(kind, pretrained=start, **still).fit(unlabeled, np.arange(12))
    known = load_pretrained(start)
    assert model.members
    for member in model.members:
        for name in ("anat", "func"):
            weights = member.encoders[name].state_dict()
            assert all(np.array_equal(weights[key], value) for key, value in known.encoders[name].items())
    assert model.pretrained_on == known.participants


@pytest.mark.parametrize(
    ("kind", "choices"), [("neuromoe", {"folds": 2}), ("neuromoe-paper", {}), ("neuromoe-paper", {"tokens": "grid"})]
)
def test_a_saved_model_needs_the_encoders_folder_no_more(kind, choices, rng, tmp_path):
    mask = np.zeros((12, 12, 12), bool)
    mask[:8] = True
    labels = ["a", "b"] * 6 + [None] * 8
    cohort = Cohort.from_arrays(maps={"anat": maps_of(rng, 20, structured=True)}, mask=mask, labels=labels)
    pretrain(cohort, **QUICK).save(tmp_path / "start")
    model = build_model(kind, pretrained=str(tmp_path / "start"), **QUICK, **choices).fit(cohort, np.arange(12))
    model.save(tmp_path / "model")
    (tmp_path / "start").rename(tmp_path / "elsewhere")
    again = load(tmp_path / "model")
    assert np.array_equal(again.predict_proba(cohort, np.arange(20)), model.predict_proba(cohort, np.arange(20)))
    assert again.pretrained_on == model.pretrained_on


def test_outside_the_brain_the_scaled_maps_of_the_full_grid_stay_zero(rng, tmp_path):
    mask = np.zeros((12, 12, 12), bool)
    mask[:8] = True
    cohort = Cohort.from_arrays(maps={"anat": maps_of(rng, 20, structured=True) + 5}, mask=mask, labels=["a", "b"] * 10)
    pretrain(cohort, np.arange(10), **QUICK).save(tmp_path / "start")
    model = build_model("neuromoe-paper", tokens="grid", pretrained=str(tmp_path / "start"), **QUICK)
    read = model.fit(cohort, np.arange(10, 20))._reader(cohort, np.arange(10))
    tokens = read(np.arange(10)).tokens["anat"]
    assert (tokens[:, 18:] == 0).all()
    # The mean of those who were learned from, two of the ten not among them.
    assert abs(float(tokens[:, :18].mean())) < 0.2


def test_a_modality_without_pretrained_encoder_starts_at_random(rng, unlabeled, tmp_path):
    anat = Cohort.from_arrays(maps={"anat": maps_of(rng, 8, structured=True)})
    pretrain(anat, **QUICK).save(tmp_path / "start")
    model = build_model("neuromoe-paper", pretrained=str(tmp_path / "start"), **QUICK).fit(unlabeled, np.arange(12))
    assert np.isfinite(model.predict_proba(unlabeled, np.arange(24))).all()


def test_encoders_of_other_sizes_or_places_are_refused(rng, unlabeled, start):
    with pytest.raises(InputError, match="width 18"):
        build_model("neuromoe-paper", pretrained=start, **QUICK | {"width": 18}).fit(unlabeled, np.arange(12))
    other = {
        "larger": {"anat": rng.normal(size=(12, 1, 16, 16, 16))},
        "more channels": {"anat": rng.normal(size=(12, 2, 12, 12, 12))},
        "another modality": {"dwi": rng.normal(size=(12, 1, 12, 12, 12))},
    }
    for maps in other.values():
        cohort = Cohort.from_arrays(maps=maps, labels=["a", "b"] * 6)
        with pytest.raises(InputError, match="the setting pretrained"):
            build_model("neuromoe-paper", pretrained=start, **QUICK).fit(cohort, np.arange(12))


def test_checkpoints_of_other_encoders_are_not_gone_on_from(unlabeled, start, tmp_path):
    def folders():
        model = build_model("neuromoe-paper", pretrained=start, **QUICK)
        model.folder = tmp_path / "training"
        model.fit(unlabeled, np.arange(12))
        return {path.name for path in (tmp_path / "training").iterdir()}

    first = folders()
    pretrain(unlabeled, seed=2, **QUICK).save(start)
    assert len(first) == 1
    assert len(folders()) == 2


def test_the_file_tells_how_well_hidden_patches_are_predicted(start):
    from pathlib import Path

    facts = json.loads((Path(start) / "pretrained.json").read_text())
    assert set(facts["explained"]) == {"anat", "func"}
    assert all(value < 1 for value in facts["explained"].values())
