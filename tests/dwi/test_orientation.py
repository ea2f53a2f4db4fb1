import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from neuromoe.dwi._correction import Settings, correct_series
from neuromoe.dwi._motion import MotionSettings
from neuromoe.dwi._normalization import fit_maps, unmask
from neuromoe.dwi._orientation import check_orientation
from neuromoe.dwi._series import Series, read_runs
from neuromoe.dwi._tensor import Tensor
from neuromoe.imaging.geometry import Grid, apply_affine

from .phantom import table

FAULTS = {
    "flip x": np.diag([-1.0, 1, 1]),
    "flip y": np.diag([1.0, -1, 1]),
    "flip z": np.diag([1.0, 1, -1]),
    "order y x z": np.eye(3)[[1, 0, 2]],
    "order z y x": np.eye(3)[[2, 1, 0]],
    "order x z y": np.eye(3)[[0, 2, 1]],
}


def bundles(affine: np.ndarray) -> np.ndarray:
    """Directions of thin bundles that wind around tilted axes, all in one sense; zero between them.

    A field without gaps would go on in any direction, and no flip or swap maps these on themselves.
    """
    turn, places, tangents = np.linspace(-6, 6, 3000)[:, None], [], []
    for angles, radius_mm in (([0.3, 0.5, 0.2], 15.0), ([1.3, 0.2, 0.9], 9.0)):
        tilt = Rotation.from_euler("xyz", angles).as_matrix()
        curve = np.hstack([radius_mm * np.cos(turn), radius_mm * np.sin(turn), 5.0 * turn])
        along = np.hstack([-radius_mm * np.sin(turn), radius_mm * np.cos(turn), np.full_like(turn, 5.0)])
        places.append(curve @ tilt.T)
        tangents.append(along / np.linalg.norm(along, axis=1, keepdims=True) @ tilt.T)
    points = apply_affine(affine, Grid((24, 24, 24), affine).indices())
    distance_mm, nearest = cKDTree(np.concatenate(places)).query(points)
    return np.concatenate(tangents)[nearest] * (distance_mm < 3)[:, None]


def grid_affine(oblique_rad: float) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("x", oblique_rad).as_matrix() * 2.0
    affine[:3, 3] = -affine[:3, :3] @ [11.5, 11.5, 11.5]
    return affine


def seen(fibres: np.ndarray, gradients, wrong: np.ndarray, rng) -> tuple[np.ndarray, np.ndarray]:
    """Scan the fibres, and fit with a wrong table."""
    matrices = 0.8e-3 * np.eye(3) + 1.4e-3 * fibres[:, :, None] * fibres[:, None, :]
    signals = Tensor(matrices, np.full(len(fibres), 1000.0)).predict(gradients) + rng.normal(0, 20, (len(fibres), 33))
    series, everywhere = signals.reshape(24, 24, 24, -1), np.ones((24, 24, 24), bool)
    maps, _ = fit_maps(series, gradients.rotated(np.tile(wrong, (33, 1, 1))), everywhere)
    return unmask(maps.v1, everywhere), unmask(maps.fa, everywhere)


@pytest.mark.parametrize("oblique_rad", [0.0, 0.3])
def test_a_right_table_is_the_most_coherent(rng, oblique_rad):
    affine = grid_affine(oblique_rad)
    found = check_orientation(*seen(bundles(affine), table(30, b0s=3), np.eye(3), rng), affine)
    assert (found.name, found.best) == ("as given", found.given)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("oblique_rad", [0.0, 0.3])
def test_every_flip_and_swap_is_named_and_undone(rng, fault, oblique_rad):
    affine = grid_affine(oblique_rad)
    axes = affine[:3, :3] / 2
    wrong = axes @ FAULTS[fault] @ axes.T
    found = check_orientation(*seen(bundles(affine), table(30, b0s=3), wrong, rng), affine)
    assert found.name == fault
    assert found.best > 1.05 * found.given
    # The sign of a direction means nothing, so neither does that of the matrix.
    assert np.allclose(np.abs(np.trace(found.matrix @ wrong)), 3)


def test_directions_that_were_not_turned_into_the_image_are_found(rng):
    affine = grid_affine(0.5)
    found = check_orientation(*seen(bundles(affine), table(30, b0s=3), affine[:3, :3] / 2, rng), affine)
    assert found.name == "scanner axes for image axes"


def test_noise_has_no_coherence(rng):
    directions = rng.normal(size=(20, 20, 20, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    assert check_orientation(directions, np.full((20, 20, 20), 0.5), np.eye(4)).best < 0.15


@pytest.mark.parametrize("session", ["ses-ortho", "ses-sag30d"])
def test_a_real_right_table_stays_and_a_flipped_one_is_put_right(real_bids, session):
    stem = f"sub-tosh/{session}/dwi/sub-tosh_{session}_dwi"
    (run,) = read_runs(*([real_bids / f"{stem}.{end}"] for end in ("nii.gz", "bval", "bvec")))
    affine = run.image.affine
    settings = Settings(denoise=False, gradient_check="fix", motion=MotionSettings(passes=0))
    right = correct_series(Series([run]), settings)
    assert right.reasons == []
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    flip = axes @ np.diag([1.0, -1, 1]) @ axes.T
    wrong = type(run)(run.image, run.gradients.rotated(np.tile(flip, (len(run.gradients), 1, 1))))
    mended = correct_series(Series([wrong]), settings)
    assert "flip y" in mended.reasons[0]
    same = np.abs((mended.gradients.directions * right.gradients.directions).sum(axis=1))[1:]
    # The motion was found with the flipped table, which changes it a little.
    assert np.degrees(np.arccos(np.clip(same, 0, 1))).max() < 1
