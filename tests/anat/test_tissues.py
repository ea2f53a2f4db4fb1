"""The mixture of three tissues on made values and on the tiny phantom, whose labels are known."""

import numpy as np
import pytest

from neuromoe.anat._mixture import mixture_probabilities
from neuromoe.anat._tissues import segment
from neuromoe.imaging.images import load_image
from neuromoe.imaging.template import Template
from neuromoe.imaging.transforms import read_transform

MEANS = np.array([30.0, 65.0, 95.0])
SHAPE = (24, 24, 24)


@pytest.fixture
def slabs(rng):
    """Three slabs, their noisy values, and priors that know them only roughly."""
    truth = np.repeat([0, 1, 2], 8)[:, None, None] * np.ones(SHAPE, int)
    priors = np.stack([np.where(truth == tissue, 0.5, 0.25) for tissue in range(3)])
    return truth, MEANS[truth] + rng.normal(0, 15, SHAPE), priors


def test_neighbours_tell_noisy_voxels_where_they_belong(slabs):
    truth, values, priors = slabs
    inside = np.ones(SHAPE, bool)
    alone, together = (
        (mixture_probabilities(values, inside, priors, smoothing=weight).argmax(axis=0) == truth).mean()
        for weight in (0.0, 1.0)
    )
    assert alone < 0.95
    assert together > 0.99


def test_probabilities_sum_to_one_in_the_mask_alone_at_any_scale(slabs):
    truth, values, priors = slabs
    inside = np.zeros(SHAPE, bool)
    inside[:, 2:-2] = True
    found, scaled = (mixture_probabilities(values * scale, inside, priors) for scale in (1, 1000))
    np.testing.assert_allclose(found.sum(axis=0)[inside], 1, atol=1e-5)
    assert found[:, ~inside].max() == 0
    np.testing.assert_allclose(found, scaled, atol=1e-3)
    assert (mixture_probabilities(values, inside, priors) == found).all()


@pytest.mark.parametrize("values", [np.ones(SHAPE), -np.arange(24.0)[:, None, None] * np.ones(SHAPE)])
def test_what_has_no_three_tissues_in_the_order_of_a_t1w_is_refused(values, slabs):
    with pytest.raises(RuntimeError, match="no three tissues"):
        mixture_probabilities(values, np.ones(SHAPE, bool), slabs[2])


def test_the_mixture_finds_the_phantoms_tissues(phantom, small_template):
    """Within 0.1 of the Dice that the phantom's own priors reach, which here are as good as the truth."""
    head, mask, labels = (load_image(path, ndim=3) for path in (phantom.t1w, phantom.mask, phantom.labels))
    inside, way = mask.data > 0.5, read_transform(phantom.transform)
    found = segment(head, inside, Template.load(small_template), way, backend="torch")
    np.testing.assert_allclose(found.sum(axis=0)[inside], 1, atol=1e-3)
    for tissue, label, least in ((1, 1, 0.85), (2, 2, 0.80), (0, 3, 0.55)):
        ours, true = (found.argmax(axis=0) == tissue) & inside, labels.data == label
        assert 2 * (true & ours).sum() / (true.sum() + ours.sum()) > least
