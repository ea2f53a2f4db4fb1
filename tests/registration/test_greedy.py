import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from neuromoe.imaging.geometry import map_points, rigid_matrix
from neuromoe.imaging.images import Image, resample
from neuromoe.imaging.transforms import Affine, Displacement
from neuromoe.registration.greedy import Deformation, greedy_affine, greedy_deformable, greedy_field, greedy_inverse


@pytest.fixture(scope="module")
def pair():
    """A brain, the same brain deformed, and the map from the first to the second."""
    from nilearn.datasets import load_mni152_template

    template = load_mni152_template(resolution=4)
    fixed = Image(np.asarray(template.get_fdata(), np.float32) * 100, np.asarray(template.affine, float))
    rng = np.random.default_rng(0)
    field = np.stack([gaussian_filter(rng.normal(size=fixed.data.shape), 4) for _ in range(3)], axis=-1)
    warp = Displacement((field / np.abs(field).max() * 6).astype(np.float32), fixed.affine)
    affine = Affine(rigid_matrix([4, -6, 3, 0.08, -0.05, 0.06]) @ np.diag([1.05, 0.95, 1.02, 1]))
    moving = fixed.like(resample(fixed, fixed.grid, [warp, affine]))
    return fixed, moving, (warp, affine)


def error_mm(chain, truth, fixed):
    points = fixed.grid.world()[fixed.data.ravel() > 20]
    return np.linalg.norm(map_points(truth, map_points(chain, points)) - points, axis=1).mean()


def test_a_known_deformation_is_found_and_undone(pair):
    fixed, moving, truth = pair
    affine = greedy_affine(fixed, moving)
    chain, inverse = greedy_deformable(fixed, moving, initial=affine)
    before, after = error_mm((affine,), truth, fixed), error_mm(chain, truth, fixed)
    assert before < 3.5
    assert after < 0.8 * before
    assert error_mm(chain, inverse, fixed) < 0.2


def test_two_runs_agree_to_the_last_bit(pair):
    fixed, moving, _ = pair
    runs = [greedy_affine(fixed, moving, iterations="20x5", seed=3).matrix for _ in range(2)]
    np.testing.assert_array_equal(*runs)


def test_what_greedy_says_reaches_the_error(pair):
    fixed, moving, _ = pair
    with pytest.raises(RuntimeError, match="greedy failed"):
        greedy_affine(fixed, moving, dof=99)


@pytest.mark.parametrize("dof", [6, 7, 12])
def test_a_start_at_half_a_turn_is_refined_like_any_other(pair, dof):
    """The image stands on its head and 8 mm away: two voxels, to be found to a quarter of one."""
    fixed, _, _ = pair
    over = rigid_matrix([0, 0, 0, 0, np.pi, 0])
    moving = Image(fixed.data, over @ fixed.affine)
    start = Affine(over @ rigid_matrix([8, 0, 0, 0, 0, 0]))
    found = greedy_affine(fixed, moving, initial=start, dof=dof, iterations="40x20")
    assert error_mm((found,), (Affine(over).inverse(),), fixed) < 1


def test_a_field_is_inverted_as_the_registration_inverts_it(pair):
    fixed, moving, _ = pair
    affine = Affine(np.eye(4))
    field = greedy_field(fixed, moving, initial=affine)
    (same, _), _ = greedy_deformable(fixed, moving, initial=affine)
    np.testing.assert_array_equal(field.field, same.field)
    assert np.linalg.norm(field.field, axis=-1).max() > 4
    assert error_mm((field,), (greedy_inverse(field),), fixed) < 0.2


def test_smaller_steps_go_less_far(pair):
    fixed, moving, _ = pair
    whole, half = (
        np.abs(greedy_field(fixed, moving, initial=Affine(np.eye(4)), how=how).field).max()
        for how in (Deformation(iterations="0x3"), Deformation(iterations="0x3", step=0.5))
    )
    assert half < 0.7 * whole
