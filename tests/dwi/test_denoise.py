import numpy as np
import pytest

from neuromoe.dwi._denoise import denoise


@pytest.fixture
def made(rng):
    """A series of three smooth components with noise of standard deviation 5."""
    x, y, z = np.meshgrid(*[np.linspace(0, 3, 14)] * 3, indexing="ij")
    parts = np.stack([np.sin(x + y), np.cos(y * z), x - z], axis=-1)
    clean = 200 + 40 * parts @ rng.normal(size=(3, 16))
    return clean, (clean + rng.normal(0, 5, clean.shape)).astype(np.float32)


def test_noise_falls_and_its_size_is_found(made):
    clean, noisy = made
    cleaned, sigma = denoise(noisy, np.ones(noisy.shape[:3], bool))
    inner = (slice(3, -3),) * 3
    before, after = (np.sqrt(((series - clean)[inner] ** 2).mean()) for series in (noisy, cleaned))
    assert after < 0.6 * before
    assert np.median(sigma[inner]) == pytest.approx(5, rel=0.1)


def test_agrees_with_dipy_where_dipy_denoises(made):
    from dipy.denoise.localpca import mppca

    _, noisy = made
    ours, sigma = denoise(noisy, np.ones(noisy.shape[:3], bool))
    theirs, their_sigma = mppca(noisy, patch_radius=2, return_sigma=True)
    assert np.abs(ours - theirs).max() < 1e-2
    assert np.abs(sigma - their_sigma).max() < 1e-3


def test_what_no_patch_reaches_is_left_alone(made):
    _, noisy = made
    mask = np.zeros(noisy.shape[:3], bool)
    mask[5, 5, 5] = True
    cleaned, sigma = denoise(noisy, mask)
    reached = sigma > 0
    assert reached.sum() == 125
    assert np.array_equal(cleaned[~reached], noisy[~reached])


def test_more_volumes_than_a_patch_has_voxels_make_the_patch_grow(rng):
    noisy = (100 + rng.normal(0, 3, (9, 9, 9, 40))).astype(np.float32)
    cleaned, _ = denoise(noisy, np.ones((9, 9, 9), bool), radius=1)
    assert np.isfinite(cleaned).all()
    assert cleaned[3:6, 3:6, 3:6].std() < 0.5 * noisy[3:6, 3:6, 3:6].std()


def test_a_single_slice_is_denoised_in_its_plane(rng):
    noisy = (100 + rng.normal(0, 3, (12, 12, 1, 8))).astype(np.float32)
    cleaned, _ = denoise(noisy, np.ones((12, 12, 1), bool))
    assert np.isfinite(cleaned).all() and cleaned.std() < noisy.std()


def test_every_second_centre_removes_nearly_as_much_noise(made):
    clean, noisy = made
    everywhere = np.ones(noisy.shape[:3], bool)
    (all_centres, all_sigma), (half, half_sigma) = (denoise(noisy, everywhere, stride=s) for s in (1, 2))
    errors = [np.sqrt(((series - clean) ** 2).mean()) for series in (noisy, all_centres, half)]
    assert errors[1] < errors[2] < 1.1 * errors[1] < 0.7 * errors[0]
    assert (half_sigma > 0).all()
    assert np.median(half_sigma) == pytest.approx(np.median(all_sigma), rel=0.02)
