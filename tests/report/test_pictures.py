"""Slices, layers and outliers: what a reader's eye relies on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from neuromoe.imaging.images import Image, save_image
from neuromoe.report._motion import carpet, sample
from neuromoe.report._outliers import LIMIT, robust_z, scores
from neuromoe.report._pictures import (
    AXIAL,
    CORONAL,
    DIVERGING,
    GREYS,
    SAGITTAL,
    Contour,
    Scale,
    draw,
    view_of,
)
from neuromoe.report._volumes import b0_index, iterate_volumes, read_volume


def spot(x: int, y: int, z: int) -> Image:
    """Put one bright cube into an empty image."""
    data = np.zeros((40, 40, 40), np.float32)
    data[x : x + 6, y : y + 6, z : z + 6] = 1
    return Image(data, np.eye(4))


@pytest.mark.parametrize(
    ("axis", "image", "place"),
    [
        (AXIAL, spot(2, 30, 17), ("left", "top")),
        (AXIAL, spot(32, 4, 17), ("right", "bottom")),
        (CORONAL, spot(2, 17, 30), ("left", "top")),
        (SAGITTAL, spot(17, 32, 30), ("right", "top")),
    ],
)
def test_left_is_left_and_up_is_up(axis, image, place):
    view = view_of(image, np.ones((40, 40, 40), bool), slices=1, axes=(axis,))
    pixels = draw(view, [Scale(image.data, 0, 1)], width_px=200)[30:].mean(axis=2)
    rows, columns = np.nonzero(pixels > 220)
    assert ("left" if columns.mean() < 100 else "right", "top" if rows.mean() < 70 else "bottom") == place


def test_voxels_keep_their_proportions():
    data = np.zeros((40, 40, 10), np.float32)
    data[10:30, 15:25, 2:7] = 1
    image = Image(data, np.diag([1.0, 2.0, 4.0, 1.0]))
    view = view_of(image, np.ones(data.shape, bool), slices=1, axes=(CORONAL,))
    pixels = draw(view, [Scale(data, 0, 1)], width_px=400)[40:].mean(axis=2) > 128
    height, width = np.ptp(np.nonzero(pixels)[0]), np.ptp(np.nonzero(pixels)[1])
    assert height == pytest.approx(width, rel=0.08)


def test_contour_lies_on_the_border():
    points = np.linalg.norm(np.indices((40, 40, 40)) - 19.5, axis=0)
    view = view_of(Image(points, np.eye(4)), np.ones((40, 40, 40), bool), slices=1, axes=(AXIAL,))
    pixels = draw(view, [Contour(points < 12, (255, 0, 0))], width_px=400)[..., 0]
    rows, columns = np.nonzero(pixels > 200)
    radius = np.hypot(rows - 199.5, columns - 199.5) / 10
    assert radius.size > 200
    assert np.abs(radius - 12).max() < 1


@given(st.tuples(*[st.integers(3, 20)] * 3), st.data())
@settings(max_examples=30, deadline=None)
def test_cuts_lie_inside_the_box_and_the_box_inside_the_image(shape, data):
    inside = data.draw(arrays(bool, shape))
    view = view_of(Image(np.zeros(shape), np.diag([1.0, 2.0, 3.0, 1.0])), inside)
    for axis, indices in view.cuts.items():
        part = view.box[axis]
        assert 0 <= part.start < part.stop <= shape[axis]
        assert all(part.start <= index < part.stop for index in indices)


def test_empty_image_is_drawn_black():
    image = Image(np.zeros((10, 10, 10), np.float32), np.eye(4))
    pixels = draw(view_of(image, image.data > 0), [Scale(image.data, 0, 1)])
    assert pixels.shape[1:] == (780, 3)
    assert np.median(pixels) == 0


def test_colour_scales_hit_their_ends_and_middle():
    assert GREYS(np.array([0.0, 0.5, 1.0])).tolist() == [[0] * 3, [0.5] * 3, [1] * 3]
    middle = DIVERGING(np.array(0.5))
    assert middle.max() < 0.1


def test_volume_read_alone_equals_the_one_of_the_whole_series(tmp_path, rng):
    series = rng.normal(size=(6, 7, 8, 5)).astype(np.float32)
    flipped = np.diag([-2.0, 2.0, 3.0, 1.0])
    save_image(series, tmp_path / "a.nii.gz", flipped)
    volumes = list(iterate_volumes(tmp_path / "a.nii.gz"))
    for index, volume in enumerate(volumes):
        np.testing.assert_array_equal(volume, series[::-1, :, :, index])
        np.testing.assert_array_equal(volume, read_volume(tmp_path / "a.nii.gz", index).data)
    assert len(volumes) == 5


def test_b0_is_found_by_the_bval_file(tmp_path):
    (tmp_path / "a_dwi.bval").write_text("1000 5 1000")
    assert b0_index(tmp_path / "a_dwi.nii.gz") == 1
    assert b0_index(tmp_path / "b_dwi.nii.gz") == 0


def test_carpet_shows_what_all_voxels_share_first(tmp_path, rng):
    shared = np.sin(np.arange(50))
    rows = np.concatenate([rng.normal(size=(20, 50)), shared + 0.1 * rng.normal(size=(20, 50))])
    ordered = carpet(rows + 1000 + np.arange(50))
    correlations = [np.corrcoef(row, shared)[0, 1] for row in ordered]
    assert min(correlations[:20]) > 0.9
    assert max(np.abs(correlations[20:])) < 0.6


def test_constant_voxels_leave_the_carpet_finite():
    assert np.isfinite(carpet(np.ones((5, 20)))).all()


def test_sample_takes_the_masks_voxels_only(tmp_path):
    mask = np.zeros((9, 9, 9), bool)
    mask[3:6, 3:6, 3:6] = True
    save_image(np.repeat((mask * 7.0)[..., None], 4, axis=3), tmp_path / "a.nii.gz", np.eye(4))
    assert sample(tmp_path / "a.nii.gz", mask).tolist() == [[7.0] * 4] * 27


@given(
    arrays(float, st.integers(5, 40), elements=st.floats(-100, 100).map(lambda x: round(x, 3))),
    st.floats(0.1, 50),
)
@settings(max_examples=60, deadline=None)
def test_scores_do_not_depend_on_unit_or_origin(values, scale):
    np.testing.assert_allclose(robust_z(values * scale + 3), robust_z(values), atol=1e-6)


def test_planted_outlier_is_the_only_one_found(rng):
    values = np.append(rng.normal(10, 1, 60), 25)
    assert np.flatnonzero(np.abs(robust_z(values)) > LIMIT).tolist() == [60]


def test_missing_value_scores_nothing_and_changes_nothing(rng):
    values = rng.normal(size=12)
    with_gap = robust_z(np.append(values, np.nan))
    assert np.isnan(with_gap[-1])
    np.testing.assert_allclose(with_gap[:-1], robust_z(values))


def test_sites_are_judged_by_their_own_median(rng):
    values = np.concatenate([rng.normal(0, 1, 30), rng.normal(100, 1, 30)])
    sites = ["a"] * 30 + ["b"] * 30
    values[5] = 100
    assert abs(robust_z(values)[5]) < LIMIT
    assert abs(scores(values, sites)[5]) > LIMIT
