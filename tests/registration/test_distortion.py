from collections.abc import Callable

import numpy as np
import pytest

from neuromoe.imaging.geometry import Grid, apply_affine, rigid_matrix
from neuromoe.imaging.images import Image, resample, sample
from neuromoe.imaging.transforms import Affine, Displacement
from neuromoe.registration.coregister import Coregistration
from neuromoe.registration.distortion import estimate_shift, inverted, phase_axis, undistort_by_t1w, undistorted

POSE = rigid_matrix((4, -3, 2, 0.04, -0.03, 0.05))
Shift = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(scope="module")
def tissues() -> dict[str, Image]:
    """The bundled brain at 2 mm: T1w, what an echo-planar image sees of it, brain."""
    from nilearn.datasets import load_mni152_brain_mask, load_mni152_gm_template, load_mni152_wm_template

    loaded = [load(resolution=2) for load in (load_mni152_wm_template, load_mni152_gm_template, load_mni152_brain_mask)]
    affine = np.asarray(loaded[0].affine, float)
    affine[:3, 3] = apply_affine(affine, [-4, -4, -4])
    white, grey, brain = (np.pad(np.asarray(image.dataobj, np.float32), 4) for image in loaded)
    white, grey = white / white.max(), grey / grey.max()
    fluid = np.where(brain > 0.5, np.clip(1 - white - grey, 0, 1), 0)
    parts = {"t1w": white + 0.65 * grey + 0.2 * fluid, "epi": 0.8 * white + grey + 1.5 * fluid, "brain": brain}
    return {name: Image(data.astype(np.float32), affine) for name, data in parts.items()}


def sinus(points: np.ndarray) -> np.ndarray:
    """Shift (N,), mm: 7 above the sinuses, the other way by the ears."""
    places = (((0, 55, -10), 7.0, 28.0), ((50, -10, -20), -4.0, 20.0), ((-50, -10, -20), -4.0, 20.0))
    return sum(size * np.exp(-((points - at) ** 2).sum(axis=1) / 2 / width**2) for at, size, width in places)


def grid_of(image: Image, kind: str) -> Grid:
    """The scanner's grid of 3 mm around the head as POSE puts it there."""
    grid = image.grid.at_voxel_mm(3.0)
    turned = {
        "straight": np.eye(4),
        "oblique": rigid_matrix((0, 0, 0, 0.3, 0.1, -0.2), grid.center_mm),
        "sheared": np.array([[1, 0, 0, 0], [0, 1, 0.15, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]),
    }
    return Grid(grid.shape, POSE @ turned[kind] @ grid.affine)


def acquire(image: Image, grid: Grid, axis: int, shift: Shift, rng: np.random.Generator, noise: float = 0.01) -> Image:
    """See the head, put there by POSE, where its field shifts it to; squeezed signal is brighter."""
    along = grid.affine[:3, axis] / grid.voxel_mm[axis]
    to_head = np.linalg.inv(POSE)
    seen = grid.world()
    places = seen.copy()
    for _ in range(60):
        places = seen - shift(apply_affine(to_head, places))[:, None] * along
    above, below = (shift(apply_affine(to_head, places + side * along)) for side in (0.5, -0.5))
    signal = sample(image, apply_affine(to_head, places)) / (1 + above - below)
    coil = np.exp(0.001 * (seen - seen.mean(axis=0)) @ [1.0, -1.0, 0.5])
    data = (signal * coil).reshape(grid.shape) + rng.normal(0, noise, grid.shape)
    return Image(np.abs(data).astype(np.float32), grid.affine)


def errors_mm(found: Displacement | None, matrix: np.ndarray, brain: Image, epi: Image, axis: int, shift: Shift):
    """Mean distance in the brain between where a T1w point is seen and where it is said to be."""
    points = apply_affine(brain.affine, np.argwhere(brain.data > 0.5))
    along = epi.affine[:3, axis] / epi.voxel_mm[axis]
    truth = apply_affine(POSE, points) + shift(points)[:, None] * along
    places = apply_affine(matrix, points)
    said = places if found is None else found(places)
    return float(np.linalg.norm(said - truth, axis=1).mean())


@pytest.mark.parametrize(("axis", "kind"), [(0, "straight"), (1, "oblique"), (1, "sheared")])
def test_more_than_half_of_a_known_shift_is_found(tissues, rng, axis, kind):
    epi = acquire(tissues["epi"], grid_of(tissues["epi"], kind), axis, sinus, rng)
    way = estimate_shift(epi, tissues["t1w"], tissues["brain"], POSE, axis=axis)
    before = errors_mm(None, POSE, tissues["brain"], epi, axis, sinus)
    after = errors_mm(way, POSE, tissues["brain"], epi, axis, sinus)
    assert before > 0.7
    assert after < 0.5 * before
    steps = way.field @ np.linalg.inv(way.affine[:3, :3]).T
    assert np.abs(np.delete(steps, axis, axis=3)).max() < 1e-4
    assert np.diff(steps[..., axis], axis=axis).min() > -1


def test_position_and_distortion_are_found_in_turns_and_kept(tissues, rng):
    epi = acquire(tissues["epi"], grid_of(tissues["epi"], "straight"), 1, sinus, rng)
    off = rigid_matrix((0.3, 0.8, -0.3, 0, 0, 0)) @ POSE
    mask = Image((epi.data > 0.4).astype(np.float32), epi.affine)
    start = Coregistration(off, 0.0, "header")
    found = undistort_by_t1w(epi, mask, tissues["t1w"], tissues["brain"], start, axis=1)
    before = errors_mm(None, off, tissues["brain"], epi, 1, sinus)
    after = errors_mm(found.undistorted.way, found.place.matrix, tissues["brain"], epi, 1, sinus)
    assert after < 0.5 * before
    assert found.numbers["score_after"] > found.numbers["score_before"]
    assert found.numbers["dice_after"] > found.numbers["dice_before"]
    assert found.record(1)["Axis"] == "j" and found.record(1)["Kept"]


def test_an_image_without_distortion_stays_within_half_a_voxel(tissues, rng):
    epi = acquire(tissues["epi"], grid_of(tissues["epi"], "straight"), 1, lambda points: 0 * points[:, 0], rng)
    way = estimate_shift(epi, tissues["t1w"], tissues["brain"], POSE, axis=1)
    assert errors_mm(way, POSE, tissues["brain"], epi, 1, lambda points: 0 * points[:, 0]) < 0.25 * 3.0


def test_noise_is_kept_as_it_was_where_the_score_gets_no_better(tissues, rng):
    part = {name: Image(image.data[10:40, 10:40, 10:40], image.affine) for name, image in tissues.items()}
    noise = part["epi"].like(rng.normal(1, 0.1, part["epi"].data.shape).astype(np.float32))
    start = Coregistration(np.eye(4), 0.0, "header")
    found = undistort_by_t1w(noise, part["brain"], part["t1w"], part["brain"], start, axis=1)
    kept = found.undistorted is not None
    assert kept == (found.numbers["score_after"] > found.numbers["score_before"])
    assert kept or found.place is start


def test_no_shift_is_larger_than_the_limit_and_none_folds(rng):
    noise = [Image(rng.gamma(2, size=(14, 16, 12)).astype(np.float32), np.diag([5.0, 5, 5, 1])) for _ in range(2)]
    everywhere = noise[0].like(np.ones((14, 16, 12), np.float32))
    way = estimate_shift(noise[0], noise[1], everywhere, np.eye(4), axis=1, max_shift_mm=3.0)
    assert np.abs(way.field).max() <= 3.0 + 1e-4
    assert np.diff(way.field[..., 1] / way.affine[1, 1], axis=1).min() > -1


def test_signal_that_was_squeezed_is_spread_again(tissues, rng):
    grid = grid_of(tissues["epi"], "straight")
    epi = acquire(tissues["epi"], grid, 1, sinus, rng, noise=0.0)
    plain = acquire(tissues["epi"], grid, 1, lambda points: 0 * points[:, 0], rng, noise=0.0)
    shift = sinus(apply_affine(np.linalg.inv(POSE), grid.world())).reshape(grid.shape)
    way = Displacement((shift[..., None] * grid.affine[:3, 1] / grid.voxel_mm[1]).astype(np.float32), grid.affine)
    brain = resample(tissues["brain"], grid, [Affine(np.linalg.inv(POSE))]) > 0.5
    straight = undistorted(epi, way, 1)
    near = brain & (np.abs(shift) > 2)
    # What is left is the blur of two linear interpolations.
    assert np.abs(straight.reference.data - plain.data)[near].mean() < 0.5 * np.abs(epi.data - plain.data)[near].mean()
    assert straight.shift_mm == pytest.approx(np.abs(shift).max(), abs=1e-3)


def test_the_way_back_undoes_the_way(rng):
    affine = np.diag([4.0, 4, 4, 1])
    ramp = np.zeros((12, 14, 10, 3), np.float32)
    ramp[..., 1] = 3 * np.sin(np.arange(14) / 3)[None, :, None]
    way = Displacement(ramp, affine)
    points = rng.uniform(12, 24, (50, 3))
    assert np.abs(inverted(way)(way(points)) - points).max() < 0.1


def test_the_axis_follows_the_files_own_order():
    stored = np.eye(4)[[1, 2, 0, 3]]
    assert [phase_axis(name, stored) for name in ("i", "j-", "k", "x", "")] == [2, 0, 1, None, None]
