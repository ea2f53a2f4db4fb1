"""The registrations of ANTs, on a small brain that is deformed by a known map."""

import tempfile

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from neuromoe.imaging.geometry import map_points, rigid_matrix
from neuromoe.imaging.images import Image, resample
from neuromoe.imaging.transforms import Affine, Displacement
from neuromoe.registration.ants import KINDS, ants_deformable


def made_pair(voxel_mm):
    """Return a brain, the same brain deformed, and the map from the first to the second."""
    from nilearn.datasets import load_mni152_template

    template = load_mni152_template(resolution=voxel_mm)
    fixed = Image(np.asarray(template.get_fdata(), np.float32) * 100, np.asarray(template.affine, float))
    rng = np.random.default_rng(0)
    field = np.stack([gaussian_filter(rng.normal(size=fixed.data.shape), 16 / voxel_mm) for _ in range(3)], axis=-1)
    warp = Displacement((field / np.abs(field).max() * 6).astype(np.float32), fixed.affine)
    affine = Affine(rigid_matrix([4, -6, 3, 0.08, -0.05, 0.06]) @ np.diag([1.05, 0.95, 1.02, 1]))
    return fixed, fixed.like(resample(fixed, fixed.grid, [warp, affine])), (warp, affine)


@pytest.fixture(scope="module")
def pair():
    return made_pair(4)


@pytest.fixture(scope="module")
def coarse():
    return made_pair(8)


def error_mm(chain, truth, fixed):
    points = fixed.grid.world()[fixed.data.ravel() > 20]
    return np.linalg.norm(map_points(truth, map_points(chain, points)) - points, axis=1).mean()


@pytest.mark.parametrize("kind", ["SyN", "SyNQuick", "antsRegistrationSyNQuickRepro[s]"])
def test_a_known_deformation_is_found_and_undone(pair, kind):
    fixed, moving, truth = pair
    chain, inverse = ants_deformable(fixed, moving, kind=kind)
    before, after = error_mm(chain[1:], truth, fixed), error_mm(chain, truth, fixed)
    # Mutual information finds less of the deformation on these few voxels than correlation does (greedy: 0.8).
    assert before < 3.5
    assert after < 0.9 * before
    assert error_mm(chain, inverse, fixed) < 0.2


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_finds_a_map_and_leaves_no_files(coarse, kind, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    fixed, moving, _ = coarse
    (warp, affine), (back, unwarp) = ants_deformable(fixed, moving, kind=kind)
    assert (type(warp), type(affine), type(back), type(unwarp)) == (Displacement, Affine, Affine, Displacement)
    assert warp.field.shape == unwarp.field.shape == (*fixed.data.shape, 3)
    assert np.abs(warp.field).max() > 0
    assert list(tmp_path.iterdir()) == []


def test_two_runs_agree_to_the_last_bit(coarse):
    fixed, moving, _ = coarse
    runs = [ants_deformable(fixed, moving, kind="SyN", seed=3) for _ in range(2)]
    for one, other in zip(*(chain + inverse for chain, inverse in runs), strict=True):
        for name, value in vars(one).items():
            np.testing.assert_array_equal(value, getattr(other, name))


def test_images_without_content_are_an_error(coarse):
    fixed, _, _ = coarse
    with pytest.raises(RuntimeError, match="SyN found no map"):
        ants_deformable(fixed, fixed.like(np.full_like(fixed.data, np.nan)))
