import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuromoe.dwi._correction import motion_numbers
from neuromoe.dwi._motion import framewise_displacement_mm
from neuromoe.dwi._prediction import leave_one_out_weights, predict_left_out
from neuromoe.imaging.geometry import apply_affine, rigid_matrix

from .phantom import table


@given(st.integers(7, 30), st.floats(0.6, 1.5), st.floats(0.01, 1.0))
def test_a_prediction_leaves_its_own_volume_out_and_keeps_a_constant(count, reach_rad, noise):
    weights = leave_one_out_weights(table(count).directions[1:], reach_rad, noise)
    assert np.array_equal(np.diag(weights), np.zeros(count))
    assert np.allclose(weights.sum(axis=1), 1)


def test_a_prediction_follows_the_direction_better_than_the_mean_does():
    gradients = table(30)[np.arange(1, 31)]
    along = np.array([1.0, 0, 0])
    signal = np.exp(-1.5 * (gradients.directions @ along) ** 2)[None, None, None]
    predicted = predict_left_out(signal, gradients, 1.2, 0.2)
    assert np.abs(predicted - signal).mean() < 0.4 * np.abs(signal.mean() - signal).mean()


def test_framewise_displacement_adds_shifts_and_arcs_of_50_mm():
    center = np.array([10.0, -5, 3])
    motion = np.stack([rigid_matrix(p, center) for p in [(0,) * 6, (1, 0, -2, 0, 0, 0), (1, 0, -2, 0.02, 0, 0)]])
    assert framewise_displacement_mm(motion, center) == pytest.approx([0, 3, 1], abs=1e-9)


def test_turning_about_the_centre_moves_no_centre():
    center = np.array([10.0, -5, 3])
    assert np.allclose(apply_affine(rigid_matrix((0, 0, 0, 0.3, 0.1, 0.2), center), center), center)


def test_motion_numbers_are_qsipreps_and_heed_the_runs():
    mask = np.ones((3, 3, 3), bool)
    rows = [(0, 0, 0, 0, 0, 0), (0.5, 0, 0, 0, 0, 0.02), (0.5, -2, 0, 0, 0, 0.02), (0.5, -2, 1, 0.01, 0, 0.02)]
    motion = np.stack([rigid_matrix(row, (1, 1, 1)) for row in rows])
    one = motion_numbers(motion, mask, np.eye(4), np.zeros(4, int))
    assert one["max_translation"] == pytest.approx(2) and one["max_rotation"] == pytest.approx(0.02)
    assert one["max_rel_translation"] == pytest.approx(2) and one["max_rel_rotation"] == pytest.approx(0.02)
    assert one["max_fd"] == pytest.approx(2) and one["mean_fd"] == pytest.approx((1.5 + 2 + 1.5) / 3)
    two = motion_numbers(motion, mask, np.eye(4), np.array([0, 0, 1, 1]))
    assert two["max_rel_translation"] == pytest.approx(1)
