import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from neuromoe.cohort.patches import brain_patches, cut_patches, join_patches, patch_grid, spread_patches

SIDES = st.tuples(*[st.integers(1, 9)] * 3)


@given(shape=SIDES, patch=st.integers(1, 4), seed=st.integers(0, 99))
def test_patches_of_the_whole_grid_join_to_the_same_volume(shape, patch, seed):
    volume = np.random.default_rng(seed).normal(size=(2, 3, *shape)).astype(np.float32)
    everywhere = np.argwhere(np.ones(patch_grid(shape, patch), bool))
    joined = join_patches(cut_patches(volume, patch), everywhere, patch_grid(shape, patch), patch)
    assert np.array_equal(joined[:, :, : shape[0], : shape[1], : shape[2]], volume)


@given(shape=SIDES, seed=st.integers(0, 99))
def test_patches_kept_are_those_with_brain_in_them(shape, seed):
    mask = np.random.default_rng(seed).random(shape) < 0.1
    places, grid = brain_patches(mask), patch_grid(shape)
    tokens = cut_patches(mask[None, None].astype(float))
    kept = tokens[:, np.ravel_multi_index(tuple(places.T), grid)]
    assert (kept.max(axis=2) == 1).all()
    assert np.array_equal(spread_patches(kept, places, grid), tokens)
