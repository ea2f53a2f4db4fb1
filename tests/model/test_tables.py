from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from neuromoe.core.errors import InputError
from neuromoe.model.tables import people, typed_clinical


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
