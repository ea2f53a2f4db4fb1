"""Linear experts that a network's experts start from."""

import numpy as np

from neuromoe.model.kernels.linear_experts import Compared, LinearTraining
from neuromoe.model.shared.maps import Read


def _maps(rng, labels):
    return rng.normal(size=(len(labels), 30)) + 0.5 * labels[:, None]


def _training(maps, labels):
    compared = Compared.of(Read(lambda rows: maps[rows], (3, 2, 5)), len(labels), seed=0)
    parts, there = np.arange(len(labels)) % 5, np.ones((len(labels), 1), bool)
    return LinearTraining({0: compared}, there, labels, parts, np.ones(len(labels)), 2)


def test_what_is_said_of_people_outside_does_not_know_their_labels(rng):
    labels = rng.integers(0, 2, 40)
    maps, inside = _maps(rng, labels), np.arange(40) % 5 != 2
    said = []
    for outside in (labels[~inside], 1 - labels[~inside]):
        known = labels.copy()
        known[~inside] = outside
        training = _training(maps, known)
        said.append(training.fit(np.ones((40, 1)), inside, training.channel_weights(inside))[1])
    assert np.array_equal(*said)
    assert (said[0][:, 0].argmax(axis=1) == labels).mean() > 0.7


def test_the_expert_of_features_says_what_the_kernel_does(rng):
    labels = rng.integers(0, 2, 40)
    training = _training(_maps(rng, labels), labels)
    inside = np.arange(40) >= 8
    fits, said = training.fit(np.ones((40, 1)), inside, training.channel_weights(inside))
    compared = training.compared[0]
    outside = compared.expert(fits[0]).log_proba(compared.read, 40)[~inside]
    assert np.allclose(outside, said[~inside, 0], atol=1e-4)


def test_a_channel_of_noise_has_next_to_no_weight_in_the_expert(rng):
    labels = rng.integers(0, 2, 60)
    maps = rng.normal(size=(60, 3, 2, 5))
    maps[:, :, 0] += 0.6 * labels[:, None, None]
    training = _training(maps.reshape(60, 30), labels)
    everybody = np.ones(60, bool)
    fits, _ = training.fit(np.ones((60, 1)), everybody, training.channel_weights(everybody))
    assert fits[0].channels[1] < 0.1
    told, noise = np.abs(training.compared[0].expert(fits[0]).weights).mean(axis=(1, 2))
    assert noise < told / 3


def test_of_more_people_than_are_drawn_all_are_spoken(rng, monkeypatch):
    for name in ("EXACT", "LANDMARKS"):
        monkeypatch.setattr(f"neuromoe.model.kernels.linear_experts.{name}", 30)
    labels = np.arange(60) % 2
    training = _training(_maps(rng, labels), labels)
    everybody = np.ones(60, bool)
    said = training.fit(np.ones((60, 1)), everybody, training.channel_weights(everybody))[1]
    assert len(training.compared[0].marks) == 30 and (said != 0).all()
    assert (said[:, 0].argmax(axis=1) == labels).mean() > 0.7
