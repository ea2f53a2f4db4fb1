import numpy as np
import pandas as pd
import pytest

from neuromoe.core.errors import InputError
from neuromoe.model import Cohort


def _maps(rng, people=4):
    return {"anat": rng.normal(size=(people, 2, 8, 8, 8)), "func": rng.normal(size=(people, 1, 8, 8, 8))}


def test_clinical_comes_last_and_absent_maps_may_hold_anything(rng):
    maps = _maps(rng)
    maps["anat"][1] = np.nan
    cohort = Cohort.from_arrays(
        maps=maps,
        present={"anat": [True, False, True, True]},
        clinical=pd.DataFrame({"age": [1.0, np.nan, 3.0, 4.0]}),
        labels=["a", None, np.nan, "b"],
    )
    assert cohort.modalities == ("anat", "func", "clinical")
    assert cohort.present([0, 1]).tolist() == [[True, True, True], [False, True, False]]
    assert cohort.patterns([0, 1]) == ["anat+func+clinical", "func"]
    assert cohort.labels.tolist() == ["a", None, None, "b"]
    assert np.isfinite(cohort.patches("anat", [0, 2, 3])).all()
    with pytest.raises(ValueError, match="1 of 2 people have no anat"):
        cohort.patches("anat", [0, 1])


def test_a_map_that_is_present_must_be_finite(rng):
    maps = _maps(rng)
    maps["func"][2, 0, 3, 3, 3] = np.inf
    with pytest.raises(InputError, match="func map of row 2"):
        Cohort.from_arrays(maps=maps)


def test_mask_keeps_the_patches_that_touch_it_and_the_grid_comes_back(rng):
    mask = np.zeros((8, 8, 8), bool)
    mask[:5, 2, 2] = True
    maps = _maps(rng)
    cohort = Cohort.from_arrays(maps=maps, mask=mask)
    assert cohort.places.tolist() == [[0, 0, 0], [1, 0, 0]]
    brain, grid = cohort.patches("anat", [3, 1]), cohort.patches("anat", [3, 1], full_grid=True)
    assert brain.shape == (2, 2, 128) and grid.shape == (2, 8, 128)
    assert np.array_equal(grid[:, [0, 4]], brain)
    assert np.count_nonzero(grid) == 2 * 2 * mask.sum()


def test_lengths_and_grids_must_agree(rng):
    with pytest.raises(InputError, match="labels 3"):
        Cohort.from_arrays(maps=_maps(rng), labels=["a", "b", "c"])
    with pytest.raises(InputError, match="one grid"):
        Cohort.from_arrays(maps=_maps(rng), mask=np.ones((9, 8, 8), bool))
    with pytest.raises(InputError, match="imaging modalities"):
        Cohort.from_arrays(maps={"clinical": rng.normal(size=(4, 1, 8, 8, 8))})


def test_typed_columns_must_be_there(rng):
    with pytest.raises(InputError, match="no column weight"):
        Cohort.from_arrays(
            maps=_maps(rng),
            clinical=pd.DataFrame({"age": range(4)}),
            clinical_types={"weight": {"type": "numeric"}},
        )
