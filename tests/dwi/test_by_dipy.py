"""Our own denoising and tensor fit, and dipy's in their place."""

import json

import numpy as np
import pytest

from neuromoe.core.provenance import sidecar_path
from neuromoe.dwi._by_dipy import denoise_by_dipy, fit_tensor_by_dipy
from neuromoe.dwi._denoise import denoise
from neuromoe.dwi._normalization import fit_maps
from neuromoe.dwi._tensor import fit_tensor, tensor_maps
from neuromoe.dwi.correct import correct

from .phantom import table
from .test_correct import outputs, write_run
from .test_tensor import noisy_signals


@pytest.fixture
def noisy(rng):
    """Three smooth components under 16 gradients, with noise of standard deviation 5."""
    x, y, z = np.meshgrid(*[np.linspace(0, 3, 14)] * 3, indexing="ij")
    parts = np.stack([np.sin(x + y), np.cos(y * z), x - z], axis=-1)
    return (200 + 40 * parts @ rng.normal(size=(3, 16)) + rng.normal(0, 5, (14, 14, 14, 16))).astype(np.float32)


def test_denoising_agrees_in_the_middle_of_a_mask_and_the_rest_stays(noisy):
    mask = np.zeros(noisy.shape[:3], bool)
    mask[2:12, 1:13, 3:11] = True
    (ours, sigma), (theirs, their_sigma) = denoise(noisy, mask), denoise_by_dipy(noisy, mask)
    # Single precision of values near 300.
    assert np.abs(ours - theirs)[mask].max() < 1e-2
    assert np.abs(sigma - their_sigma)[mask].max() < 1e-3
    assert np.array_equal(theirs[~mask], noisy[~mask]) and not their_sigma[~mask].any()


def test_a_thin_image_and_what_no_patch_reaches_stay_finite(noisy):
    thin = noisy[:, :, :1]
    cleaned, sigma = denoise_by_dipy(thin, np.ones(thin.shape[:3], bool))
    assert np.isfinite(cleaned).all() and sigma.max() > 0
    corner = np.zeros(noisy.shape[:3], bool)
    corner[0, 0, 0] = True
    cleaned, sigma = denoise_by_dipy(noisy, corner)
    assert np.array_equal(cleaned, noisy) and not sigma.any()


def test_tensors_agree_also_where_signals_are_unknown(rng):
    gradients = table(30, b0s=3)
    _, signals = noisy_signals(rng, gradients, 20)
    signals[:50, [5, 17]] = 0
    signals[50:60, 3:] = 0
    ours, theirs = fit_tensor(signals, gradients), fit_tensor_by_dipy(signals, gradients)
    known = np.r_[0:50, 60:400]
    for name, within in {"fa": 1e-4, "md": 1e-7, "ad": 2e-7, "rd": 1e-7}.items():
        one, other = (getattr(tensor_maps(tensor), name) for tensor in (ours, theirs))
        assert np.abs(one - other)[known].max() < within
        assert np.isfinite(other).all()
    assert np.allclose(ours.s0[known], theirs.s0[known], rtol=1e-4)


def test_maps_of_a_scan_agree(scanned):
    inside = scanned.wm
    (ours, left), (theirs, their_left) = (
        fit_maps(scanned.still, scanned.gradients, inside, by=name) for name in ("torch", "dipy")
    )
    assert np.abs(ours.fa - theirs.fa).max() < 1e-4
    assert np.abs((ours.v1 * theirs.v1).sum(axis=1)).min() > 0.999
    assert left == pytest.approx(their_left, rel=1e-3)


def test_the_step_denoises_by_dipy_and_says_so(scanned, tmp_path):
    few = scanned.gradients[:8]
    run = write_run(tmp_path, "sub-1_dwi", scanned.moved[8:40, 8:48, 10:30, :8], scanned.grid.affine, few)
    correct(**run, **outputs(tmp_path), denoise_backend="dipy")
    record = json.loads(sidecar_path(outputs(tmp_path)["preproc"]).read_text())
    assert record["Parameters"]["denoise_backend"] == "dipy"
