"""How much each channel counts."""

import numpy as np
import pytest

from neuromoe.model.kernels.channels import gains, pair_gains, weigh


def _kernel(maps):
    centred = maps - maps.mean(axis=0)
    return centred @ centred.T / maps.shape[1]


def _known(labels):
    return labels, np.arange(len(labels)) % 5, 2, np.ones(len(labels))


def test_a_channel_of_noise_beside_one_that_tells_counts_next_to_nothing(rng):
    labels = rng.integers(0, 2, 80)
    told = rng.normal(size=(80, 30)) + 0.6 * labels[:, None]
    kernels = np.stack([_kernel(told), _kernel(rng.normal(size=(80, 30)))])
    weights = weigh(gains(kernels, *_known(labels)), 80)
    assert weights[1] < 0.1 and weights.sum() == pytest.approx(1)


@pytest.mark.parametrize("seed", range(6))
def test_channels_of_noise_count_about_the_same(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, 80)
    kernels = np.stack([_kernel(rng.normal(size=(80, 30))) for _ in range(2)])
    weights = weigh(gains(kernels, *_known(labels)), 80)
    assert weights.min() > 0.2 and weights.max() < 0.8


def test_channels_that_tell_only_together_are_found_in_pairs(rng):
    """The class is the product of two signs, each in the first channel of a modality; the second is noise."""
    signs = rng.choice([-1, 1], (120, 2))
    labels = (signs.prod(axis=1) > 0).astype(int)
    kernels = [
        np.stack([_kernel(rng.normal(size=(120, 20)) + sign[:, None]), _kernel(rng.normal(size=(120, 20)))])
        for sign in signs.T
    ]
    alone = [gains(one, *_known(labels)) for one in kernels]
    together = pair_gains(kernels, *_known(labels))
    for one, both in zip(alone, together, strict=True):
        assert one.max() < 0.05 and both[0] > 0.3 and both[1] < both[0] / 4
        assert weigh(both, 120)[1] < 0.1 < weigh(one, 120).min()


def test_a_channel_that_is_the_same_in_everybody_gains_nothing(rng):
    labels = rng.integers(0, 2, 30)
    assert gains(np.zeros((1, 30, 30)), *_known(labels)).tolist() == [0]
    assert np.allclose(weigh(np.zeros(4), 30), 0.25)
