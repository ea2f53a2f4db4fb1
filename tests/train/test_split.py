import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuromoe.core.errors import InputError
from neuromoe.train._folds import People, content_hash, deal, make_folds
from neuromoe.train.split import split

CHOICES = {"scheme": "kfold", "folds": 5, "repeats": 1, "validation_share": 0.2, "seed": 0}


@st.composite
def cohorts(draw, families: bool = True):
    """People of 2 to 4 classes with at least 6 unrelated ones each, at up to 3 sites, some in families."""
    sizes = draw(st.lists(st.integers(6, 20), min_size=2, max_size=4))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    classes = np.repeat([f"class{k}" for k in range(len(sizes))], sizes)
    names = np.array([f"sub-{i:03d}" for i in range(len(classes))])
    groups = names.copy()
    if families:
        for member in rng.permutation(len(names))[: draw(st.integers(0, 6))]:
            groups[member] = groups[rng.integers(len(names))]
    sites = np.array(["A", "B", "C"])[rng.integers(0, draw(st.integers(1, 3)), len(names))]
    return People(names, classes, groups, sites)


def _enough(people: People, count: int) -> bool:
    return all(len(set(people.groups[people.classes == name])) >= count for name in set(people.classes))


@settings(max_examples=60, deadline=None)
@given(people=cohorts(), folds=st.integers(2, 5), repeats=st.integers(1, 2), seed=st.integers(0, 99))
def test_no_family_is_in_two_parts_and_everybody_is_tested_once_per_repeat(people, folds, repeats, seed):
    if not _enough(people, folds):
        return
    made = make_folds(people, **{**CHOICES, "folds": folds, "repeats": repeats, "seed": seed})
    family = dict(zip(people.names, people.groups, strict=True))
    for one in made:
        parts = [{family[name] for name in one[part]} for part in ("train", "val", "test")]
        assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
        assert sorted(one["train"] + one["val"] + one["test"]) == people.names.tolist()
    for repeat in range(repeats):
        tested = [name for one in made if one["repeat"] == repeat for name in one["test"]]
        assert sorted(tested) == people.names.tolist()


@settings(max_examples=60, deadline=None)
@given(people=cohorts(families=False), parts=st.integers(2, 6), seed=st.integers(0, 99))
def test_classes_are_spread_to_within_one_person_and_parts_are_alike_in_size(people, parts, seed):
    part = deal(people, parts, np.random.default_rng(seed))
    for name in set(people.classes):
        counts = np.bincount(part[people.classes == name], minlength=parts)
        assert counts.max() - counts.min() <= 1
    sizes = np.bincount(part, minlength=parts)
    assert sizes.max() - sizes.min() <= len(set(people.classes))


@settings(max_examples=40, deadline=None)
@given(
    people=cohorts(),
    scheme=st.sampled_from(["kfold", "single", "leave-one-site-out"]),
    seed=st.integers(0, 9),
)
def test_the_training_part_holds_every_class(people, scheme, seed):
    if not _enough(people, 5) or (scheme != "kfold" and len(set(people.sites)) < 2):
        return
    label = dict(zip(people.names, people.classes, strict=True))
    for one in make_folds(people, **{**CHOICES, "scheme": scheme, "seed": seed}):
        rest = {label[name] for name in one["train"] + one["val"]}
        assert {label[name] for name in one["train"]} == rest


def test_sites_are_spread_within_classes():
    names = np.array([f"sub-{i:02d}" for i in range(60)])
    people = People(names, np.repeat(["a", "b"], 30), names, np.tile(["X", "Y", "Z"], 20))
    part = deal(people, 5, np.random.default_rng(0))
    for place in range(5):
        _, counts = np.unique(np.char.add(people.classes, people.sites)[part == place], return_counts=True)
        assert counts.tolist() == [2] * 6


def test_single_is_the_papers_50_25_25():
    names = np.array([f"sub-{i:02d}" for i in range(40)])
    people = People(names, np.repeat(["a", "b"], 20), names, np.full(40, ""))
    (one,) = make_folds(people, **{**CHOICES, "scheme": "single"})
    assert [len(one[part]) for part in ("train", "val", "test")] == [20, 10, 10]


def test_a_site_is_tested_by_the_others_and_relatives_elsewhere_sit_out():
    names = np.array([f"sub-{i:02d}" for i in range(24)])
    groups = names.copy()
    groups[0] = groups[12]
    people = People(names, np.tile(["a", "b"], 12), groups, np.repeat(["X", "Y"], 12))
    first, second = make_folds(people, **{**CHOICES, "scheme": "leave-one-site-out"})
    assert first["test"] == names[:12].tolist() and second["test"] == names[12:].tolist()
    assert "sub-12" not in first["train"] + first["val"] and "sub-00" not in second["train"] + second["val"]


def _write(path, rows):
    path.write_text("\n".join(["participant_id\tsession_id\tlabel\tsite\tgroup", *rows]) + "\n")


def _rows(count=20):
    return [f"sub-{i:02d}\tses-{s}\t{'ab'[i % 2]}\tn/a\tn/a" for i in range(count) for s in (1, 2)]


def test_file_is_reproducible_hashed_and_leaves_the_unlabeled_out(tmp_path):
    _write(tmp_path / "clinical.tsv", [*_rows(), "sub-99\tses-1\tn/a\tn/a\tn/a"])
    for name in ("a.json", "b.json"):
        split(clinical=tmp_path / "clinical.tsv", split=tmp_path / name, repeats=2)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["hash"] == content_hash(content) and content["classes"] == {"a": 10, "b": 10}
    assert [(one["repeat"], one["fold"]) for one in content["folds"]] == [(r, f) for r in range(2) for f in range(5)]
    assert content["folds"][0]["test"] != content["folds"][5]["test"]
    assert "sub-99" not in json.dumps(content)


def test_too_few_people_and_several_diagnoses_are_named(tmp_path):
    table, out = tmp_path / "clinical.tsv", tmp_path / "split.json"
    _write(table, _rows(8))
    with pytest.raises(InputError, match="at least 5 unrelated people each, found a: 4, b: 4"):
        split(clinical=table, split=out)
    _write(table, [*_rows(), "sub-00\tses-3\tb\tn/a\tn/a"])
    with pytest.raises(InputError, match="several for sub-00"):
        split(clinical=table, split=out)
    _write(table, _rows())
    with pytest.raises(InputError, match="0 sites"):
        split(clinical=table, split=out, scheme="leave-one-site-out")
    with pytest.raises(InputError, match="'loo'"):
        split(clinical=table, split=out, scheme="loo")
    _write(table, [])
    with pytest.raises(InputError, match="nobody with a label"):
        split(clinical=table, split=out)
    assert not out.exists()
