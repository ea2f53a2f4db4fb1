"""Ringing, drift and an uneven coil, each made and taken away again."""

from dataclasses import replace

import numpy as np
import pytest

from neuromoe.dwi._artefacts import drift, without_bias, without_drift, without_ringing
from neuromoe.dwi._correction import Settings, correct_series
from neuromoe.dwi._series import Run, Series
from neuromoe.dwi._tensor import fit_tensor, tensor_maps
from neuromoe.imaging.geometry import apply_affine
from neuromoe.imaging.gradients import Gradients
from neuromoe.imaging.images import Image

from .phantom import Scan, acquire, axial_grid, directions, table


def series_of(data: np.ndarray, gradients: Gradients, affine: np.ndarray | None = None, slice_axis: int = 2) -> Series:
    affine = np.diag([2.0, 2.0, 2.0, 1.0]) if affine is None else affine
    return Series([Run(Image(data.astype(np.float32), affine), gradients, slice_axis)])


def seen_by_few_frequencies(fine: np.ndarray, keep: int) -> np.ndarray:
    """Cut k-space as a scanner does."""
    spectrum = np.fft.fftshift(np.fft.fft2(fine))
    start = (len(fine) - keep) // 2
    return np.fft.ifft2(np.fft.ifftshift(spectrum[start : start + keep, start : start + keep])).real / 16


@pytest.mark.parametrize("slice_axis", [0, 1, 2])
def test_ringing_at_an_edge_goes_and_the_edge_stays(slice_axis):
    fine = np.full((256, 256), 100.0)
    fine[70:186, 70:186] = 1000
    plane = seen_by_few_frequencies(fine, 64)
    data = np.moveaxis(np.repeat(plane[..., None], 4, axis=2), 2, slice_axis)[..., None]
    cleaned = without_ringing(series_of(data, table(0), slice_axis=slice_axis)).runs[0].image.data[..., 0]
    found = np.moveaxis(cleaned, slice_axis, 2)[..., 1]
    flat = np.zeros((64, 64), bool)
    # The edges lie at 17.5 and 46.5: the plateau without the two voxels beside an edge.
    flat[20:44, 20:44] = True
    assert np.abs(plane[flat] - 1000).max() > 20
    assert found[flat].std() < 0.25 * plane[flat].std()
    assert found[32, 19] - found[32, 15] > 0.85 * 900


def drifting(kind: str) -> tuple[np.ndarray, np.ndarray, Gradients]:
    bvals = np.full(31, 1000.0)
    bvals[::6] = 0
    vectors = np.where((bvals > 0)[:, None], directions(31), 0)
    time = np.arange(31) / 30
    scale = 1 - 0.06 * time if kind == "linear" else 1 - 0.1 * time + 0.05 * time**2
    data = np.full((10, 10, 10, 31), 20.0)
    data[3:7, 3:7, 3:7] = np.where(bvals > 0, 400, 1000)
    return data, scale, Gradients(bvals, vectors)


@pytest.mark.parametrize("kind", ["linear", "quadratic"])
def test_a_drift_is_found_from_the_unweighted_volumes_and_undone_in_all(kind):
    data, scale, gradients = drifting(kind)
    assert drift(data * scale, gradients, kind) == pytest.approx(scale, abs=1e-6)
    undone, reasons = without_drift(series_of(data * scale, gradients), kind)
    assert np.allclose(undone.runs[0].image.data, data, rtol=1e-4)
    assert reasons == []


def test_a_drift_that_cannot_be_told_is_left_and_said():
    data, scale, gradients = drifting("linear")
    early = replace(gradients, bvals_s_mm2=np.where(np.arange(31) < 4, 0.0, 1000.0))
    for table_ in (early, replace(gradients, bvals_s_mm2=np.where(np.arange(31) % 30, 1000.0, 0.0))):
        series = series_of(data * scale, table_)
        left, reasons = without_drift(series, "linear")
        assert left.runs[0] is series.runs[0]
        assert "too few" in reasons[0]


def test_the_field_of_a_coil_goes_and_anisotropy_stays(scanned: Scan):
    points = apply_affine(scanned.grid.affine, np.argwhere(np.ones(scanned.grid.shape))).reshape(*scanned.grid.shape, 3)
    field = np.exp(points[..., 1] / 200 + points[..., 2] / 300)
    field /= field[scanned.brain].mean()
    uneven = scanned.still * field[..., None].astype(np.float32)
    found = without_bias(uneven, scanned.grid.affine, scanned.gradients, scanned.brain)

    def spread(data):
        return np.std(np.log(data[scanned.wm][:, 0]) - np.log(scanned.still[scanned.wm][:, 0]))

    assert spread(found) < 0.5 * spread(uneven)
    maps = [tensor_maps(fit_tensor(data[scanned.wm], scanned.gradients)).fa for data in (uneven, found)]
    # float32 signals of about 1000 carry six digits.
    assert np.allclose(*maps, atol=1e-4)


def test_the_correction_does_what_the_settings_ask_for(head, rng):
    grid, gradients = axial_grid(head, 8.0, (24, 28, 21)), table(7)
    data = acquire(head, grid, gradients, np.tile(np.eye(4), (8, 1, 1)), rng, 0.02)
    plain = correct_series(series_of(data, gradients, grid.affine), Settings(denoise=False))
    for change in ({"gibbs": True}, {"bias": True}):
        other = correct_series(series_of(data, gradients, grid.affine), Settings(denoise=False, **change))
        assert not np.allclose(other.image.data, plain.image.data, rtol=1e-3)
    asked = correct_series(series_of(data, gradients, grid.affine), Settings(denoise=False, drift="linear"))
    assert np.array_equal(asked.image.data, plain.image.data)
    assert any("no drift undone" in reason for reason in asked.reasons)
