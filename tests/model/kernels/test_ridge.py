"""Kernel ridge regression in closed form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuromoe.model.kernels.ridge import RIDGES, solve, solve_landmarks


@given(seed=st.integers(0, 999), parts=st.integers(1, 5))
def test_what_is_held_out_in_closed_form_is_what_fitting_again_gives(seed, parts):
    rng = np.random.default_rng(seed)
    features, part = rng.normal(size=(20, 30)), np.arange(20) % parts
    kernel, wanted, ridges = features @ features.T, rng.normal(size=(20, 3)), rng.uniform(1, 5, 20)
    _, _, held_out = solve(kernel, wanted, part, ridges)
    if parts == 1:
        assert np.allclose(held_out, wanted.mean(axis=0))
        return
    for one in range(parts):
        kept, aside = np.flatnonzero(part != one), np.flatnonzero(part == one)
        dual, bias, _ = solve(kernel[np.ix_(kept, kept)], wanted[kept], part[kept], ridges[kept])
        assert np.allclose(held_out[aside], kernel[np.ix_(aside, kept)] @ dual + bias)


@pytest.mark.parametrize("features", [3, 200])
def test_with_everybody_a_landmark_the_solution_is_the_exact_one(rng, features):
    """Few features, as clinical ones, make a kernel of low rank: with rounding, it is not positive semidefinite."""
    people = 60
    maps = rng.normal(size=(people, features)).astype(np.float32)
    kernel = (maps @ maps.T).astype(float) / features
    wanted, parts = np.eye(2)[(maps[:, 0] > 0).astype(int)], np.arange(people) % 5
    trust, ridges = rng.uniform(0.1, 1.5, people), [ridge for ridge in RIDGES if ridge >= 0.1]
    found = list(solve_landmarks(kernel, np.arange(people), wanted, parts, trust, ridges))
    assert len(found) == len(ridges)
    for ridge, (dual, bias, held_out) in zip(ridges, found, strict=True):
        exact_dual, exact_bias, exact_held_out = solve(kernel, wanted, parts, ridge / trust)
        # What landmarks get of their own is 1e-5 of the kernel's diagonal; what is predicted is of the order of 1.
        assert np.allclose(held_out, exact_held_out, atol=0.01)
        assert np.allclose(kernel @ dual + bias, kernel @ exact_dual + exact_bias, atol=0.01)


def test_what_landmarks_say_of_a_part_does_not_know_its_classes(rng):
    maps, labels, parts = rng.normal(size=(40, 30)), rng.integers(0, 2, 40), np.arange(40) % 4
    kernel, marks = (maps @ maps.T)[:, ::2] / 30, np.arange(0, 40, 2)
    other = np.where(parts == 1, 1 - labels, labels)
    (said,), (changed,) = (
        [held_out for *_, held_out in solve_landmarks(kernel, marks, np.eye(2)[known], parts, np.ones(40), [1.0])]
        for known in (labels, other)
    )
    # A part is taken off sums that hold it: rounding alone is left of it.
    assert np.allclose(said[parts == 1], changed[parts == 1], rtol=0, atol=1e-10)
    assert not np.allclose(said[parts == 2], changed[parts == 2])
