import re

import numpy as np
import pandas as pd
import pytest

from neuromoe.cohort.quality import quality_numbers
from neuromoe.core.atomic import write_json
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


def test_an_empty_mask_is_refused_where_there_are_maps(rng):
    with pytest.raises(InputError, match="at least one voxel of brain"):
        Cohort.from_arrays(maps=_maps(rng), mask=np.zeros((8, 8, 8), bool))
    assert len(Cohort.from_arrays(maps={}, clinical=pd.DataFrame({"age": [50.0, 60.0]}))) == 2


@pytest.mark.parametrize("argument", ["present", "quality", "channels"])
def test_a_key_that_is_no_modality_is_named_beside_those_that_are(rng, argument):
    given = {"anta": np.ones(4, bool), "func": np.ones(4, bool)}
    with pytest.raises(InputError, match=f"{argument}: expected .* anat, func, found 'anta'. .* spell the keys"):
        Cohort.from_arrays(maps=_maps(rng), **{argument: given})


def test_who_lacks_clinical_data_is_told_by_empty_cells_and_not_by_present(rng):
    table = pd.DataFrame({"age": [1.0, 2.0, 3.0, 4.0]})
    with pytest.raises(InputError, match=r"found 'clinical'\. .* leave the person's clinical row empty \(NaN\)"):
        Cohort.from_arrays(maps=_maps(rng), clinical=table, present={"clinical": [True, True, True, False]})


@pytest.mark.parametrize("names", [["T1w"], ["T1w", "GM", "WM"], ["T1w", "T1w"], [], "T1w"])
def test_each_channel_has_a_name_of_its_own(rng, names):
    with pytest.raises(InputError, match=r"channels\['anat'\]: expected 2 different names"):
        Cohort.from_arrays(maps=_maps(rng), channels={"anat": names})


def test_names_of_channels_are_kept_as_text(rng):
    cohort = Cohort.from_arrays(maps=_maps(rng), channels={"anat": ("T1w", 2), "func": np.array(["ALFF"])})
    assert cohort.channels == {"anat": ["T1w", "2"], "func": ["ALFF"]}
    assert Cohort.from_arrays(maps=_maps(rng)).channels == {}


@pytest.mark.parametrize("name", ["joint", "clinical", "t1.w", "anat+dwi", "t1 w", "", 1])
def test_a_name_that_no_modality_can_have_is_refused(rng, name):
    with pytest.raises(InputError, match="names of imaging modalities.*found " + re.escape(repr(name))):
        Cohort.from_arrays(maps={**_maps(rng), name: rng.normal(size=(4, 1, 8, 8, 8))})


@pytest.mark.parametrize("name", ["T1w-2", "asl_cbf"])
def test_names_may_have_digits_hyphens_and_underscores(rng, name):
    cohort = Cohort.from_arrays(maps={name: rng.normal(size=(4, 1, 8, 8, 8))}, present={name: np.ones(4, bool)})
    assert cohort.modalities == (name,)


def _store(folder, name="anat", places=1):
    about = {"modalities": {name: {"channels": ["T1w"], "quality": []}}, "patch": 4, "patch_grid": [1, 1, 1]}
    write_json(folder / "store.json", about)
    (folder / "index.tsv").write_text(f"participant_id\tsession_id\t{name}\nsub-1\tn/a\t0\nsub-2\tn/a\t1\n")
    np.save(folder / f"{name}.npy", np.ones((2, places, 64), np.float16))
    np.save(folder / f"quality_{name}.npy", np.empty((2, 0), np.float32))
    np.save(folder / "tokens.npy", np.zeros((places, 3), np.int16))
    return folder


def test_a_store_is_checked_as_arrays_are(tmp_path):
    assert Cohort.open(_store(tmp_path)).modalities == ("anat",)
    twice = pd.DataFrame([[50.0, 60.0], [51.0, 61.0]], columns=["age", "age"])
    with pytest.raises(InputError, match="several columns age"):
        Cohort.open(tmp_path, clinical=twice)
    with pytest.raises(InputError, match="found 'joint'"):
        Cohort.open(_store(tmp_path, "joint"))
    with pytest.raises(InputError, match="at least one voxel of brain"):
        Cohort.open(_store(tmp_path, places=0))
    np.save(tmp_path / "quality_anat.npy", np.empty((1, 0), np.float32))
    with pytest.raises(InputError, match="expected 2 rows, as in index.tsv, found 1"):
        Cohort.open(tmp_path)
    for name in ("anat.npy", "tokens.npy", "index.tsv"):
        (_store(tmp_path) / name).unlink()
        with pytest.raises(InputError, match="a store, whole"):
            Cohort.open(tmp_path)


def test_quality_numbers_of_a_table_are_known_by_name(rng):
    table = pd.DataFrame(rng.normal(size=(4, 2)), columns=["snr", "motion"])
    there, swapped = (
        Cohort.from_arrays(maps=_maps(rng), quality={"func": table[names]})
        for names in (["snr", "motion"], ["motion", "snr"])
    )
    numbers = quality_numbers(there, np.arange(4), "func", None)
    assert numbers.keys() == {"snr", "motion"}
    for name, values in quality_numbers(swapped, np.arange(4), "func", None).items():
        np.testing.assert_array_equal(values, numbers[name])


@pytest.mark.parametrize(
    "maps", [None, np.zeros((2, 1, 8, 8, 8)), {"anat": np.full((2, 1, 8, 8, 8), "x")}, {"anat": [[1], [1, 2]]}]
)
def test_maps_of_another_kind_are_refused(maps):
    with pytest.raises(InputError, match="found"):
        Cohort.from_arrays(maps=maps, labels=[0, 1])
