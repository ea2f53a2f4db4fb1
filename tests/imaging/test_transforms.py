import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from neuromoe.core.errors import InputError
from neuromoe.imaging.geometry import Grid, map_points, rigid_matrix, rigid_parameters
from neuromoe.imaging.images import Image, load_image, resample, save_image
from neuromoe.imaging.transforms import (
    Affine,
    Displacement,
    read_affines,
    read_transform,
    write_affines,
    write_transform,
)

parameters = arrays(float, 6, elements=st.floats(-1.2, 1.2))


@given(parameters, arrays(float, 3, elements=st.floats(-50, 50)))
def test_rigid_parameters_go_into_a_matrix_and_come_back(values, center):
    np.testing.assert_allclose(rigid_parameters(rigid_matrix(values, center), center), values, atol=1e-8)


@given(parameters)
def test_a_rigid_matrix_keeps_lengths_and_its_centre(values):
    matrix = rigid_matrix(np.concatenate([[0, 0, 0], values[3:]]), (3, 4, 5))
    np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(Affine(matrix)(np.array([[3, 4, 5.0]])), [[3, 4, 5]], atol=1e-9)


def chain(rng) -> tuple:
    affine = np.diag([2.0, -3.0, 4.0, 1.0])
    affine[:3, 3] = [5, 6, -7]
    field = Displacement(rng.normal(size=(5, 6, 7, 3)).astype(np.float32), affine)
    return field, Affine(rigid_matrix([1, 2, 3, 0.1, 0.2, 0.3]) @ np.diag([1.1, 0.9, 1, 1]))


def test_a_chain_is_written_and_read_in_its_order(rng, tmp_path):
    written = chain(rng)
    write_transform(tmp_path / "x.h5", written)
    points = rng.normal(0, 5, (50, 3))
    np.testing.assert_allclose(
        map_points(read_transform(tmp_path / "x.h5"), points), map_points(written, points), atol=1e-6
    )


def test_a_transform_file_carries_no_time(rng, tmp_path):
    for name in ("a.h5", "b.h5"):
        write_transform(tmp_path / name, chain(np.random.default_rng(0)))
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_affines_of_all_volumes_share_a_text_file(rng, tmp_path):
    matrices = np.stack([rigid_matrix(rng.normal(0, 0.3, 6)) for _ in range(4)])
    write_affines(tmp_path / "motion.txt", matrices)
    np.testing.assert_allclose(read_affines(tmp_path / "motion.txt"), matrices, atol=1e-8)


def test_another_file_is_refused_with_its_name(tmp_path):
    (tmp_path / "x.txt").write_text("nothing")
    with pytest.raises(InputError, match=r"x\.txt"):
        read_affines(tmp_path / "x.txt")


def test_simpleitk_moves_points_as_we_do(rng, tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    write_transform(tmp_path / "x.txt", (chain(rng)[1],))
    theirs = sitk.ReadTransform(str(tmp_path / "x.txt"))
    for point in rng.normal(0, 40, (10, 3)):
        lps = np.array(theirs.TransformPoint((point * [-1, -1, 1]).tolist()))
        np.testing.assert_allclose(lps * [-1, -1, 1], read_transform(tmp_path / "x.txt")[0](point[None])[0], atol=1e-6)


def test_an_oblique_image_is_read_in_ras_order_at_the_same_world_points(rng, tmp_path):
    import nibabel as nib

    affine = rigid_matrix([1, 2, 3, 0.1, 0.2, 0.1]) @ np.diag([-2, 3, 4, 1.0])
    data = rng.normal(size=(4, 5, 6)).astype(np.float32)
    nib.save(nib.Nifti1Image(data, affine), tmp_path / "x.nii.gz")
    image = load_image(tmp_path / "x.nii.gz")
    assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
    np.testing.assert_allclose(resample(image, Grid((4, 5, 6), affine), order=0), data)


def test_the_same_image_gives_the_same_bytes(rng, tmp_path):
    image = Image(rng.normal(size=(4, 5, 6)), np.eye(4))
    for name in ("a.nii.gz", "b.nii.gz"):
        save_image(image, tmp_path / name)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


@pytest.mark.parametrize("ndim", [3, 4])
def test_resampling_onto_the_own_grid_changes_nothing(rng, ndim):
    image = Image(rng.normal(size=(6, 5, 4, 3)[:ndim]).astype(np.float32), np.diag([2.0, 2.0, 2.0, 1.0]))
    np.testing.assert_allclose(resample(image, image.grid), image.data, atol=1e-6)


@given(st.floats(0.5, 5))
def test_another_voxel_size_covers_the_same_field_of_view(voxel_mm):
    grid = Grid((30, 40, 20), rigid_matrix([3, 2, 1, 0.2, 0.1, 0]) @ np.diag([2.0, 3.0, 1.5, 1]))
    other = grid.at_voxel_mm(voxel_mm)
    np.testing.assert_allclose(other.center_mm, grid.center_mm, atol=1e-6)
    assert (np.array(other.shape) * voxel_mm >= np.array(grid.shape) * grid.voxel_mm - 1e-2).all()
