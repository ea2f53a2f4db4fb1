"""What is no brain is called none, and a brain is found wherever its header puts it."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuromoe.anat._brain import Brain, with_mask
from neuromoe.anat._edge import SHELLS_MM, crossing, settle
from neuromoe.anat._plausible import cut_share, judge
from neuromoe.anat._start import exaggeration, laid
from neuromoe.imaging.geometry import Grid, rigid_matrix
from neuromoe.imaging.images import Image, load_image, save_image
from neuromoe.imaging.transforms import Affine

from .test_extract import dice, run_extract

sys.path.insert(0, str(Path(__file__).parent.parent))
from bottle import bottle, with_noise  # noqa: E402


def knee(rng):
    """Fat, muscle, two bones and a gap between them."""
    grid = Grid((40, 40, 40), np.diag([4.0, 4.0, 4.0, 1.0]))
    x, y, z = np.moveaxis((grid.world() - grid.center_mm).reshape(40, 40, 40, 3), -1, 0)
    radius = np.hypot(x, y)
    signal = np.select([radius < 58, radius < 66], [0.35, 0.9], 0.0)
    signal[np.hypot(x, y - 10) < np.where(np.abs(z) < 35, 34, 22)] = 0.8
    signal[(np.abs(z) < 4) & (radius < 40)] = 0.45
    return with_noise(signal, 0.03, rng), grid.affine


def noise(rng):
    return with_noise(np.zeros((50, 60, 50)), 1.0, rng), np.diag([4.0, 4.0, 4.0, 1.0])


def speck(rng):
    """All but nothing: a few voxels and one that is brighter."""
    data = np.zeros((40, 40, 40))
    data[18:21, 19:22, 20:22] = 0.5
    data[19, 20, 20] = 1.0
    return data, np.diag([4.0, 4.0, 4.0, 1.0])


THINGS = {"knee": knee, "noise": noise, "bottle": lambda rng: bottle(4.0, rng), "speck": speck}


@pytest.mark.parametrize("thing", THINGS.values(), ids=THINGS)
def test_what_is_no_head_fails_with_a_reason(thing, small_template, tmp_path, rng):
    data, affine = thing(rng)
    save_image(1000 * data, tmp_path / "thing.nii.gz", affine)
    paths = run_extract(tmp_path / "thing.nii.gz", small_template, tmp_path)
    record = json.loads(paths["quality"].read_text())
    assert record["verdict"] == "fail"
    assert record["reasons"]


def test_a_head_passes(phantom, small_template, tmp_path):
    paths = run_extract(phantom.t1w, small_template, tmp_path)
    assert json.loads(paths["quality"].read_text())["verdict"] == "pass"


def test_a_child_of_three_passes(phantom, small_template, tmp_path):
    """A head at 0.85 of the size has 0.61 of the volume."""
    head = load_image(phantom.t1w, ndim=3)
    save_image(head.data, tmp_path / "child.nii.gz", np.diag([0.85, 0.85, 0.85, 1]) @ head.affine)
    paths = run_extract(tmp_path / "child.nii.gz", small_template, tmp_path)
    truth = load_image(phantom.mask).data > 0.5
    assert json.loads(paths["quality"].read_text())["verdict"] == "pass"
    assert dice(load_image(paths["mask"]).data > 0.5, truth) > 0.93


def test_axes_that_the_header_does_not_know_are_found_and_marked(phantom, small_template, tmp_path):
    head, truth = load_image(phantom.t1w, ndim=3), load_image(phantom.mask).data > 0.5
    turned = np.ascontiguousarray(head.data.transpose(1, 2, 0)[::-1])
    save_image(turned, tmp_path / "turned.nii.gz", np.diag([*head.voxel_mm[[1, 2, 0]], 1.0]))
    paths = run_extract(tmp_path / "turned.nii.gz", small_template, tmp_path)
    record = json.loads(paths["quality"].read_text())
    assert record["verdict"] == "warn"
    assert any("axes" in reason for reason in record["reasons"])
    assert dice(load_image(paths["mask"]).data > 0.5, truth.transpose(1, 2, 0)[::-1]) > 0.9


def ringed_ball(radius_mm, slice_mm=2.0):
    """A bright ball of 60 mm in a dark rim of 6 mm in a bright shell, and a mask of another radius."""
    grid = Grid((80, 80, int(160 / slice_mm)), np.diag([2.0, 2.0, slice_mm, 1.0]))
    distance = np.linalg.norm(grid.world() - grid.center_mm, axis=1).reshape(grid.shape)
    image = Image(np.select([distance < 60, distance < 66, distance < 74], [100.0, 20.0, 110.0], 0.0), grid.affine)
    return image, distance < radius_mm, distance < 60


@pytest.mark.parametrize("radius_mm", [57.5, 62.5])
def test_the_border_goes_where_the_signal_falls(radius_mm):
    """Up to half of the 2 mm voxels on which the signal is followed."""
    head, mask, truth = ringed_ball(radius_mm)
    edge = settle(head, mask)
    assert dice(edge.mask, truth) > 0.96
    assert edge.shift_mm == pytest.approx(60 - radius_mm, abs=1.5)


def test_a_brain_that_the_image_cuts_reaches_its_border():
    """Slices of 3 mm, whose outermost has its centre within that of the 2 mm voxels on which the signal is followed."""
    head, mask, truth = ringed_ball(62.5, slice_mm=3.0)
    kept = slice(20, None)
    edge = settle(Image(head.data[:, :, kept], head.affine), mask[:, :, kept])
    assert dice(edge.mask[:, :, 0], truth[:, :, 20]) > 0.95


def test_without_a_rim_there_is_no_contrast():
    shift, contrast = crossing(np.ones_like(SHELLS_MM))
    assert shift == 0
    assert contrast == 0


@given(st.floats(-0.5, 0.5), st.floats(-40, 40))
def test_a_rigid_map_exaggerates_nothing(turn_rad, shift_mm):
    assert exaggeration(Affine(rigid_matrix([shift_mm, 0, 0, turn_rad, 0, turn_rad]))) == 0
    assert exaggeration(Affine(np.diag([0.5, 0.5, 0.5, 1]))) > 0
    assert exaggeration(Affine(np.diag([0.7, 1.0, 1.2, 1]))) > 0


def test_heads_are_laid_top_on_top_wherever_they_are():
    head, _, _ = ringed_ball(60)
    away = Image(head.data, Affine(np.eye(4)).matrix @ head.affine + np.array([[0, 0, 0, 300.0]] * 3 + [[0] * 4]))
    np.testing.assert_allclose(laid(head, away, np.eye(3)).matrix[:3, 3], [300, 300, 300], atol=0.1)


def test_a_brain_cut_by_the_image_is_measured():
    inside = np.zeros((20, 20, 20), bool)
    inside[5:15, 5:15, 5:15] = True
    image = Image(np.zeros(inside.shape), np.eye(4))
    assert cut_share(inside, image) == 0
    assert cut_share(inside[:, :, 8:], Image(np.zeros((20, 20, 12)), np.eye(4))) > 0.1


def test_of_a_mask_from_elsewhere_only_what_belongs_to_it_is_judged():
    """Half of the ball lies in the other mask; the border of the first has no rim."""
    head, mask, _ = ringed_ball(66)
    numbers = {"detail_ncc": 0.9, "edge_contrast": 0.1, "edge_share": 0.0, "affine_stretch": 1.1, "turn_deg": 5.0}
    other = mask.copy()
    other[:40] = False
    brain = with_mask(Brain(mask, "level", {"level": 0.8}, (), numbers), other)
    verdict, reasons = judge(brain, head)
    assert brain.numbers["template_dice"] == pytest.approx(2 / 3, abs=0.01)
    assert verdict == "warn"
    assert [reason.split()[0] for reason in reasons] == ["brain", "the"]


@pytest.mark.parametrize(("cut_mm", "verdict"), [(0, "pass"), (6, "warn")])
def test_a_top_that_is_missing_warns(cut_mm, verdict):
    """6 mm off a ball of 66 mm leave 4.3 % of the surface on the image's border."""
    head, mask, _ = ringed_ball(66)
    top = np.flatnonzero(mask.any(axis=(0, 1))).max() + 1 - cut_mm // 2 if cut_mm else mask.shape[2]
    numbers = {"detail_ncc": 0.9, "edge_contrast": 0.6, "affine_stretch": 1.1, "turn_deg": 5.0}
    brain = Brain(mask[:, :, :top], "level", {"level": 0.8}, (), numbers)
    assert judge(brain, Image(head.data[:, :, :top], head.affine))[0] == verdict


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, "pass"),
        ({"template_dice": 0.7}, "warn"),
        ({"detail_ncc": 0.4}, "fail"),
        ({"detail_ncc": 0.6}, "warn"),
        ({"edge_contrast": 0.1}, "fail"),
        ({"affine_stretch": 1.6}, "warn"),
        ({"turn_deg": 90.0}, "warn"),
    ],
)
def test_each_number_has_its_verdict(changed, verdict):
    head, mask, _ = ringed_ball(66)
    numbers = {"detail_ncc": 0.9, "edge_contrast": 0.6, "affine_stretch": 1.1, "turn_deg": 5.0}
    found, reasons = judge(Brain(mask, "level", {"level": 0.8}, (), numbers | changed), head)
    assert found == verdict
    assert len(reasons) == (verdict != "pass")
