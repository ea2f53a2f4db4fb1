"""Gates over experts, fitted on what these say of people held out."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from neuromoe.model.kernels.gates import GateFitting, PoolGate, gate_inputs
from neuromoe.model.kernels.linear import log_softmax
from neuromoe.model.kernels.pooling import POOLS
from neuromoe.model.shared.settings import GATES


def _fitting(rng, people=40, *, features=1):
    """Make three experts, not everybody has each, of four classes; two quality numbers and clinical features."""
    log_experts = log_softmax(rng.normal(0, 2, (people, 3, 4)))
    quality, clinical = rng.normal(size=(people, 3, 2)), rng.normal(size=(people, features))
    there, targets = rng.random((people, 3)) < 0.8, rng.integers(0, 4, people)
    there[:, 0] |= ~there.any(axis=1)
    known = log_experts, targets, np.arange(people) % 10, gate_inputs(quality, clinical), there
    return GateFitting(*known, rng.uniform(0.5, 2, people), np.full(2, np.inf), bias_prior=2.0, slope_prior=3.0)


@pytest.mark.parametrize("pool", POOLS)
def test_the_gate_found_is_a_stationary_point(pool, rng):
    fitting = _fitting(rng)
    people, targets, weights = np.arange(40), fitting.targets, fitting.weights
    gate = fitting.fit("both", pool, 1.5)

    def loss(values):
        at = PoolGate("both", values[:3], values[3:8], np.exp(values[8:]), pool)
        picked = at.log_proba(fitting.log_experts, fitting.inputs, fitting.there)[people, targets]
        # Of a single clinical feature, the prior is as it is given.
        return -(weights * picked).sum() + values**2 @ np.array([2, 2, 2, 3, 3, 1.5, 1.5, 1.5, 1]) / 2

    best = np.concatenate([gate.bias, gate.slope, np.log(gate.temperatures)])
    # The loss is about 50; L-BFGS-B stops at relative changes of 1e-9, differences are good to 1e-5.
    assert np.abs(approx_fprime(best, loss, 1e-6)).max() < 0.02


@pytest.mark.parametrize("kind", GATES)
def test_a_gate_hangs_on_what_its_kind_says_and_on_nothing_else(kind, rng):
    gate = _fitting(rng, features=2).fit(kind, "mixture")
    assert gate.slope.shape == (2 + 3 * 2,)
    assert (gate.slope[:2] != 0).all() == (kind in ("quality", "both"))
    assert (gate.slope[2:] != 0).all() == (kind in ("clinical", "both"))
    assert (np.abs(gate.bias) > 1e-3).any() == (kind != "uniform")


def test_a_number_that_may_only_speak_against_a_scan_does_so_or_is_silent(rng):
    fitting = replace(_fitting(rng), most=np.array([0.0, np.inf]))
    flipped = replace(fitting, inputs=fitting.inputs * np.array([-1, 1, 1, 1, 1]))
    slopes = [one.fit("quality", "mixture").slope[0] for one in (fitting, flipped)]
    assert max(slopes) == 0 and min(slopes) < 0


def test_a_clinical_feature_moves_the_weight_of_each_expert_by_itself(rng):
    quality, clinical = rng.normal(size=(5, 3, 2)), rng.normal(size=(5, 2))
    inputs, slope = gate_inputs(quality, clinical), rng.normal(size=8)
    gate = PoolGate("both", np.zeros(3), slope, np.ones(1), "mixture")
    logits = quality @ slope[:2] + clinical @ slope[2:].reshape(3, 2).T
    assert np.allclose(gate.log_weights(inputs, np.ones((5, 3), bool)), log_softmax(logits))


@pytest.mark.parametrize("kind", ["quality", "clinical", "both"])
def test_the_slope_of_a_person_does_not_know_the_persons_own_label(kind, rng):
    fitting = _fitting(rng, features=2)
    before, changed = fitting.without(kind, "mixture"), fitting.targets.copy()
    changed[7] = (changed[7] + 1) % 4
    after = replace(fitting, targets=changed).without(kind, "mixture")
    assert np.array_equal(after[7], before[7])
    assert (np.abs(after[8] - before[8]).max() > 0) and before.shape == (40, 8)


def test_the_best_gate_comes_first_and_is_judged_on_others(rng):
    """Noise in many clinical features fits the people at hand best, and others worst."""
    fitting = _fitting(rng, 60, features=10)
    tried = fitting.compare(GATES, POOLS)
    losses = [one["held_out_nll"] for one in tried]
    assert losses == sorted(losses) and {one["kind"] for one in tried} == set(GATES)
    assert {one["pool"] for one in tried} == set(POOLS)
    assert tried[0]["kind"] not in ("clinical", "both")


@pytest.mark.parametrize(
    ("quality", "features", "left"),
    [
        (2, 0, {"uniform", "bias", "quality"}),
        (0, 1, {"uniform", "bias", "clinical"}),
        (0, 0, {"uniform", "bias"}),
    ],
)
def test_gates_on_what_nobody_has_are_not_tried(quality, features, left, rng):
    whole = _fitting(rng)
    inputs = gate_inputs(rng.normal(size=(40, 3, quality)), rng.normal(size=(40, features)))
    fitting = replace(whole, inputs=inputs, most=np.full(quality, np.inf))
    assert {one["kind"] for one in fitting.compare(GATES, POOLS)} == left
    for kind in GATES:
        (only,) = {one["kind"] for one in fitting.compare([kind], POOLS)}
        assert only in left
