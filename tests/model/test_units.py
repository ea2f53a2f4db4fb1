"""Each channel is measured by itself, and known by its name."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from neuromoe.core.errors import InputError
from neuromoe.core.saving import read_facts
from neuromoe.model import Cohort, build_model, load

QUICK = {"calibration": 0, "folds": 5}
MODELS = {
    "kernel-moe": QUICK,
    "early-fusion": QUICK,
    "late-fusion": {},
    "neuromoe": {"epochs": 3, "width": 12, "folds": 2},
    "neuromoe-paper": {"epochs": 10, "width": 12, "folds": 2, "learning_rate": 1e-2},
}


def _cohort(*, channels=None, people=60):
    rng = np.random.default_rng(3)
    labels = np.arange(people) % 2
    maps = {"anat": rng.normal(size=(people, 2, 8, 8, 4)), "func": rng.normal(size=(people, 1, 8, 8, 4))}
    for volume in maps.values():
        volume[labels == 1, 0, :4] += 0.4
    maps = {name: volume.astype(np.float32) for name, volume in maps.items()}
    table = pd.DataFrame({"age": rng.normal(60, 9, people)})
    return Cohort.from_arrays(maps=maps, labels=labels, clinical=table, channels=channels)


def _stored(cohort, dtype, factor, channel):
    """Take the maps for those of a store, and one channel of anat in another unit."""
    tokens = {name: array.astype(dtype) for name, array in cohort.tokens.items()}
    people, patches, features = tokens["anat"].shape
    by_channel = tokens["anat"].reshape(people, patches, 2, features // 2).copy()
    by_channel[:, :, channel] *= dtype(factor)
    return replace(cohort, tokens=tokens | {"anat": by_channel.reshape(people, patches, features)})


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("name", MODELS)
def test_the_unit_of_a_channel_changes_no_prediction(name, dtype):
    said, weights = [], []
    for factor, channel in ((1, 0), (1024, 0), (1024, 1)):
        cohort = _stored(_cohort(), dtype, factor, channel)
        model = build_model(name, **MODELS[name]).fit(cohort, np.arange(40))
        said.append(model.predict_proba(cohort, np.arange(40, 60)))
        weights.append(model.gate(cohort, np.arange(40, 60)))
    assert np.ptp(said[0][:, 0]) > 0.1
    # Networks are trained in single precision.
    atol = 1e-4 if name.startswith("neuromoe") else 1e-6
    for number in (1, 2):
        assert np.allclose(said[number], said[0], rtol=0, atol=atol)
        assert np.allclose(weights[number], weights[0], rtol=0, atol=atol)


@pytest.mark.parametrize("name", ["kernel-moe", "late-fusion", "neuromoe", "neuromoe-paper"])
def test_channels_of_other_names_or_in_another_order_are_refused(name, tmp_path):
    named = {"anat": ["T1w", "GM"]}
    model = build_model(name, **MODELS[name]).fit(_cohort(channels=named), np.arange(40))
    model.save(tmp_path)
    assert read_facts(tmp_path / "model.json")["fitted"]["layout"]["channels"] == named
    for one in (model, load(tmp_path)):
        for others in (["GM", "T1w"], ["T1w", "WM"]):
            with pytest.raises(InputError, match=f"anat channels T1w, GM, found anat {', '.join(others)}"):
                one.predict_proba(_cohort(channels={"anat": others}), np.arange(3))
            with pytest.raises(InputError, match="anat channels T1w, GM"):
                one.gate(_cohort(channels={"anat": others}), np.arange(3))
        said = one.predict_proba(_cohort(channels=named), np.arange(40, 60))
        assert np.array_equal(one.predict_proba(_cohort(), np.arange(40, 60)), said)
        assert np.array_equal(one.predict_proba(_cohort(channels=named | {"func": ["ALFF"]}), np.arange(40, 60)), said)


@pytest.mark.parametrize("name", ["kernel-moe", "late-fusion", "neuromoe", "neuromoe-paper"])
def test_a_model_of_unnamed_channels_takes_any_names(name):
    model = build_model(name, **MODELS[name]).fit(_cohort(), np.arange(40))
    named = _cohort(channels={"anat": ["T1w", "GM"]})
    assert np.array_equal(model.predict_proba(named, [50]), model.predict_proba(_cohort(), [50]))
