"""People compared."""

import numpy as np
import pytest

from neuromoe.model.kernels.kernels import Likeness, Maps, compare, likeness_between
from neuromoe.model.shared.maps import Frame, Read


def test_product_kernel_holds_the_sum_and_the_products_of_two_modalities(rng):
    first, second = rng.normal(size=(6, 4)), rng.normal(size=(6, 5))
    likenesses = [Likeness(x @ x.T, (x**2).sum(axis=1), (x**2).sum(axis=1)) for x in (first, second)]
    pairs = np.einsum("ni,nj->nij", first, second).reshape(6, -1)
    features = np.hstack([first, second, pairs])
    assert np.allclose(compare("product", likenesses), features @ features.T)


def test_the_size_of_blocks_does_not_matter(rng, monkeypatch):
    features, shape = rng.normal(3, 1, (9, 12)).astype(np.float32), (3, 2, 2)

    def found() -> Likeness:
        read = Read(lambda rows: features[rows], shape)
        maps = Maps(read, np.arange(9), Frame.fit(read, 9))
        return likeness_between(Read(lambda rows: features[rows + 5], shape), np.array([0, 2]), 4, maps, 9)

    whole = found()
    monkeypatch.setattr("neuromoe.model.shared.maps._BLOCK", 24)
    # Single precision of sums of six.
    assert np.allclose(found().inner, whole.inner, atol=1e-5) and np.allclose(found().left, whole.left, atol=1e-5)
    assert whole.inner.shape == (2, 4, 9) and (whole.inner[:, [1, 3]] == 0).all()
    assert whole.right.mean(axis=1) == pytest.approx([1, 1], abs=1e-5)


def test_channels_are_compared_one_by_one_whatever_the_order_of_patches_and_voxels(rng):
    values = rng.normal(size=(8, 3, 2, 5)).astype(np.float32)
    read = Read(lambda rows: values[rows].reshape(len(rows), 3, 10), (3, 2, 5))
    maps = Maps(read, np.arange(8), Frame.fit(read, 8))
    found = likeness_between(read, np.arange(8), 8, maps, 8)
    for channel in range(2):
        centred = (values[:, :, channel] - values[:, :, channel].mean(axis=0)).reshape(8, 15)
        centred /= np.sqrt((centred**2).sum(axis=1).mean())
        assert np.allclose(found.inner[channel], centred @ centred.T, atol=1e-5)
    weighed = found.weighed(np.array([0.25, 0.75]))
    assert np.allclose(weighed.inner, found.inner[0] / 4 + found.inner[1] * 3 / 4)
    assert np.allclose(weighed.left, np.diag(weighed.inner), atol=1e-5)
