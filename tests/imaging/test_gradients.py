import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from neuromoe.core.errors import InputError
from neuromoe.imaging.gradients import (
    Gradients,
    concatenate,
    fsl_to_world,
    read_gradients,
    world_to_fsl,
    write_gradients,
)

ANGLES = st.tuples(*[st.floats(-3, 3)] * 3)
ORDERS = st.permutations(range(3))
SIGNS = st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3)
VECTORS = arrays(float, (5, 3), elements=st.floats(-1, 1)).map(
    lambda v: (v + [2, 0, 0]) / np.linalg.norm(v + [2, 0, 0], axis=1, keepdims=True)
)


def oriented(angles, order, signs) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles).as_matrix()[:, list(order)] * signs * [1.5, 2, 3]
    return affine


@given(ANGLES, ORDERS, SIGNS, VECTORS)
def test_fsl_and_world_directions_round_trip_for_any_orientation_and_handedness(angles, order, signs, vectors):
    affine = oriented(angles, order, signs)
    assert np.allclose(world_to_fsl(fsl_to_world(vectors, affine), affine), vectors, atol=1e-9)
    assert np.allclose(np.linalg.norm(fsl_to_world(vectors, affine), axis=1), 1)


@given(ANGLES, ORDERS, SIGNS)
def test_a_fibre_along_a_voxel_axis_has_the_world_direction_of_that_axis(angles, order, signs):
    affine = oriented(angles, order, signs)
    for axis in range(3):
        step = affine[:3, axis] / np.linalg.norm(affine[:3, axis])
        along = fsl_to_world(np.eye(3)[[axis]], affine)[0]
        assert abs(along @ step) == pytest.approx(1)


def test_world_directions_do_not_depend_on_how_the_axes_are_stored(rng):
    vectors = rng.normal(size=(6, 3))
    las = np.diag([-2.0, 2, 2, 1])
    ras = np.diag([2.0, 2, 2, 1])
    # FSL's convention is radiological: turning round the stored x axis leaves the table as it was.
    assert np.allclose(fsl_to_world(vectors, las), fsl_to_world(vectors, ras))
    lpi = np.diag([-2.0, -2, -2, 1])
    assert np.allclose(fsl_to_world(vectors, lpi), vectors * [-1, -1, -1])


def test_agrees_with_mrtrix_convention_on_an_oblique_image():
    affine = oriented((0.5, 0, 0), (0, 1, 2), (-1, 1, 1))
    y_axis = fsl_to_world(np.array([[0.0, 1, 0]]), affine)[0]
    assert np.allclose(y_axis, [0, np.cos(0.5), np.sin(0.5)])


def write(folder, bvals, bvecs):
    bval, bvec = folder / "x.bval", folder / "x.bvec"
    np.savetxt(bval, np.atleast_2d(bvals), fmt="%g")
    np.savetxt(bvec, bvecs, fmt="%g")
    return bval, bvec


TABLE = np.array([[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
BVALS = [0, 1000, 1000, 1000]


def test_a_transposed_table_is_read_the_same_with_a_note(tmp_path):
    usual = read_gradients(*write(tmp_path, BVALS, TABLE), np.eye(4), 4)
    turned = read_gradients(*write(tmp_path, BVALS, TABLE.T), np.eye(4), 4)
    assert np.array_equal(usual.directions, turned.directions)
    assert usual.notes == () and "rows" in turned.notes[0]


def test_b0_rows_may_hold_anything(tmp_path):
    table = TABLE.copy()
    table[:, 0] = [np.nan, 0.3, 7]
    assert np.array_equal(read_gradients(*write(tmp_path, BVALS, table), np.eye(4), 4).directions[0], [0, 0, 0])


@pytest.mark.parametrize(
    ("bvals", "table", "volumes", "words"),
    [
        (BVALS[:3], TABLE, 4, "4 b-values"),
        (BVALS, TABLE[:, :3], 4, "3 rows of 4"),
        ([1000] * 4, np.full((3, 4), 3**-0.5), 4, "at least one volume of b=0"),
        ([0, 1, 1, 1], TABLE, 4, "s/mm\\^2"),
        ([0, 1e9, 1e9, 1e9], TABLE, 4, "s/mm\\^2"),
        ([0, -5, 1000, 1000], TABLE, 4, "zero and above"),
        (BVALS, TABLE * 2, 4, "length 1"),
        (BVALS, TABLE * [[1], [0], [1]], 4, "length 0 at volume 2"),
        (BVALS, np.where(TABLE > 0, np.nan, 0), 4, "length nan"),
    ],
)
def test_each_fault_of_a_table_is_named(tmp_path, bvals, table, volumes, words):
    with pytest.raises(InputError, match=words):
        read_gradients(*write(tmp_path, bvals, table), np.eye(4), volumes)


def test_text_that_is_no_table_is_named(tmp_path):
    bval, bvec = write(tmp_path, BVALS, TABLE)
    bvec.write_text("one two\n")
    with pytest.raises(InputError, match="text file of numbers"):
        read_gradients(bval, bvec, np.eye(4), 4)
    bvec.write_text("1 2 3\n1 2\n1 2 3\n")
    with pytest.raises(InputError, match="same length"):
        read_gradients(bval, bvec, np.eye(4), 4)


@given(ANGLES, ORDERS, SIGNS)
def test_a_written_table_reads_back(tmp_path_factory, angles, order, signs):
    affine = oriented(angles, order, signs)
    table = Gradients(np.array(BVALS, float), fsl_to_world(TABLE.T, affine))
    folder = tmp_path_factory.mktemp("table")
    write_gradients(folder / "a.bval", folder / "a.bvec", table, affine)
    again = read_gradients(folder / "a.bval", folder / "a.bvec", affine, 4)
    assert np.allclose(again.directions, table.directions, atol=2e-6)
    assert np.array_equal(again.bvals_s_mm2, table.bvals_s_mm2)


def test_turning_directions_follows_the_matrices(rng):
    turns = Rotation.random(4, random_state=1).as_matrix()
    table = Gradients(np.array(BVALS, float), TABLE.T).rotated(turns)
    assert np.allclose(table.directions[2], turns[2][:, 1])


def test_shells_gather_scattered_b_values_and_keep_far_ones_apart():
    bvals = np.array([5, 990, 1010, 0, 2000, 1000, 2950, 3050, 1990.0])
    shells = concatenate([Gradients(bvals, np.zeros((9, 3)))]).shells()
    assert [shell.tolist() for shell in shells] == [[1, 2, 5], [4, 8], [6, 7]]
