"""Two sessions of the tiny phantom: in other places, with other noise, the second with a middle that has grown."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import scipy.spatial.transform  # noqa: F401  (loaded before hypothesis takes the time)
from hypothesis import given
from hypothesis import strategies as st

from neuromoe.anat._attempts import Settings, register_well
from neuromoe.anat._jacobian import determinants, log_jacobian
from neuromoe.anat._within import halfway, mean_head
from neuromoe.anat.average import average
from neuromoe.anat.normalize import normalize
from neuromoe.imaging.geometry import apply_affine, map_points, rigid_matrix, rotation_matrix
from neuromoe.imaging.images import Image, load_image, resample, save_image
from neuromoe.imaging.template import Template
from neuromoe.imaging.transforms import Affine, read_transform

# Six voxels wide: of one of 18 mm the map between sessions, smoothed over three voxels of 4 mm, shows .57 to .68.
GROWTH, RADIUS_MM = 0.15, 24.0
SHARED = ("average_to_template", "template_to_average")


@dataclass(frozen=True, eq=False)
class Session:
    """A head, its brain, and the way from its world points to those of the phantom."""

    head: Image
    mask: Image
    chain: tuple


def grown(center_mm):
    """Return a map from the points of a head to those before its middle grew."""

    def shrink(points):
        away = points - center_mm
        return points - GROWTH * away * np.exp(-(away**2).sum(axis=1, keepdims=True) / (2 * RADIUS_MM**2))

    return shrink


@pytest.fixture(scope="module")
def sessions(phantom):
    head, mask = load_image(phantom.t1w), load_image(phantom.mask)
    center_mm = head.grid.world()[mask.data.ravel() > 0.5].mean(axis=0)
    poses = {"first": [2, 4, -3, 0.06, -0.04, 0.05], "second": [-3, 2, 5, -0.05, 0.03, -0.06]}
    rng, made = np.random.default_rng(0), {}
    for name, pose in poses.items():
        rigid = Affine(rigid_matrix(pose, center_mm))
        chain = (rigid, grown(center_mm)) if name == "second" else (rigid,)
        moved = resample(head, head.grid, chain)
        noisy = np.abs(moved + rng.normal(0, 0.02 * head.data.max(), moved.shape))
        inside = (resample(mask, head.grid, chain) > 0.5).astype(np.float32)
        made[name] = Session(head.like(noisy.astype(np.float32)), mask.like(inside), chain)
    return made


@pytest.fixture(scope="module")
def means(sessions):
    """The mean of the two sessions, in either order."""
    first, second = sessions["first"], sessions["second"]
    return [
        mean_head([a.head, b.head], [a.mask, b.mask], registration_mm=4.0)
        for a, b in [(first, second), (second, first)]
    ]


turns = st.lists(st.floats(-0.4, 0.4), min_size=3, max_size=3)
shifts = st.lists(st.floats(-30, 30), min_size=3, max_size=3)


@given(st.lists(st.tuples(shifts, turns), min_size=2, max_size=4))
def test_halfway_keeps_what_lies_between_the_sessions_and_prefers_none(poses):
    maps = [Affine(rigid_matrix([*shift, *turn])) for shift, turn in poses]
    center, found = halfway(np.array([5.0, -20.0, 10.0]), maps)
    for one, other in zip(maps, found, strict=True):
        between = [each[0].matrix @ np.linalg.inv(each[1].matrix) for each in ((one, maps[0]), (other, found[0]))]
        np.testing.assert_allclose(*between, atol=1e-8)
    places = [each(center[None])[0] for each in found]
    np.testing.assert_allclose(np.mean(places, axis=0), center, atol=1e-8)
    again = halfway(center, found)[1]
    for one, other in zip(found, again, strict=True):
        np.testing.assert_allclose(one.matrix, other.matrix, atol=1e-6)


def test_two_sessions_are_turned_by_the_same_angle_in_opposite_ways():
    there = Affine(rigid_matrix([10, 0, 0, 0, 0, 0.3]))
    _, (one, other) = halfway(np.zeros(3), [Affine(np.eye(4)), there])
    np.testing.assert_allclose(one.matrix[:3, :3], rotation_matrix([0, 0, -0.15]), atol=1e-9)
    np.testing.assert_allclose(other.matrix[:3, :3], rotation_matrix([0, 0, 0.15]), atol=1e-9)


def test_the_sessions_lie_on_each_other_as_in_truth(means, sessions, phantom):
    """An eighth of the voxel; the second brain has grown, so that none is exact."""
    head, mask = sessions["first"].head, sessions["first"].mask
    points = head.grid.world()[mask.data.ravel() > 0.5]
    first, second = means[0][2]
    found = apply_affine(second.matrix @ np.linalg.inv(first.matrix), points)
    true = sessions["second"].chain[0].inverse()(sessions["first"].chain[0](points))
    assert np.linalg.norm(found - true, axis=1).mean() < 0.5


def test_the_order_of_the_sessions_does_not_matter(means):
    """Rigid maps found from another start differ by hundredths of a voxel."""
    (one, one_mask, _), (other, other_mask, _) = means
    there = resample(other, one.grid)
    inside = one_mask.data > 0.5
    assert np.corrcoef(one.data[inside], there[inside])[0, 1] > 0.999
    both = inside & (resample(other_mask, one.grid) > 0.5)
    assert both.sum() / inside.sum() > 0.995


@pytest.fixture(scope="module")
def written(sessions, small_template, tmp_path_factory):
    """What both steps write for the two sessions."""
    folder = tmp_path_factory.mktemp("average")
    for name, session in sessions.items():
        save_image(session.head, folder / f"{name}_preproc.nii.gz")
        save_image(session.mask, folder / f"{name}_mask.nii.gz")
    shared = {name: folder / f"{name}.nii.gz" for name in ("average_t1w", "average_mask")}
    shared |= {name: folder / f"{name}.h5" for name in SHARED}
    preprocs, masks = ([folder / f"{name}_{part}.nii.gz" for name in sessions] for part in ("preproc", "mask"))
    settings = {"template": small_template, "registration_mm": 4.0}
    average(preprocs=preprocs, masks=masks, quality=folder / "average.json", **shared, **settings)
    for name in sessions:
        parts = {part: folder / f"{name}_{part}.nii.gz" for part in ("preproc", "mask")}
        parts |= dict.fromkeys(("gm", "wm", "csf"), folder / f"{name}_mask.nii.gz")
        maps = {part: folder / f"{name}_{part}.nii.gz" for part in ("t1w_template", "logjacobian", "modulated")}
        maps |= {f"{tissue}_template": folder / f"{name}_{tissue}_template.nii.gz" for tissue in ("gm", "wm", "csf")}
        maps |= {way: folder / f"{name}_{way}.h5" for way in ("t1w_to_template", "template_to_t1w")}
        normalize(**parts, **maps, quality=folder / f"{name}_quality.json", **shared, **settings)
    return folder


def test_each_session_reaches_the_template_as_in_truth_and_back(written, sessions, phantom, small_template):
    """At 4 mm half a voxel is the floor."""
    template = Template.load(small_template)
    points = template.grid.world()[template.brain_mask.ravel()]
    for name, session in sessions.items():
        there = map_points(read_transform(written / f"{name}_t1w_to_template.h5"), points)
        on_template = map_points((*session.chain, *read_transform(phantom.transform)), there)
        assert np.linalg.norm(on_template - points, axis=1).mean() < 2.0
        back = map_points(read_transform(written / f"{name}_template_to_t1w.h5"), there)
        assert np.linalg.norm(back - points, axis=1).mean() < 0.3


def test_all_sessions_share_the_last_part_of_the_way(written):
    chains = [read_transform(written / f"{name}_t1w_to_template.h5") for name in ("first", "second")]
    shared = read_transform(written / "average_to_template.h5")
    for chain in chains:
        assert len(chain) == 4
        np.testing.assert_array_equal(chain[0].field, shared[0].field)
        np.testing.assert_array_equal(chain[1].matrix, shared[1].matrix)
    assert np.abs(chains[0][2].field - chains[1][2].field).max() > 0.1


def test_growth_is_seen_with_less_spread_than_by_registering_each_session_alone(
    written, sessions, phantom, small_template
):
    template = Template.load(small_template)
    there = template.grid.world()
    head = load_image(phantom.t1w)
    center_mm = head.grid.world()[load_image(phantom.mask).data.ravel() > 0.5].mean(axis=0)
    before = map_points(read_transform(written / "first_t1w_to_template.h5"), there)
    before = sessions["first"].chain[0](before)
    after = before.copy()
    for _ in range(20):  # the growth is given from after to before: its inverse by fixed point
        after += before - grown(center_mm)(after)
    inside = template.brain_mask
    true = np.log(determinants(after, template.grid) / determinants(before, template.grid))[inside]
    settings = Settings("greedy", "fast", 4.0, None, 0)
    alone = [log_jacobian(register_well(s.head, s.mask, template, settings)[0].volumes) for s in sessions.values()]
    shared = [load_image(written / f"{name}_logjacobian.nii.gz").data for name in sessions]
    alone, shared = ((second - first)[inside] for first, second in (alone, shared))
    assert np.polyfit(true, shared, 1)[0] == pytest.approx(1, abs=0.3)
    assert np.std(shared - true) < 0.8 * np.std(alone - true)


def test_sidecars_and_numbers_tell_of_the_average(written):
    about = json.loads((written / "average_t1w.json").read_text())
    assert [source for source in about["Sources"] if "second_preproc" in source]
    assert json.loads((written / "average.json").read_text())["numbers"]["sessions"] == 2
    for name in ("first", "second"):
        record = json.loads((written / f"{name}_t1w_template.json").read_text())
        assert str(written / "average_to_template.h5") in record["Sources"]
        assert record["Registration"]["Setting"] == "by the person's average"
        assert json.loads((written / f"{name}_quality.json").read_text())["numbers"]["average_ncc"] > 0.9
