import numpy as np
import pandas as pd
import pytest
import torch

from neuromoe.core.errors import InputError
from neuromoe.model import Cohort, build_model
from neuromoe.model.networks.losses import mix

QUICK = {"epochs": 1, "width": 6, "layers": 1, "heads": 1, "folds": 2}


def test_the_network_learns_a_planted_effect_that_holds_in_other_people(made_cohort):
    cohort, others = made_cohort(people=48, effect=1.0), made_cohort(people=90, effect=1.0)
    model = build_model("neuromoe-paper", seed=1, epochs=25, folds=2).fit(cohort, np.arange(48))
    has_it = np.flatnonzero(others.present(np.arange(90), ["dwi"])[:, 0])
    accuracy = (model.predict(others, has_it) == others.labels[has_it]).mean()
    # Chance is 1/3; 3 standard errors of 72 people are .17.
    assert accuracy > 0.5


def test_brain_tokens_and_full_grid_are_a_switch(made_cohort, rng):
    mask = np.zeros((12, 12, 12), bool)
    mask[:8] = True
    cohort = Cohort.from_arrays(maps={"anat": rng.normal(size=(12, 1, 12, 12, 12))}, mask=mask, labels=["a", "b"] * 6)
    for tokens, count in (("brain", 18), ("grid", 27)):
        model = build_model("neuromoe-paper", tokens=tokens, **QUICK).fit(cohort, np.arange(12))
        assert len(model.layout.places) == count
        assert np.isfinite(model.predict_proba(cohort, np.arange(12))).all()


def test_an_expert_that_never_saw_anybody_gets_no_weight(made_cohort, rng):
    train = made_cohort(missing_rate=0.0)
    nobody = {name: np.zeros(36, bool) for name in ("func",)}
    volumes = rng.normal(size=(36, 2, 12, 12, 12))
    without = Cohort.from_arrays(
        maps={"dwi": volumes, "func": volumes[:, :1]},
        present=nobody,
        labels=train.labels,
        clinical=train.clinical,
    )
    model = build_model("neuromoe-paper", **QUICK).fit(without, np.arange(36))
    weights = model.gate(train, np.arange(36))
    assert (weights[:, model.modalities_.index("func")] == 0).all()
    assert np.allclose(weights.sum(axis=1), 1)


def test_who_has_only_the_clinical_table_gets_the_clinical_expert(made_cohort):
    cohort = made_cohort(missing_rate=0.0)
    model = build_model("neuromoe-paper", **QUICK).fit(cohort, np.arange(36))
    alone = Cohort.from_arrays(maps={}, clinical=pd.DataFrame({"age": [50.0], "sex": ["F"]}))
    assert model.gate(alone, [0]).tolist() == [[0, 0, 0, 1]]
    assert model.predict_proba(alone, [0]).sum() == pytest.approx(1)


def test_fitting_leaves_the_callers_random_numbers_alone(made_cohort):
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    build_model("neuromoe-paper", **QUICK).fit(made_cohort(), np.arange(36))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("training", ["mixture", "experts"])
def test_the_best_epoch_on_validation_people_is_kept(training, made_cohort):
    cohort = made_cohort(side=8, effect=0.5, where="anat")
    train, val = np.arange(24), np.arange(24, 36)
    settings = {"epochs": 30, "width": 12, "patience": 3, "learning_rate": 0.02, "folds": 1}
    name = "neuromoe-paper" if training == "mixture" else "neuromoe"
    model = build_model(name, **settings).fit(cohort, train, val)
    losses = [epoch["val"] for epoch in model.history]
    # It stopped before the end, and not at the best epoch.
    assert len(losses) < 30 and len(losses) - np.argmin(losses) == 4
    [member], batch = model.members, model._reader(cohort, val)(np.arange(12))
    with torch.inference_mode():
        logits, there = member.expert_logits(batch), member.there(batch.present)
        said = mix(member.log_gate(batch.clinical, there), logits)
    targets = model._targets(cohort, val)
    if training == "mixture":
        loss = -said.numpy()[np.arange(12), targets].mean()
    else:
        own = -logits.log_softmax(dim=2).numpy()[np.arange(12), :, targets]
        loss = (own * there.numpy()).sum(axis=1).mean()
    assert loss == pytest.approx(min(losses), rel=1e-4)


def test_ablations_leave_gate_and_modalities_out(made_cohort):
    cohort = made_cohort(missing_rate=0.0)
    even = build_model("neuromoe-paper", gate="uniform", **QUICK).fit(cohort, np.arange(36))
    assert np.allclose(even.gate(cohort, np.arange(36)), 0.25)
    some = build_model("neuromoe-paper", modalities="anat, func", **QUICK).fit(cohort, np.arange(36))
    weights = some.gate(cohort, np.arange(36))
    assert (weights[:, [1, 3]] == 0).all() and (weights[:, [0, 2]] > 0).all()
    with pytest.raises(InputError, match="names of anat, dwi, func, clinical, or all, found pet"):
        build_model("neuromoe-paper", modalities="pet", **QUICK).fit(cohort, np.arange(36))
