import json
from dataclasses import replace

import numpy as np
import pytest

from neuromoe.anat import _attempts, _register
from neuromoe.anat._attempts import SECOND, Settings, judge, register_well
from neuromoe.anat._jacobian import determinants, log_jacobian
from neuromoe.anat._register import PRESETS, brain_image, overlap, register, roughness, tapered, unfolded
from neuromoe.anat.extract import extract
from neuromoe.anat.normalize import normalize
from neuromoe.imaging.geometry import Grid, map_points
from neuromoe.imaging.images import Image, load_image, resample, volume_ml
from neuromoe.imaging.template import Template
from neuromoe.imaging.transforms import Affine, Displacement, read_transform
from neuromoe.registration.ants import KINDS

INPUTS = ("preproc", "mask", "gm", "wm", "csf")
MAPS = ("t1w_template", "gm_template", "wm_template", "csf_template", "logjacobian", "modulated")


@pytest.fixture(scope="module")
def normalized(phantom, small_template, tmp_path_factory):
    folder = tmp_path_factory.mktemp("normalize")
    inputs = {name: folder / f"{name}.nii.gz" for name in INPUTS}
    extract(t1w=phantom.t1w, template=small_template, quality=folder / "extract.json", **inputs)
    outputs = {name: folder / f"{name}.nii.gz" for name in MAPS}
    outputs |= {name: folder / f"{name}.h5" for name in ("t1w_to_template", "template_to_t1w")}
    normalize(**inputs, **outputs, template=small_template, quality=folder / "normalize.json", registration_mm=4.0)
    return outputs


def test_a_point_of_the_template_comes_back_to_itself_through_the_truth(normalized, phantom, small_template):
    """At 4 mm a quarter of a voxel's diagonal is as good as it gets; half a voxel is the floor."""
    template = Template.load(small_template)
    points = template.grid.world()[template.brain_mask.ravel()]
    back = map_points(
        read_transform(phantom.transform), map_points(read_transform(normalized["t1w_to_template"]), points)
    )
    assert np.linalg.norm(back - points, axis=1).mean() < 2.0


def test_both_transforms_undo_each_other(normalized, small_template):
    template = Template.load(small_template)
    points = template.grid.world()[template.brain_mask.ravel()]
    there = map_points(read_transform(normalized["t1w_to_template"]), points)
    back = map_points(read_transform(normalized["template_to_t1w"]), there)
    assert np.linalg.norm(back - points, axis=1).mean() < 0.3


def test_maps_lie_on_the_template_grid_and_resemble_it(normalized, small_template):
    template = Template.load(small_template)
    for name in MAPS:
        assert load_image(normalized[name]).grid.same_as(template.grid)
    gm = load_image(normalized["gm_template"]).data
    both = np.minimum(gm, template.gm.data).sum()
    assert 2 * both / (gm.sum() + template.gm.data.sum()) > 0.7


def test_modulated_grey_matter_keeps_the_persons_volume(normalized):
    """Interpolation on a coarse grid, and what lies beyond the template's brain, are a few percent."""
    native = load_image(normalized["gm_template"].with_name("gm.nii.gz"))
    modulated = load_image(normalized["modulated"])
    volumes_ml = [volume_ml(np.ones(1, bool), image.affine) * image.data.sum() for image in (native, modulated)]
    assert volumes_ml[1] == pytest.approx(volumes_ml[0], rel=0.05)


def test_ants_reads_the_transform_as_we_do(normalized, small_template, tmp_path):
    ants = pytest.importorskip("ants")
    template = Template.load(small_template)
    moving = normalized["t1w_to_template"].with_name("preproc.nii.gz")
    theirs = ants.apply_transforms(
        ants.image_read(str(template.folder / "mask.nii.gz")),
        ants.image_read(str(moving)),
        [str(normalized["t1w_to_template"])],
    ).numpy()
    ours = resample(load_image(moving), template.grid, read_transform(normalized["t1w_to_template"]))
    inside = template.brain_mask
    np.testing.assert_allclose(ours[inside], theirs[inside], atol=0.01 * ours[inside].max())


def test_the_log_jacobian_of_an_affine_is_the_logarithm_of_its_determinant():
    matrix = np.diag([1.1, 0.9, 1.2, 1.0])
    grid = Grid((6, 6, 6), np.diag([-2.0, 2.0, 2.0, 1.0]))
    found = log_jacobian(determinants(Affine(matrix)(grid.world()), grid))
    np.testing.assert_allclose(found, np.log(np.linalg.det(matrix)), atol=1e-5)


def test_a_tapered_field_is_zero_at_its_edge_and_whole_inside():
    field = Displacement(np.ones((20, 20, 20, 3), np.float32), np.diag([2.0, 2.0, 2.0, 1.0]))
    faded = tapered(field)
    assert faded.field[0].max() == 0
    assert faded.field[10, 10, 10].tolist() == [1, 1, 1]


def test_a_displacement_leaves_points_outside_its_grid_where_they_are():
    field = Displacement(np.ones((4, 4, 4, 3), np.float32), np.eye(4))
    points = np.array([[1.5, 1.5, 1.5], [50.0, 0, 0]])
    np.testing.assert_allclose(field(points), [[2.5, 2.5, 2.5], [50, 0, 0]])
    assert Image(field.field[..., 0], field.affine).grid.shape == (4, 4, 4)


@pytest.fixture(scope="module")
def brain(phantom, small_template):
    """Return head, true mask and template, all of 4 mm."""
    return load_image(phantom.t1w), load_image(phantom.mask), Template.load(small_template)


GREEDY = Settings("greedy", "fast", 8.0, None, 0)


def test_sidecars_and_numbers_tell_how_it_was_registered(normalized):
    quality = json.loads(normalized["t1w_template"].with_name("normalize.json").read_text())
    assert quality["numbers"]["folded_share"] == 0
    assert quality["numbers"]["registrations"] == 1
    for name in MAPS:
        record = json.loads(normalized[name].with_name(f"{name}.json").read_text())
        assert (record["Verdict"], record["Reasons"]) == (quality["verdict"], quality["reasons"])
        assert (record["Registration"]["Engine"], record["Registration"]["Setting"]) == ("greedy", "fast")
        assert record["Registration"]["FreerShare"] == 0
        assert record["Parameters"]["preset"] == "fast"


def test_iterations_take_the_place_of_the_presets(brain):
    head, mask, template = brain
    cut = brain_image(head, mask)
    by_preset, by_hand, other = (
        register(cut, template, voxel_mm=8.0, preset=preset, iterations=iterations)[0][0].field
        for preset, iterations in (("fast", None), ("fast", PRESETS["fast"].deformable), ("fast", "5x0"))
    )
    np.testing.assert_array_equal(by_preset, by_hand)
    assert np.abs(by_preset - other).max() > 0.1


def test_more_work_brings_the_brain_closer(brain):
    found = {name: register_well(*brain, replace(GREEDY, name=name))[0] for name in ("sloppy", "fast")}
    assert found["sloppy"].numbers["template_ncc"] < found["fast"].numbers["template_ncc"]


def test_a_poor_result_is_tried_again_and_the_better_kept(brain, monkeypatch):
    """A limit that no brain reaches makes the first result poor."""
    monkeypatch.setattr(_attempts, "NCC_WARN", 0.999)
    best, record = register_well(*brain, replace(GREEDY, iterations="5x0"))
    tried = {row["Setting"]: row["template_ncc"] for row in record["Tried"]}
    assert list(tried) == ["fast", "precise"]
    assert tried["precise"] > tried["fast"]
    assert best.name == record["Setting"] == "precise"


def test_a_second_setting_that_is_worse_is_not_kept(brain, monkeypatch):
    monkeypatch.setattr(_attempts, "NCC_WARN", 0.999)
    monkeypatch.setitem(SECOND, "precise", "sloppy")
    best, record = register_well(*brain, replace(GREEDY, name="precise"))
    assert [row["Setting"] for row in record["Tried"]] == ["precise", "sloppy"]
    assert best.name == "precise"


def test_ants_registers_the_brain_too(brain):
    best, record = register_well(*brain, Settings("ants", "SyN", 4.0, None, 0))
    assert (record["Engine"], record["Setting"]) == ("ants", "SyN")
    assert best.numbers["template_dice"] > 0.9


def test_the_sidecar_tells_that_the_freer_map_was_taken(brain, monkeypatch):
    assert register_well(*brain, GREEDY)[1]["FreerShare"] == 0
    monkeypatch.setattr(_register, "ROUGH", 0.0)
    assert register_well(*brain, GREEDY)[1]["FreerShare"] > 0


def test_every_second_setting_is_one_of_its_engine():
    for first, second in SECOND.items():
        assert (first in PRESETS and second in PRESETS) or (first in KINDS and second in KINDS)


def test_a_mirrored_patch_is_folded():
    grid = Grid((9, 9, 9), np.eye(4))
    points = grid.world().reshape(9, 9, 9, 3).copy()
    points[3:6, ..., 0] = points[5:2:-1, ..., 0]
    assert (determinants(points.reshape(-1, 3), grid)[4] < 0).all()
    assert (determinants(grid.world(), grid) > 0.99).all()


@pytest.mark.parametrize(
    ("change", "verdict", "word"),
    [
        ({}, "pass", None),
        ({"template_dice": 0.85}, "warn", "Dice of 0.85, less than 0.90"),
        ({"template_dice": 0.5}, "fail", "Dice of 0.50, less than 0.80"),
        ({"template_ncc": 0.5}, "warn", "by 0.50, less than 0.60"),
        ({"template_ncc": float("nan")}, "warn", "correlates"),
        ({"folded_share": 0.02}, "warn", "folds in 2.0% of the brain"),
    ],
)
def test_the_verdict_has_a_reason(change, verdict, word):
    found, reasons = judge({"template_dice": 0.95, "template_ncc": 0.8, "folded_share": 0.0} | change)
    assert found == verdict
    assert len(reasons) == (word is not None)
    assert not reasons or word in reasons[0]


def wave(voxels, height_mm):
    """Return a displacement of 2 mm voxels along x, a sine of this many voxels a wave, and a brain that fills it."""
    grid = Grid((24, 24, 24), np.diag([2.0, 2, 2, 1]))
    field = np.zeros((*grid.shape, 3), np.float32)
    field[..., 0] = height_mm * np.sin(2 * np.pi * np.arange(24) / voxels)[:, None, None]
    return Displacement(field, grid.affine), Image(np.ones(grid.shape, np.float32), grid.affine)


def test_roughness_is_the_spread_of_the_local_volume():
    """A sine of 0.5 mm over 24 mm: volumes of 1 + 0.131 cos, and their logarithm's spread is near 0.131 / sqrt 2."""
    slow, brain = wave(12, 0.5)
    quick, _ = wave(6, 0.5)
    assert roughness(slow, brain) == pytest.approx(0.131 / np.sqrt(2), rel=0.1)
    assert roughness(quick, brain) > 1.5 * roughness(slow, brain)
    assert roughness(wave(12, 0)[0], brain) == 0


def test_a_folded_map_is_drawn_to_the_smooth_one_just_as_far_as_it_takes():
    """Its least volume is 1 - 2.6 sin(60 degrees) / 2: a share of 0.12 is needed, 0.2 the next."""
    free, brain = wave(6, 2.6)
    smooth, _ = wave(12, 1.0)
    kept, share = unfolded(smooth, wave(12, 0)[0], brain)
    np.testing.assert_array_equal(kept.field, smooth.field)
    assert share == 1
    drawn, share = unfolded(free, smooth, brain)
    assert share == 0.8
    grid = Grid(brain.data.shape, brain.affine)
    before, after = (determinants(grid.world() + found.field.reshape(-1, 3), grid).min() for found in (free, drawn))
    assert before < 0 < after
    np.testing.assert_allclose(drawn.field, 0.8 * free.field + 0.2 * smooth.field, atol=1e-5)


def test_a_rough_map_is_followed_by_a_freer_one_that_matches_more(brain, monkeypatch):
    head, mask, template = brain
    cut = brain_image(head, mask)
    maps = {}
    for name, limit in (("smooth", 9.0), ("free", 0.0)):
        monkeypatch.setattr(_register, "ROUGH", limit)
        maps[name] = register(cut, template, voxel_mm=4.0)
    ncc = {
        name: overlap(head, mask, template, map_points(way, template.grid.world()))["template_ncc"]
        for name, (way, *_) in maps.items()
    }
    assert ncc["free"] > ncc["smooth"]
    monkeypatch.setattr(_register, "ROUGH", 0.0)
    by_hand = register(cut, template, voxel_mm=4.0, iterations=PRESETS["fast"].deformable)
    np.testing.assert_array_equal(by_hand[0][0].field, maps["smooth"][0][0].field)
