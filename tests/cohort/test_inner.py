import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from neuromoe.cohort.inner import inner_parts, split_inner


def _people(seed: int, count: int, families: int):
    rng = np.random.default_rng(seed)
    return rng.integers(0, families, count), rng.integers(0, 3, count)


@given(seed=st.integers(0, 999), count=st.integers(3, 60), families=st.integers(2, 60))
def test_inner_parts_keep_families_whole(seed, count, families):
    groups, labels = _people(seed, count, families)
    parts = inner_parts(groups, labels, 5, seed)
    assert all(len(set(parts[groups == family])) == 1 for family in set(groups))


@given(seed=st.integers(0, 999), count=st.integers(3, 60), families=st.integers(2, 60), share=st.floats(0, 0.5))
def test_who_is_set_aside_leaves_every_class_and_no_relative_behind(seed, count, families, share):
    groups, labels = _people(seed, count, families)
    kept, aside = split_inner(groups, labels, share, seed)
    assert sorted([*kept, *aside]) == list(range(count))
    assert not set(groups[kept]) & set(groups[aside])
    assert set(labels[kept]) == set(labels)


def test_a_fifth_of_each_class_is_set_aside():
    labels = np.repeat([0, 1, 2], 10)
    _, aside = split_inner(np.arange(30), labels, 0.2, 0)
    assert np.bincount(labels[aside]).tolist() == [2, 2, 2]
