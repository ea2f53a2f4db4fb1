import json

import numpy as np
import pandas as pd
import pytest

from neuromoe.cohort.clinical import ClinicalEncoder
from neuromoe.cohort.tables import typed_clinical
from neuromoe.core.errors import InputError

TYPES = {
    "age": {"type": "numeric"},
    "sex": {"type": "categorical", "levels": ["F", "M"]},
    "stage": {"type": "ordinal", "levels": ["none", "mild", "severe"]},
}


def _table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "age": [40.0, 60.0, 80.0, np.nan],
            "sex": ["F", "M", np.nan, "F"],
            "stage": ["none", "mild", "severe", "mild"],
        }
    )


def test_missing_number_is_the_training_median_and_flagged():
    encoder = ClinicalEncoder.fit(_table(), TYPES)
    encoded = pd.DataFrame(encoder.encode(_table(), 4), columns=encoder.features)
    assert encoded["age"].iloc[[1, 3]].tolist() == [0, 0]
    assert encoded["age missing"].tolist() == [0, 0, 0, 1]
    assert encoded[["sex=F", "sex=M", "sex missing"]].iloc[2].tolist() == [0, 0, 1]


def test_ordinal_levels_keep_their_order_and_unknown_levels_count_as_missing():
    encoder = ClinicalEncoder.fit(_table(), TYPES)
    strange = _table().assign(stage=["severe", "mild", "none", "dreadful"], sex="X")
    encoded = pd.DataFrame(encoder.encode(strange, 4), columns=encoder.features)
    assert encoded["stage"].iloc[0] > encoded["stage"].iloc[1] > encoded["stage"].iloc[2]
    assert encoded["sex missing"].eq(1).all()


def test_nothing_of_other_people_enters_and_outliers_are_limited():
    encoder = ClinicalEncoder.fit(_table(), TYPES)
    outlying = _table().assign(age=[40.0, 60.0, 1e12, np.inf])
    assert np.array_equal(encoder.encode(outlying, 4)[:2], encoder.encode(_table(), 4)[:2])
    assert encoder.encode(outlying, 4).max() == 8


def test_encoder_survives_json():
    encoder = ClinicalEncoder.fit(_table(), TYPES)
    again = ClinicalEncoder.from_facts(json.loads(json.dumps(encoder.facts())))
    assert again == encoder


def test_missing_column_and_unknown_type_are_named():
    encoder = ClinicalEncoder.fit(_table(), TYPES)
    with pytest.raises(InputError, match="no column age"):
        encoder.encode(_table().drop(columns="age"), 4)
    with pytest.raises(InputError, match="'nominal'"):
        ClinicalEncoder.fit(_table(), {"sex": {"type": "nominal"}})


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, object])
@pytest.mark.parametrize("ordered", [False, True])
def test_levels_that_are_numbers_are_found_again(dtype, ordered):
    column = pd.Categorical(np.array([2, 1, 1], dtype), categories=np.array([1, 2, 3], dtype), ordered=ordered)
    table, types = typed_clinical(pd.DataFrame({"x": column}), None)
    encoder = ClinicalEncoder.fit(table, types)
    encoded = pd.DataFrame(encoder.encode(table, 3), columns=encoder.features)
    if ordered:
        assert encoded["x"].iloc[0] > encoded["x"].iloc[1] == encoded["x"].iloc[2]
    else:
        assert encoded.to_numpy().tolist() == [[0, 1, 0], [1, 0, 0], [1, 0, 0]]


def test_levels_read_as_floats_because_some_are_missing_are_found_again():
    table, types = typed_clinical(pd.DataFrame({"x": pd.Categorical([1.0, 2.0, np.nan])}), None)
    encoder = ClinicalEncoder.fit(table, types)
    assert encoder.features == ["x=1", "x=2", "x missing"]
    assert encoder.encode(table, 3).tolist() == np.eye(3).tolist()


def test_numbers_among_objects_are_scaled():
    column = pd.Series([40, None, 60.0, 80], dtype=object)
    table, types = typed_clinical(pd.DataFrame({"age": column}), None)
    encoder = ClinicalEncoder.fit(table, types)
    assert encoder.features == ["age", "age missing"]
    assert encoder.encode(table, 4)[:, 0] == pytest.approx(np.array([-1, 0, 0, 1]) * np.sqrt(1.5))


def test_whole_numbers_that_a_table_writes_with_a_point_are_the_sidecars_levels():
    table = pd.DataFrame({"sex": ["1.0", "2.0", np.nan, "1"]})
    encoder = ClinicalEncoder.fit(table, {"sex": {"type": "categorical", "levels": ["1", "2"]}})
    assert encoder.encode(table, 4).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]
    assert ClinicalEncoder.fit(table, {"sex": {"type": "categorical"}}).features == ["sex=1", "sex=2", "sex missing"]
