"""Signs of a failed training are named, and only those that are there."""

import numpy as np
import pytest

from neuromoe.model import build_model
from neuromoe.model.networks.diagnosis import diagnose

NAMES = ("anat", "dwi", "clinical")
PEOPLE = 40
TARGETS = np.arange(PEOPLE) % 2
RIGHT = np.log(np.where(np.eye(2)[TARGETS] == 1, 0.9, 0.1))
GUESS = np.log(np.full((PEOPLE, 2), 0.5))
HEALTHY = [{"train": 0.3, "val": 0.4}]


def _diagnose(*, weights=None, said=RIGHT, clinical=GUESS, history=HEALTHY, gated=True):
    rng = np.random.default_rng(0)
    weights = rng.dirichlet([5, 5, 5], PEOPLE) if weights is None else weights
    experts = np.stack([RIGHT, RIGHT, clinical], axis=1)
    present = np.ones((PEOPLE, 3), bool)
    return diagnose(history, NAMES, weights, experts, said, TARGETS, present, gated=gated)


def test_a_healthy_training_has_no_sign():
    assert _diagnose() == []


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"weights": np.tile([0.96, 0.03, 0.01], (PEOPLE, 1))}, ["collapsed on anat", "clinical is idle", "unused"]),
        ({"weights": np.tile([0.4, 0.3, 0.3], (PEOPLE, 1))}, ["the same weights"]),
        ({"said": GUESS}, ["nothing was learned"]),
        ({"clinical": RIGHT}, ["the scans add nothing"]),
        ({"history": [{"train": 0.1, "val": 0.6}, {"train": 0.0, "val": 0.9}]}, ["by heart"]),
    ],
)
def test_each_sign_is_named(choices, words):
    found = _diagnose(**choices)
    assert len(found) == len(words) and all(word in sign for word, sign in zip(words, found, strict=True))


def test_no_gate_is_judged_where_there_is_none():
    assert _diagnose(weights=np.full((PEOPLE, 3), 1 / 3), gated=False) == []


def test_a_network_on_noise_says_that_nothing_was_learned(made_cohort):
    cohort = made_cohort(people=60, effect=0.0, side=8, where="none")
    model = build_model("neuromoe-paper", epochs=2, width=12, folds=2).fit(cohort, np.arange(40), np.arange(40, 60))
    assert any("nothing was learned" in sign for sign in model.diagnosis)
