from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from neuromoe.cohort.people import people
from neuromoe.cohort.tables import flags, match_rows, quality_of, typed_clinical
from neuromoe.core.errors import InputError


@pytest.mark.parametrize(
    "values",
    [[1, 2, 3], [1.5, None, 2], [1, pd.NA, np.float32(2)], [np.int8(1), np.nan, 2.5], [Decimal("1.5"), None, None]],
)
def test_a_column_of_objects_that_are_all_numbers_is_numeric(values):
    _, types = typed_clinical(pd.DataFrame({"x": pd.Series(values, dtype=object)}), None)
    assert types == {"x": {"type": "numeric"}}


@pytest.mark.parametrize("values", [[True, False, None], [True, 1, 2], ["1", "2", None], [1, "x", 2.0]])
def test_truth_values_and_text_are_levels(values):
    _, types = typed_clinical(pd.DataFrame({"x": pd.Series(values, dtype=object)}), None)
    assert types == {"x": {"type": "categorical"}}


@pytest.mark.parametrize("columns", [["age", "age"], [1, "1"]])
def test_a_column_that_comes_twice_is_named(columns):
    table = pd.DataFrame([[1.0, 2.0], [3.0, 4.0]], columns=columns)
    with pytest.raises(InputError, match=f"several columns {columns[0]}"):
        typed_clinical(table, None)
    with pytest.raises(InputError, match=f"several columns {columns[0]}"):
        typed_clinical(table, {str(columns[0]): {"type": "numeric"}})


def test_a_column_that_comes_twice_and_is_not_asked_for_does_no_harm():
    table = pd.DataFrame([[1.0, 2.0, "x"], [3.0, 4.0, "y"]], columns=["note", "note", "sex"])
    kept, _ = typed_clinical(table, {"sex": {"type": "categorical"}})
    assert list(kept) == ["sex"]


def test_an_array_is_no_clinical_table():
    with pytest.raises(InputError, match="expected a pandas DataFrame.*found ndarray.*name its columns"):
        typed_clinical(np.ones((3, 2)), None)


def test_groups_that_share_a_participant_are_one():
    found = people(6, participants=list("aabcdd"), groups=["x", "y", "y", "z", None, "z"])["groups"]
    assert found.tolist() == ["x", "x", "x", "z", "z", "z"]
    assert people(3, participants=list("aab"))["groups"].tolist() == ["a", "a", "b"]
    assert people(0)["groups"].tolist() == []


def test_a_missing_name_is_no_other_persons():
    found = people(4, participants=[np.nan, 0, 1, 2], groups=[None, 2, 5, None])
    assert len(set(found["participants"])) == 4
    assert len(set(found["groups"])) == 4


def test_missing_labels_in_a_column_of_text_are_unlabeled():
    assert people(3, labels=np.array(["a", "n/a", np.nan]))["labels"].tolist() == ["a", None, None]


def test_text_of_many_numbers_is_numeric_and_of_few_a_code():
    table = pd.DataFrame({"age": [f"{50 + row / 2}" for row in range(20)], "arm": ["1", "2"] * 10})
    assert [about["type"] for about in typed_clinical(table, None)[1].values()] == ["numeric", "categorical"]


def test_infinite_values_are_missing_and_any_name_is_a_column():
    table, _ = typed_clinical(pd.DataFrame({"self": ["x", "n/a"], "age": [np.inf, 60.0]}), None)
    assert table.isna().to_numpy().tolist() == [[False, True], [True, False]]


def test_a_clinical_table_of_other_people_is_refused():
    index = pd.DataFrame({"participant_id": ["sub-01", "sub-02"], "session_id": ["n/a"] * 2})
    with pytest.raises(InputError, match="sub-P1"):
        match_rows(index, pd.DataFrame({"participant_id": ["P1", "P2"], "age": [1, 2]}))


def test_quality_numbers_and_presence_may_be_nullable():
    quality = pd.DataFrame({"snr": pd.array([1.5, None], dtype="Float64")})
    assert np.array_equal(quality_of({"anat": quality}, {"anat": 0}, 2)["anat"], [[1.5], [np.nan]], equal_nan=True)
    with pytest.raises(InputError, match="quality.*numbers, NaN where unknown"):
        quality_of({"anat": [["n/a"], [1]]}, {"anat": 0}, 2)
    assert flags(pd.array([True, False], dtype="boolean"), 2, "present").tolist() == [True, False]


@pytest.mark.parametrize("values", [[True, None], [1.0, np.nan], [[True], [False]], ["False", "True"], [2, 0]])
def test_presence_is_true_or_false(values):
    with pytest.raises(InputError, match="True or False for each row"):
        flags(values, 2, "present")
