import numpy as np

from neuromoe.model.kernels.linear import log_softmax


def test_probabilities_sum_to_one_over_the_last_axis_of_any_array(rng):
    for shape in ((4, 3), (4, 2, 3)):
        assert np.allclose(np.exp(log_softmax(rng.normal(size=shape))).sum(axis=-1), 1)
