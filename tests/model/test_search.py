"""Searching settings by people held out."""

import numpy as np
import pytest

from neuromoe.core.errors import InputError
from neuromoe.model import build_model
from neuromoe.model.search import search_settings

QUICK = {"folds": 3, "calibration": 2, "rbf": False, "gate": "quality", "pool": "product"}


def test_the_best_of_what_was_tried_is_found_and_the_defaults_come_first(made_cohort):
    cohort = made_cohort(people=36, effect=0.4, side=8, where="anat")
    space = {"passes": [1, 2], "slope_prior": {"low": 0.1, "high": 10.0, "log": True}}
    choices = {"settings": QUICK, "space": space, "trials": 4}
    found = search_settings("kernel-moe", cohort, np.arange(36), **choices)
    own = build_model("kernel-moe").settings
    assert len(found.tried) == 4
    assert found.tried[0]["settings"] == {"passes": own.passes, "slope_prior": own.slope_prior}
    assert found.loss == min(one["loss"] for one in found.tried)
    assert found.settings["folds"] == 3 and {"passes", "slope_prior"} < set(found.settings)
    assert search_settings("kernel-moe", cohort, np.arange(36), **choices) == found


def test_people_outside_have_no_part_in_the_search(made_cohort):
    cohort = made_cohort(people=60)
    choices = {"settings": {}, "space": {"folds": [3, 5]}, "trials": 2}
    first = search_settings("late-fusion", cohort, np.arange(30), **choices)
    cohort.labels[30:] = cohort.labels[30:][::-1]
    assert search_settings("late-fusion", cohort, np.arange(30), **choices) == first


def test_a_misspelt_setting_or_range_is_one_clear_error(made_cohort):
    ranges = ({"low": 3, "high": 1}, {"low": 0, "high": 1, "log": True}, {"low": "a", "high": "b"})
    spaces = [({"epoch": [1]}, "write epochs"), *(({"epochs": one}, "low below high") for one in ranges)]
    for space, words in [*spaces, ({"gate": {"low": 1, "high": 2}}, "low below high")]:
        with pytest.raises(InputError, match=words):
            search_settings("neuromoe-paper", made_cohort(), np.arange(24), space=space)
    for counts in ({"trials": 0}, {"folds": 1}):
        with pytest.raises(InputError, match="trials from 1 and folds from 2"):
            search_settings("late-fusion", made_cohort(), np.arange(24), space={"folds": [3]}, **counts)


def test_trials_that_fail_are_not_chosen_and_do_not_stop_the_search(made_cohort):
    quick = {"epochs": 2, "width": 12, "layers": 1, "folds": 2}
    space = {"learning_rate": [1e20, 2e-3], "heads": [2, 5]}
    choices = {"settings": quick, "space": space, "trials": 8}
    found = search_settings("neuromoe", made_cohort(), list(range(24)), **choices)
    assert found.settings["learning_rate"] == 2e-3 and found.settings["heads"] == 2
    assert {one["settings"]["heads"] for one in found.tried if one["loss"] == np.inf} == {2, 5}
    with pytest.raises(InputError, match="a width from 6 that the heads divide"):
        search_settings("neuromoe", made_cohort(), np.arange(24), settings=quick, space={"heads": [5]}, trials=1)


def test_whole_bounds_of_a_fraction_are_searched_between_too(made_cohort):
    space = {"bias_prior": {"low": 1, "high": 2}}
    found = search_settings("kernel-moe", made_cohort(side=8), np.arange(24), settings=QUICK, space=space, trials=4)
    assert any(one["settings"]["bias_prior"] % 1 for one in found.tried)
