"""The numbers with MRIQC's names, against computations of their own."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr

from neuromoe.func._quality import ghost_ratio, global_correlation, image_numbers, quality_index, smoothness
from neuromoe.imaging.images import Image

BRAIN = np.zeros((20, 24, 10), bool)
BRAIN[4:14, 5:15, 2:8] = True


def test_the_quality_index_is_one_less_the_rank_correlation_with_the_median_volume(rng):
    courses = rng.normal(100, 20, (400, 1)) + rng.normal(0, 8, (400, 12))
    usual = np.median(courses, axis=1)
    expected = np.mean([1 - spearmanr(usual, volume).statistic for volume in courses.T])
    assert quality_index(courses) == pytest.approx(expected, abs=1e-9)


def test_a_spoilt_volume_raises_the_quality_index(rng):
    courses = rng.normal(100, 20, (400, 1)) + rng.normal(0, 1, (400, 12))
    spoilt = courses.copy()
    spoilt[:, 4] = rng.permutation(spoilt[:, 4])
    assert quality_index(spoilt) > quality_index(courses) + 0.05


def test_the_global_correlation_is_the_mean_of_all_pairs(rng):
    courses = rng.normal(0, 1, (30, 25)) + rng.normal(0, 1, 25)
    assert global_correlation(courses) == pytest.approx(np.corrcoef(courses).mean(), abs=1e-9)


def test_the_smoothness_of_noise_is_that_of_its_filter(rng):
    voxel_mm, fwhm_mm = np.array([3.0, 3.0, 4.0]), np.array([7.0, 9.0, 8.0])
    noise = rng.normal(0, 1, (30, 32, 24, 20))
    noise = gaussian_filter(noise, [*(fwhm_mm / 2.3548 / voxel_mm), 0], mode="wrap")
    brain = np.zeros(noise.shape[:3], bool)
    brain[4:-4, 4:-4, 4:-4] = True
    found = smoothness((1000 + 50 * np.linspace(0, 1, 20) + noise)[brain], brain, voxel_mm)
    # The formula takes the filter as continuous; at 2 voxels and more this matters by some per cent.
    np.testing.assert_allclose([found[f"fwhm_{letter}"] for letter in "xyz"], fwhm_mm, rtol=0.08)
    assert found["fwhm_avg"] == pytest.approx(np.mean([found[f"fwhm_{letter}"] for letter in "xyz"]))


def test_a_ghost_is_found_along_its_own_axis(rng):
    values = rng.uniform(1, 2, BRAIN.shape)
    values[BRAIN] = 200
    ghost = np.roll(BRAIN, BRAIN.shape[1] // 2, axis=1) & ~BRAIN
    values[ghost] += 20
    assert ghost_ratio(values, BRAIN, 1) == pytest.approx(0.1, abs=0.002)
    assert abs(ghost_ratio(values, BRAIN, 0)) < 0.03


def test_numbers_of_the_reference_are_those_computed_by_hand(rng):
    values = rng.uniform(1, 2, BRAIN.shape).astype(np.float32)
    values[BRAIN] = rng.normal(200, 10, BRAIN.sum())
    found = image_numbers(Image(values, np.eye(4)), BRAIN)
    inside = values[BRAIN].astype(float)
    assert found["fber"] == pytest.approx(np.median(inside**2) / np.median(values[~BRAIN].astype(float) ** 2), rel=1e-5)
    assert found["snr"] == pytest.approx(np.median(inside) / inside.std(ddof=1), rel=1e-2)
    norm, count = np.linalg.norm(values.astype(float)), values.size
    entropy = -(values / norm * np.log(values / norm)).sum()
    assert found["efc"] == pytest.approx(entropy / (np.sqrt(count) * np.log(np.sqrt(count))), rel=1e-5)


def test_an_image_without_background_says_so():
    values = np.where(BRAIN, 100, 0).astype(np.float32)
    assert image_numbers(Image(values, np.eye(4)), BRAIN)["fber"] == -1
