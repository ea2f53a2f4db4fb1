import numpy as np
import pytest

from neuromoe.func._slicetiming import correct_slice_timing, middle_s, shift_in_time

TR_S = 2.0


@pytest.mark.parametrize(("hertz", "tolerance"), [(0.01, 1e-3), (0.1, 2e-3), (0.17, 0.05)])
def test_a_slow_fluctuation_is_shifted_exactly(hertz, tolerance):
    times = np.arange(120) * TR_S
    wave = np.sin(2 * np.pi * hertz * times)
    for volumes in (-0.45, 0.2, 0.5):
        wanted = np.sin(2 * np.pi * hertz * (times + volumes * TR_S))
        np.testing.assert_allclose(shift_in_time(wave, volumes)[10:-10], wanted[10:-10], atol=tolerance)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_excited_at_different_times_come_into_step(axis):
    slices = 6
    slice_times = np.array([0, 1.0, 0.33, 1.33, 0.66, 1.66])
    shape = [3, 3, 3]
    shape[axis] = slices
    moments = np.moveaxis(np.broadcast_to(slice_times, (3, 3, slices)), 2, axis)
    times = moments[..., None] + np.arange(100) * TR_S
    wave = lambda t: 100 + 5 * np.sin(2 * np.pi * 0.04 * t)  # noqa: E731
    found = correct_slice_timing(wave(times), slice_times, axis=axis, repetition_time_s=TR_S)
    wanted = wave(middle_s(slice_times) + np.arange(100) * TR_S)
    np.testing.assert_allclose(found[..., 10:-10], np.broadcast_to(wanted, found.shape)[..., 10:-10], atol=0.01)


def test_a_slice_at_the_moment_itself_is_left_alone(rng):
    series = rng.normal(size=(3, 3, 2, 20)).astype(np.float32)
    found = correct_slice_timing(series, np.array([0.0, 1.0]), axis=2, repetition_time_s=TR_S, moment_s=1.0)
    np.testing.assert_array_equal(found[:, :, 1], series[:, :, 1])
    assert not np.allclose(found[:, :, 0], series[:, :, 0], atol=0.1)


def test_a_spike_stays_where_it_is():
    series = np.zeros((1, 60))
    series[0, 30] = 100.0
    shifted = shift_in_time(series, 0.4)[0]
    assert np.abs(shifted[:20]).max() < 0.1 and np.abs(shifted[40:]).max() < 0.1


def test_the_ends_do_not_run_away():
    drift = np.linspace(0, 10, 50)[None]
    shifted = shift_in_time(drift, 0.5)
    assert shifted.min() > -0.2 and shifted.max() < 10.2
