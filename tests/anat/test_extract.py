"""The steps run on a tiny phantom whose truth is known, and on real heads with a reference mask."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuromoe.anat._head import at_voxel_mm, correct_bias, crop_neck, foreground, stretch
from neuromoe.anat._quality import artefact_share, tissue_contrast
from neuromoe.anat.extract import extract
from neuromoe.core.errors import InputError
from neuromoe.core.quality import entropy_focus
from neuromoe.imaging.geometry import Grid
from neuromoe.imaging.images import Image, load_image, resample, save_image

OUTPUTS = ("preproc", "mask", "gm", "wm", "csf")


def run_extract(t1w, template, folder, **settings):
    paths = {name: folder / f"{name}.nii.gz" for name in OUTPUTS} | {"quality": folder / "quality.json"}
    extract(t1w=t1w, template=template, **paths, **settings)
    return paths


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.fixture(scope="module")
def extracted(phantom, small_template, tmp_path_factory):
    return run_extract(phantom.t1w, small_template, tmp_path_factory.mktemp("extract"))


def test_the_mask_covers_the_true_brain(extracted, phantom):
    found, truth = (load_image(path).data > 0.5 for path in (extracted["mask"], phantom.mask))
    assert dice(found, truth) > 0.93


def test_tissues_sum_to_one_in_the_mask_and_to_zero_outside(extracted):
    inside = load_image(extracted["mask"]).data > 0.5
    total = sum(load_image(extracted[name]).data for name in ("gm", "wm", "csf"))
    np.testing.assert_allclose(total[inside], 1, atol=1e-3)
    assert total[~inside].max() == 0


def test_white_matter_is_brighter_than_grey_and_grey_than_fluid(extracted):
    head = load_image(extracted["preproc"]).data
    means = [np.average(head, weights=load_image(extracted[name]).data) for name in ("csf", "gm", "wm")]
    assert means == sorted(means)


def test_sidecars_name_source_settings_and_versions(extracted, phantom):
    record = json.loads(extracted["mask"].with_name("mask.json").read_text())
    assert str(phantom.t1w) in record["Sources"]
    assert record["Parameters"]["seed"] == 0
    assert record["SoftwareVersions"]["antspyx"]
    quality = json.loads(extracted["quality"].read_text())
    assert (record["Verdict"], record["Reasons"]) == (quality["verdict"], quality["reasons"])


def test_the_same_input_gives_the_same_bytes_in_any_orientation_on_disk(phantom, small_template, extracted, tmp_path):
    import nibabel as nib

    image = nib.load(phantom.t1w)
    turned = nib.as_closest_canonical(image).as_reoriented([[1, -1], [2, 1], [0, -1]])
    nib.save(turned, tmp_path / "turned.nii.gz")
    again = run_extract(tmp_path / "turned.nii.gz", small_template, tmp_path)
    for name in OUTPUTS:
        np.testing.assert_array_equal(load_image(again[name]).data, load_image(extracted[name]).data)


def test_a_bottle_is_no_brain(small_template, tmp_path):
    grid = Grid((60, 60, 60), np.diag([4.0, 4.0, 4.0, 1.0]))
    distance = np.linalg.norm(grid.world().reshape(60, 60, 60, 3)[..., :2] - grid.center_mm[:2], axis=-1)
    bottle = np.where(distance < 90, 500, 0) + np.random.default_rng(0).normal(20, 4, grid.shape).clip(0)
    save_image(bottle, tmp_path / "bottle.nii.gz", grid.affine)
    run_extract(tmp_path / "bottle.nii.gz", small_template, tmp_path)
    quality = json.loads((tmp_path / "quality.json").read_text())
    assert quality["verdict"] != "pass"
    assert quality["reasons"]


@pytest.mark.parametrize(
    "data", [np.zeros((20, 20, 20)), np.full((20, 20, 20), np.nan), -np.arange(8000.0).reshape(20, 20, 20)]
)
def test_an_empty_or_undefined_image_is_refused_with_its_name(data, small_template, tmp_path):
    save_image(data, tmp_path / "empty.nii.gz", np.eye(4))
    with pytest.raises(InputError, match=r"empty\.nii\.gz"):
        run_extract(tmp_path / "empty.nii.gz", small_template, tmp_path)


@pytest.mark.parametrize("session", ["ses-1", "ses-2"])
def test_a_real_patient_with_thick_slices_gets_a_brain_mask(real_bids, real_template, session, tmp_path):
    name = f"sub-ms01_{session}"
    paths = run_extract(real_bids / f"sub-ms01/{session}/anat/{name}_T1w.nii.gz", real_template, tmp_path)
    reference = real_bids / f"derivatives/reference/sub-ms01/{session}/anat/{name}_desc-brain_mask.nii.gz"
    found, truth = (load_image(path, ndim=3).data > 0.5 for path in (paths["mask"], reference))
    assert dice(found, truth) > 0.93


def ball(radius_mm: float = 60, voxel_mm: float = 4) -> Image:
    grid = Grid((50, 50, 80), np.diag([voxel_mm, voxel_mm, voxel_mm, 1.0]))
    distance = np.linalg.norm(grid.world() - grid.center_mm + [0, 0, -60], axis=1).reshape(grid.shape)
    return Image((distance < radius_mm) * 100.0, grid.affine)


def test_the_head_is_cut_at_its_height_below_the_vertex():
    head = ball()
    cut = crop_neck(head, height_mm=100)
    assert cut.data.shape[2] * 4 < 80 * 4
    top = head.grid.world()[head.data.ravel() > 0, 2].max()
    assert cut.grid.world()[:, 2].min() == pytest.approx(top - 100, abs=8)
    assert cut.data.sum() > 0.5 * head.data.sum()


def test_the_foreground_is_the_largest_piece():
    head = ball()
    head.data[:3, :3, :3] = 100
    assert not foreground(head)[:3, :3, :3].any()


@given(st.floats(1.0, 3.0))
def test_stretching_agrees_with_interpolation_at_points(voxel_mm):
    field = Image(np.random.default_rng(0).random((8, 9, 10), np.float32), np.diag([4.0, 4.0, 4.0, 1.0]))
    grid = Grid((5, 6, 7), np.array([[voxel_mm, 0, 0, 6], [0, voxel_mm, 0, 5], [0, 0, voxel_mm, 7], [0, 0, 0, 1.0]]))
    np.testing.assert_allclose(
        stretch(field, Image(np.zeros(grid.shape), grid.affine)), resample(field, grid), atol=1e-5
    )


def test_a_smooth_bias_becomes_smaller(phantom):
    head = load_image(phantom.t1w, ndim=3)
    x = head.grid.world()[:, 0].reshape(head.data.shape)
    field = np.exp(0.004 * x)
    inside = resample(load_image(phantom.mask), head.grid, order=0) > 0.5
    left = correct_bias(head.like(head.data * field)).data / np.maximum(correct_bias(head).data, 1)
    slope = np.polyfit(x[inside], np.log(np.maximum(left[inside], 1e-3)), 1)[0]
    assert abs(slope) < 0.002


def test_energy_in_one_voxel_has_no_entropy():
    data = np.zeros((5, 5, 5))
    data[2, 2, 2] = 3
    assert entropy_focus(data) == 0


def test_contrast_and_noise_are_those_that_one_computes_by_hand():
    """Medians, sample standard deviations, and median absolute deviations of 1 (as a normal distribution's: 1.4826)."""
    values = {
        "csf": np.array([9.0, 10, 11]),
        "gm": np.array([58.0, 59, 60, 61, 62]),
        "wm": np.array([98.0, 99, 100, 101, 102]),
    }
    found = tissue_contrast(values, np.array([1.0, 3.0]))
    assert found["snr_wm"] == pytest.approx(100 / np.sqrt(10 / 4))
    assert found["snr_gm"] == pytest.approx(60 / np.sqrt(10 / 4))
    assert found["snr_csf"] == pytest.approx(10)
    assert found["snr_total"] == pytest.approx((100 / np.sqrt(2.5) + 60 / np.sqrt(2.5) + 10) / 3)
    assert found["cnr"] == pytest.approx(40 / np.sqrt(1 + 2 + 2))
    assert found["cjv"] == pytest.approx(2 * 1.4826 / 40)


def test_a_ghost_in_the_air_is_an_artefact_and_noise_is_none(rng):
    head = ball()
    noise = np.hypot(*rng.normal(0, 1, (2, *head.data.shape))).astype(np.float32)
    head = head.like((head.data + noise).astype(np.float32))
    covered = foreground(head)
    assert artefact_share(head, covered, ~covered) == 0
    ghost = np.zeros(head.data.shape, bool)
    ghost[4:14, 4:14, 2:12] = True
    head.data[ghost] += 50
    # The opening by a cross takes the 104 voxels of the cube's edges.
    assert artefact_share(head, covered, ~covered) == pytest.approx((1000 - 104) / (~covered).sum())


def test_the_last_voxel_goes_on_to_the_border_of_the_new_ones():
    image = Image(np.full((10, 10, 7), 3.0, np.float32), np.diag([1.0, 1.0, 3.0, 1.0]))
    np.testing.assert_allclose(at_voxel_mm(image, 2.0).data, 3.0, rtol=1e-6)


def test_coarser_voxels_keep_the_mean():
    image = ball()
    assert at_voxel_mm(image, 8.0).data.mean() == pytest.approx(image.data.mean(), rel=0.02)
