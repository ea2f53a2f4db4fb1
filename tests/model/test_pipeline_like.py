"""Models on made cohorts that are like the workflow's tensors: several channels, and anatomy that people share."""

import sys
from pathlib import Path

import numpy as np
import pytest

from neuromoe.model import build_model


@pytest.fixture(scope="module")
def simulators():
    folder = str(Path(__file__).parents[2] / "benchmarks")
    sys.path.insert(0, folder)
    try:
        import _simulators
    finally:
        sys.path.remove(folder)
    return _simulators


def _accuracy(model, simulated) -> float:
    from sklearn.metrics import balanced_accuracy_score

    rows = simulated.external
    return balanced_accuracy_score(
        simulated.cohort.labels[rows].astype(int), model.predict(simulated.cohort, rows).astype(int)
    )


def test_nearly_all_of_a_map_is_shared_and_channels_differ_in_variance(simulators):
    cohort = simulators.simulate("additive", 0, 40, 0).cohort
    for name, moments in simulators.MOMENTS.items():
        maps = cohort.patches(name, np.flatnonzero(cohort.rows[name] >= 0)).astype(float)
        channels = maps.reshape(len(maps), len(cohort.places), len(moments["channels"]), -1)
        away = channels - channels.mean(axis=0)
        assert (channels.mean(axis=0) ** 2).mean() > 0.6 * (channels**2).mean()
        spread = np.sqrt((away**2).mean(axis=(0, 1, 3)))
        # Patches at the border reach out of the brain; what is planted and spoilt adds to the moments.
        assert np.corrcoef(spread, moments["deviation"])[0, 1] > 0.9


def test_a_channel_of_noise_costs_little_whatever_its_variance(simulators):
    found = {}
    for empty in (0.0, 1.0, 14.0):
        simulated = simulators.simulate("additive", 1, 113, 300, empty=empty)
        found[empty] = _accuracy(build_model("late-fusion").fit(simulated.cohort, simulated.train), simulated)
    # The standard error of a paired difference of 300 people is about .02; one scale for all costs .2 and more.
    assert found[0.0] > 0.6 and min(found.values()) > found[0.0] - 0.08
    assert abs(found[1.0] - found[14.0]) < 1e-9


def test_a_clinical_column_that_tells_which_modality_to_trust_is_heeded(simulators):
    simulated = simulators.simulate("gated", 2, 113, 300)
    quick = {"calibration": 0, "rbf": False}
    models = [build_model("kernel-moe", gate=gate, **quick) for gate in ("best", "uniform")]
    best, even = (_accuracy(model.fit(simulated.cohort, simulated.train), simulated) for model in models)
    assert models[0].gates_[0]["kind"] in ("clinical", "both")
    assert best > even + 0.04
