import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuromoe.func._maps import amplitude, connectivity, homogeneity, ranks, sphere

TR_S, VOLUMES, BAND_HZ = 2.0, 100, (0.01, 0.1)


@given(cycles=st.integers(2, 20), size=st.floats(0.5, 50), phase=st.floats(0, 6))
def test_a_pure_fluctuation_in_the_band_has_all_its_amplitude_there(cycles, size, phase):
    course = size * np.sin(2 * np.pi * cycles * np.arange(VOLUMES) / VOLUMES + phase)
    alff, falff = amplitude(course[None], repetition_time_s=TR_S, band_hz=BAND_HZ)
    assert falff[0] == pytest.approx(1.0, abs=1e-5)
    assert alff[0] == pytest.approx(size / 19, rel=1e-4)


def test_a_fluctuation_outside_the_band_counts_in_the_denominator_only():
    times = 2 * np.pi * np.arange(VOLUMES) / VOLUMES
    course = 3 * np.sin(10 * times) + 1 * np.sin(40 * times)
    _, falff = amplitude(course[None], repetition_time_s=TR_S, band_hz=BAND_HZ)
    assert falff[0] == pytest.approx(0.75, abs=1e-5)


def test_a_constant_course_has_no_amplitude():
    alff, falff = amplitude(np.zeros((1, VOLUMES)), repetition_time_s=TR_S, band_hz=BAND_HZ)
    assert alff[0] == 0 and falff[0] == 0


def test_white_noise_has_the_bands_share_of_the_spectrum(rng):
    _, falff = amplitude(rng.normal(size=(3000, VOLUMES)), repetition_time_s=TR_S, band_hz=BAND_HZ)
    assert falff.mean() == pytest.approx(19 / 50, abs=0.01)


def test_equal_neighbours_agree_fully(rng):
    course = rng.normal(size=VOLUMES)
    scaled = rng.uniform(1, 9, 125)[:, None] * course + rng.normal(size=125)[:, None]
    found = homogeneity(ranks(scaled), np.ones((5, 5, 5), bool), least_neighbours=1)
    np.testing.assert_allclose(found, 1.0, atol=1e-5)


def test_independent_neighbours_agree_by_one_in_27(rng):
    found = homogeneity(ranks(rng.normal(size=(1000, 300))), np.ones((10, 10, 10), bool))
    assert found[1:-1, 1:-1, 1:-1].mean() == pytest.approx(1 / 27, rel=0.05)


def test_homogeneity_is_kendalls_w_by_its_definition(rng):
    shape, mask = (4, 5, 3), np.ones((4, 5, 3), bool)
    mask[0, 0, 0] = mask[2, 3, 1] = False
    courses = rng.normal(size=(*shape, 40)) + 0.8 * rng.normal(size=40)
    found = homogeneity(ranks(courses[mask]), mask, least_neighbours=1)
    for x, y, z in [(1, 1, 1), (0, 1, 0), (3, 4, 2), (2, 2, 1)]:
        box = tuple(slice(max(i - 1, 0), i + 2) for i in (x, y, z))
        neighbours = ranks(courses[box][mask[box]]).astype(float)
        sums = neighbours.sum(axis=0)
        count, volumes = neighbours.shape
        wanted = 12 * ((sums - sums.mean()) ** 2).sum() / (count**2 * (volumes**3 - volumes))
        assert found[x, y, z] == pytest.approx(wanted, rel=1e-4)
    assert found[0, 0, 0] == found[2, 3, 1] == 0


def test_spaced_neighbours_undo_the_agreement_that_interpolation_makes(rng):
    coarse = rng.normal(size=(6, 6, 6, 200))
    fine = coarse.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    mask = np.ones(fine.shape[:3], bool)
    rank = ranks(fine.reshape(-1, 200))
    inner = (slice(4, -4),) * 3
    assert homogeneity(rank, mask, spacing=(2, 2, 2))[inner].mean() == pytest.approx(1 / 27, rel=0.2)
    assert homogeneity(rank, mask)[inner].mean() > 3 / 27


def test_voxels_with_few_neighbours_are_left_out(rng):
    mask = np.zeros((5, 5, 5), bool)
    mask[2, 2, :] = True
    assert not homogeneity(ranks(rng.normal(size=(5, 50))), mask).any()


def test_ranks_are_one_to_n_in_order_of_size():
    np.testing.assert_array_equal(ranks(np.array([[0.3, -1.0, 7.0], [5.0, 4.0, 3.0]])), [[2, 1, 3], [3, 2, 1]])


@pytest.mark.parametrize("correlation", [-0.6, 0.0, 0.8])
def test_connectivity_is_fishers_z_of_the_correlation(rng, correlation):
    seed, other = rng.normal(size=(2, 20_000))
    series = correlation * seed + np.sqrt(1 - correlation**2) * other
    found = connectivity(np.stack([4 * series + 3, seed, 0 * seed]), seed)
    assert found[0] == pytest.approx(np.arctanh(correlation), abs=0.03)
    assert np.isfinite(found[1]) and found[1] > 5 and found[2] == 0


def test_a_sphere_holds_what_is_near():
    points = np.array([[0.0, 0, 0], [0, 5.9, 0], [4, 4, 4]])
    assert sphere(points, (0, 0, 0), 6.0).tolist() == [True, True, False]
