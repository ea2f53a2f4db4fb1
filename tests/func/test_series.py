from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuromoe.core.errors import InputError
from neuromoe.func._series import (
    header_repetition_time,
    repetition_time,
    short_reason,
    slice_axis,
    slice_times,
)

BOLD = Path("sub-1_bold.nii.gz")
ORIENTATIONS = [(0, 1, 2), (0, 2, 1), (2, 0, 1), (1, 0, 2)]


@given(
    order=st.sampled_from(ORIENTATIONS),
    signs=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    direction=st.sampled_from(["i", "j", "k", "i-", "j-", "k-"]),
)
def test_each_slice_keeps_its_time_however_the_image_is_stored(order, signs, direction):
    """Give every stored voxel its slice's time, let nibabel turn the image, and compare."""
    affine = np.eye(4)
    affine[:3, :3] = np.diag([2.0, 2.5, 3.0])[:, order] * signs
    stored_axis, shape = "ijk".index(direction[0]), (4, 5, 6)
    stated = np.linspace(0, 1.8, shape[stored_axis])
    along = stated[::-1] if direction.endswith("-") else stated
    times_shape = [1, 1, 1]
    times_shape[stored_axis] = -1
    image = nib.Nifti1Image(np.broadcast_to(along.reshape(times_shape), shape).copy(), affine)
    turned = np.asanyarray(nib.as_closest_canonical(image).dataobj)
    axis, reverse = slice_axis(affine, direction)
    found = slice_times({"SliceTiming": stated.tolist()}, turned.shape[axis], 2.0, reverse=reverse, where=BOLD)
    np.testing.assert_array_equal(np.moveaxis(turned, axis, 0)[:, 0, 0], found)


@pytest.mark.parametrize("times", [[0.0, 1.0], [0.0, 500.0, 1000.0], [-0.1, 0.0, 1.0]])
def test_slice_times_that_do_not_fit_are_refused(times):
    with pytest.raises(InputError, match="SliceTiming of 3 times from 0 to 2 s"):
        slice_times({"SliceTiming": times}, 3, 2.0, reverse=False, where=BOLD)


@pytest.mark.parametrize(
    "metadata", [{}, {"SliceTiming": [0.5] * 3}, {"SliceTiming": [0, 1, 2], "SliceTimingCorrected": True}]
)
def test_without_different_times_there_is_nothing_to_correct(metadata):
    assert slice_times(metadata, 3, 3.0, reverse=False, where=BOLD) is None


def test_the_sidecar_decides_where_the_header_says_nothing():
    assert repetition_time({"RepetitionTime": 0.8}, 0.0, BOLD) == 0.8
    assert repetition_time({"RepetitionTime": 0.8}, 1.0, BOLD) == 0.8
    assert repetition_time({}, 2.2, BOLD) == 2.2


@pytest.mark.parametrize("stated", [2000, 0.01])
def test_a_repetition_time_in_milliseconds_is_refused(stated):
    with pytest.raises(InputError, match="0.1 to 30 s"):
        repetition_time({"RepetitionTime": stated}, 0.0, BOLD)


def test_no_repetition_time_at_all_is_refused():
    with pytest.raises(InputError, match="none in sidecar or header"):
        repetition_time({}, 0.0, BOLD)


def test_a_header_in_milliseconds_is_read_in_seconds():
    image = nib.Nifti1Image(np.zeros((2, 2, 2, 3), np.float32), np.eye(4))
    image.header["pixdim"][4] = 2500
    image.header.set_xyzt_units("mm", "msec")
    assert header_repetition_time(image.header) == pytest.approx(2.5)


def test_short_runs_are_named():
    assert short_reason(60, 2.0) == []
    assert "short" in short_reason(59, 3.0)[0] and "short" in short_reason(100, 1.0)[0]
