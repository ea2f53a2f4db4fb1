"""Clinical columns and what their data dictionaries say of them."""

import json

from neuromoe.bids._people import People, check_people, column_types


def _dataset(folder, dictionary: str):
    (folder / "participants.tsv").write_text("participant_id\tgroup\tsex\tstage\tage\nsub-1\ta\tF\tmild\t50\n")
    (folder / "participants.json").write_text(dictionary)
    return People(folder, [])


def test_levels_come_from_the_data_dictionary_in_its_order(tmp_path):
    about = {
        "sex": {"Levels": {"M": "male", "F": "female"}},
        "stage": {"Levels": {"none": "", "mild": "", "severe": ""}},
    }
    people = _dataset(tmp_path, json.dumps(about | {"age": {"Units": "year"}}))
    asked = {"sex": "auto", "stage": "ordinal", "age": "auto"}
    types = column_types(asked, ["age"], people.levels)
    assert types["sex"] == {"type": "categorical", "levels": ["M", "F"], "serum": False}
    assert types["stage"] == {"type": "ordinal", "levels": ["none", "mild", "severe"], "serum": False}
    assert types["age"] == {"type": "numeric", "levels": [], "serum": True}


def test_the_configuration_overrules_the_data_dictionary(tmp_path):
    people = _dataset(tmp_path, json.dumps({"stage": {"Levels": {"mild": "", "none": ""}}}))
    asked = {"stage": {"type": "ordinal", "levels": ["none", "mild"]}}
    assert column_types(asked, [], people.levels)["stage"]["levels"] == ["none", "mild"]
    assert column_types({"stage": "numeric"}, [], people.levels)["stage"]["levels"] == []


def test_a_broken_data_dictionary_is_said_and_not_used(tmp_path):
    for broken in ("{", "[1]", '{"sex": 3}'):
        people = _dataset(tmp_path, broken)
        issues = check_people(people, [("sub-1", "n/a")], "group", ["sex"])
        assert people.levels == {} and [issue.code for issue in issues] == ["TABLE_DICTIONARY"]
