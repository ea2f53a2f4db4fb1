import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuromoe.core.atomic import replacing, write_if_changed, write_json
from neuromoe.core.errors import InputError
from neuromoe.core.provenance import read_metadata, write_sidecar
from neuromoe.core.quality import read_quality, worst, write_quality
from neuromoe.core.tables import format_table, read_table


def test_a_failed_step_leaves_the_old_file_and_no_trace(tmp_path):
    (tmp_path / "x.txt").write_text("old")
    with pytest.raises(RuntimeError), replacing(tmp_path / "x.txt") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["x.txt"]
    assert (tmp_path / "x.txt").read_text() == "old"


def test_an_unchanged_text_keeps_its_time(tmp_path):
    write_if_changed(tmp_path / "x", "a")
    before = (tmp_path / "x").stat().st_mtime_ns
    write_if_changed(tmp_path / "x", "a")
    assert (tmp_path / "x").stat().st_mtime_ns == before


def test_numbers_that_are_not_finite_become_null(tmp_path):
    write_json(tmp_path / "x.json", {"a": np.array([1.0, np.nan]), "b": [float("inf")]})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": [1.0, None], "b": [None]}


cell = st.text("abc 1.é", min_size=1, max_size=5).map(str.strip).filter(lambda text: text not in ("", "n/a"))


@given(st.lists(st.tuples(cell, cell), max_size=5))
def test_a_table_is_written_and_read_again(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("table") / "x.tsv"
    path.write_text(format_table([{"a": a, "b": b} for a, b in rows], ["a", "b"]))
    assert [tuple(row.values()) for row in read_table(path)] == rows


def test_a_ragged_table_is_told_with_its_line(tmp_path):
    (tmp_path / "x.tsv").write_text("a\tb\n1\n")
    with pytest.raises(InputError, match="1 in line 2"):
        read_table(tmp_path / "x.tsv")


def test_the_nearest_sidecar_wins(tmp_path):
    for name, value in (("far", 1), ("near", 2)):
        (tmp_path / f"{name}.json").write_text(json.dumps({"EchoTime": value, name: True}))
    assert read_metadata([tmp_path / "far.json", tmp_path / "near.json"]) == {
        "EchoTime": 2,
        "far": True,
        "near": True,
    }


def test_a_sidecar_has_the_name_of_its_image(tmp_path):
    write_sidecar(tmp_path / "sub-01_T1w.nii.gz", sources=["raw"], parameters={"seed": 0}, SkullStripped=False)
    record = json.loads((tmp_path / "sub-01_T1w.json").read_text())
    assert (record["Sources"], record["SkullStripped"]) == (["raw"], False)


def test_quality_keeps_numbers_verdict_and_reasons(tmp_path):
    write_quality(tmp_path / "q.json", {"fd_mean": 0.1234567891}, "warn", ["moved"])
    assert read_quality(tmp_path / "q.json") == {
        "numbers": {"fd_mean": 0.123457},
        "verdict": "warn",
        "reasons": ["moved"],
    }
    with pytest.raises(ValueError, match="maybe"):
        write_quality(tmp_path / "q.json", {}, "maybe")
    assert worst(["warn", "fail", "pass"]) == "fail"
