"""What a model knows of the maps that it was fitted on."""

import json

import numpy as np
import pytest

from neuromoe.cohort.grid import Layout
from neuromoe.core.errors import InputError
from neuromoe.model import Cohort


def _cohort(rng, *, anat=2, mask=None, **choices):
    maps = {"func": rng.normal(size=(3, 1, 8, 8, 8)), "anat": rng.normal(size=(3, anat, 8, 8, 8))}
    return Cohort.from_arrays(maps=maps, mask=mask, **choices)


def test_a_layout_comes_back_from_json_in_the_order_of_the_modalities(rng):
    layout = Layout.of(_cohort(rng, channels={"anat": ["T1w", "GM"]}))
    facts = json.loads(json.dumps(layout.facts(), sort_keys=True))
    found = Layout.from_facts(facts, layout.places, ("func", "anat", "clinical"))
    assert list(found.features.items()) == [("func", 64), ("anat", 128)]
    assert found.channels == {"anat": ["T1w", "GM"]} and not found.full
    assert np.array_equal(found.places, layout.places)


def test_other_numbers_of_values_and_other_patches_are_refused(rng):
    masks = [np.zeros((8, 8, 8), bool) for _ in range(3)]
    masks[0][:4], masks[1][4:], masks[2][:4, :4] = True, True, True
    layout = Layout.of(_cohort(rng, mask=masks[0]))
    layout.check(_cohort(rng, mask=masks[0]))
    with pytest.raises(InputError, match="'anat': 64"):
        layout.check(_cohort(rng, anat=1, mask=masks[0]))
    with pytest.raises(InputError, match="4 patches in other places"):
        layout.check(_cohort(rng, mask=masks[1]))
    with pytest.raises(InputError, match="found 2 patches and"):
        layout.check(_cohort(rng, mask=masks[2]))


def test_of_the_full_grid_the_brain_may_lie_elsewhere(rng):
    masks = [np.zeros((8, 8, 8), bool) for _ in range(2)]
    masks[0][:4], masks[1][4:] = True, True
    layout = Layout.of(_cohort(rng, mask=masks[0]), full=True)
    assert len(layout.places) == 8
    layout.check(_cohort(rng, mask=masks[1]))


def test_modalities_that_the_model_does_not_know_are_not_looked_at(rng):
    layout = Layout.of(_cohort(rng))
    layout.check(Cohort.from_arrays(maps={}, labels=["a"]))
    other = {"dwi": rng.normal(size=(2, 3, 4, 4, 4))}
    layout.check(Cohort.from_arrays(maps=other, channels={"dwi": ["FA", "MD", "AD"]}))
