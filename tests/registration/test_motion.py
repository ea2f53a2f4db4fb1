import numpy as np
import pytest

from neuromoe.core.errors import InputError
from neuromoe.imaging.geometry import Grid, apply_affine, rigid_matrix
from neuromoe.imaging.images import load_image, resample
from neuromoe.imaging.transforms import Affine
from neuromoe.registration.motion import estimate_motion, mean_of_aligned, mend_slices

GRID = Grid((32, 36, 24), np.array([[5.0, 0, 0, -77], [0, 5.0, 0, -88], [0, 0, 5.5, -63], [0, 0, 0, 1]]))


def brightness(points: np.ndarray) -> np.ndarray:
    """A head as a formula, so that moving it involves no interpolation."""
    x, y, z = points.T
    inside = 1 / (1 + np.exp(((x / 62) ** 2 + (y / 74) ** 2 + (z / 52) ** 2 - 1) * 8))
    folds = np.cos(x / 9) * np.cos(y / 11) * np.cos(z / 8) + 0.5 * np.sin(x / 17 + y / 13) * np.sin(z / 15)
    return 1000 * inside * (1 + 0.25 * folds)


def moved_series(motion: np.ndarray, rng: np.random.Generator, noise: float = 15.0) -> np.ndarray:
    volumes = [brightness(apply_affine(np.linalg.inv(matrix), GRID.world())) for matrix in motion]
    series = np.stack(volumes, axis=-1).reshape(*GRID.shape, len(motion))
    return (series + rng.normal(0, noise, series.shape)).astype(np.float32)


def wander(rng: np.random.Generator, count: int = 12, step_mm: float = 0.3) -> np.ndarray:
    steps = rng.normal(0, [step_mm] * 3 + [step_mm / 50] * 3, (count, 6))
    return np.stack([rigid_matrix(p, GRID.center_mm) for p in np.cumsum(steps, axis=0)])


def errors_mm(found: np.ndarray, truth: np.ndarray, anchor: int | None = None) -> np.ndarray:
    """Mean distance in the head, after the unknown place of the reference is taken from one volume."""
    common = np.eye(4) if anchor is None else np.linalg.inv(truth[anchor]) @ found[anchor]
    points = GRID.world()[brightness(GRID.world()) > 500]
    apart = [apply_affine(f, points) - apply_affine(t @ common, points) for f, t in zip(found, truth, strict=True)]
    return np.array([np.linalg.norm(a, axis=1).mean() for a in apart])


def test_known_motion_to_a_given_reference_is_found_to_a_tenth_of_a_millimetre(rng):
    truth = wander(rng)
    still = brightness(GRID.world()).reshape(GRID.shape)
    found = estimate_motion(moved_series(truth, rng), GRID.affine, still)
    assert errors_mm(found, truth).mean() < 0.1


def test_known_motion_without_a_reference_is_found_to_a_tenth_of_a_millimetre(rng):
    truth = wander(rng)
    found = estimate_motion(moved_series(truth, rng), GRID.affine)
    assert errors_mm(found, truth, anchor=0).mean() < 0.1


def test_a_jump_of_centimetres_is_followed(rng):
    truth = wander(rng)
    truth[7:] = rigid_matrix([6, -5, 7, 0.08, 0.05, -0.06], GRID.center_mm) @ truth[7:]
    found = estimate_motion(moved_series(truth, rng), GRID.affine)
    assert errors_mm(found, truth, anchor=0).max() < 0.2


def test_a_drift_of_gain_and_offset_is_not_taken_for_motion(rng):
    truth = np.tile(np.eye(4), (6, 1, 1))
    series = moved_series(truth, rng) * np.linspace(1, 1.6, 6, dtype=np.float32) + np.arange(6, dtype=np.float32) * 40
    found = estimate_motion(series, GRID.affine)
    assert errors_mm(found, truth, anchor=0).max() < 0.08


def test_robust_weights_keep_a_moving_bright_part_from_dragging_the_head(rng):
    truth = wander(rng, 6)
    series = moved_series(truth, rng)
    series[4:12, 14:22, 8:14, 3] *= 0.2
    still = brightness(GRID.world()).reshape(GRID.shape)
    robust, plain = (estimate_motion(series, GRID.affine, still, robust=r) for r in (True, False))
    assert errors_mm(robust, truth)[3] < 0.1 < errors_mm(plain, truth)[3]


def test_weights_leave_out_what_they_are_zero_in(rng):
    truth = wander(rng, 4)
    series = moved_series(truth, rng)
    series[:, 27:] = 500 * rng.random(series[:, 27:].shape)
    weights = np.ones(GRID.shape)
    weights[:, 25:] = 0
    still = brightness(GRID.world()).reshape(GRID.shape)
    found = estimate_motion(series, GRID.affine, still, weights=weights)
    assert errors_mm(found, truth).mean() < 0.15


def test_each_volume_can_have_its_own_reference_and_contrast(rng):
    truth = wander(rng, 5)
    still = brightness(GRID.world()).reshape(GRID.shape)
    powers = np.array([1.0, 0.5, 2.0, 1.5, 0.7])
    series = 1000 * (np.clip(moved_series(truth, rng, noise=3.0), 0, None) / 1000) ** powers
    references = 1000 * (still[..., None] / 1000) ** powers
    assert errors_mm(estimate_motion(series, GRID.affine, references), truth).mean() < 0.1


def test_an_initial_motion_far_away_is_refined(rng):
    truth = rigid_matrix([45, 0, 0, 0, 0, 0.9], GRID.center_mm) @ wander(rng, 3)
    start = rigid_matrix([42, 2, 0, 0.03, 0, 0.87], GRID.center_mm)
    still = brightness(GRID.world()).reshape(GRID.shape)
    found = estimate_motion(moved_series(truth, rng), GRID.affine, still, initial=np.tile(start, (3, 1, 1)))
    assert errors_mm(found, truth).mean() < 0.2


def test_the_same_series_gives_the_same_bytes(rng):
    series = moved_series(wander(rng, 5), rng)
    assert estimate_motion(series, GRID.affine).tobytes() == estimate_motion(series, GRID.affine).tobytes()


def test_an_oblique_and_flipped_grid_makes_no_difference(rng):
    truth = wander(rng, 5)
    series = moved_series(truth, rng)
    flip = np.diag([-1.0, 1, 1, 1])
    flip[0, 3] = GRID.shape[0] - 1
    turn = rigid_matrix([3, 4, 5, 0.2, -0.3, 0.1])
    plain = estimate_motion(series, GRID.affine)
    turned = estimate_motion(series[::-1], turn @ GRID.affine @ flip)
    # Other places are compared when the grid is counted from the other side, which moves the common reference.
    assert errors_mm(np.linalg.inv(turn) @ turned @ turn, plain, anchor=0).max() < 0.01


def test_the_mean_of_aligned_volumes_is_sharper_than_the_mean(rng):
    truth = wander(rng, 8, step_mm=2.0)
    series = moved_series(truth, rng)
    still = brightness(GRID.world()).reshape(GRID.shape)
    aligned, blurred = mean_of_aligned(series, GRID.affine, truth), series.mean(axis=3)
    inner = (slice(6, -6),) * 3
    assert np.abs(aligned - still)[inner].mean() < 0.5 * np.abs(blurred - still)[inner].mean()


def test_a_mean_without_motion_is_the_mean(rng):
    series = moved_series(np.tile(np.eye(4), (4, 1, 1)), rng)
    mean = mean_of_aligned(series, GRID.affine, np.tile(np.eye(4), (4, 1, 1)))
    np.testing.assert_allclose(mean, series.mean(axis=3), atol=0.05)


@pytest.mark.parametrize("spoil", [lambda s: s[..., 0], lambda s: s * np.nan, lambda s: s * 0])
def test_a_series_without_signal_or_of_another_shape_is_refused(rng, spoil):
    series = moved_series(np.tile(np.eye(4), (3, 1, 1)), rng)
    with pytest.raises(InputError, match="series"):
        estimate_motion(spoil(series), GRID.affine)


def test_known_motion_of_a_real_volume_is_found(real_bids, rng):
    bold = load_image(real_bids / "sub-forrest02/func/sub-forrest02_task-oneback_run-1_bold.nii.gz", ndim=4)
    still = bold.volume(3)
    truth = wander(rng, 5, step_mm=0.8)
    moved = [resample(still, still.grid, (Affine(np.linalg.inv(matrix)),), order=3) for matrix in truth]
    series = np.stack(moved, axis=-1) + rng.normal(0, 0.01 * still.data.max(), (*still.data.shape, 5))
    found = estimate_motion(series, still.affine, still.data)
    points = still.grid.world()[(still.data > np.percentile(still.data, 80)).ravel()]
    apart = [apply_affine(f, points) - apply_affine(t, points) for f, t in zip(found, truth, strict=True)]
    assert np.linalg.norm(apart, axis=2).mean() < 0.1


def test_slices_of_another_brightness_do_not_drag_the_head(rng):
    truth = wander(rng)
    still = moved_series(truth, rng)
    spoilt = still.copy()
    spoilt[:, :, [6, 11, 12, 17], 5] *= np.array([0.3, 0.5, 1.6, 1.4], np.float32)
    clean, found = (errors_mm(estimate_motion(series, GRID.affine), truth, anchor=0) for series in (still, spoilt))
    assert found[5] < clean[5] + 0.05


def test_only_single_slices_are_mended(rng):
    jumped = np.tile(np.eye(4), (10, 1, 1))
    jumped[4] = rigid_matrix([3, -2, 5, 0.05, 0, 0.03], GRID.center_mm)
    series = moved_series(jumped, rng)
    assert mend_slices(series) is series
    spoilt = series.copy()
    spoilt[:, :, 12, 7] *= 0.5
    np.testing.assert_allclose(mend_slices(spoilt), series, rtol=0.02, atol=1)


def test_places_between_voxels_are_found_as_well_as_places_on_them():
    """Linear interpolation of voxels as sharp as acquired draws volumes to the grid; a fine pattern shows it."""
    grid = Grid(
        (40, 44, 30),
        np.diag([3.0, 3, 3, 1]) + np.array([[0, 0, 0, -58.5], [0, 0, 0, -64.5], [0, 0, 0, -43.5], [0] * 4]),
    )
    points = grid.world()

    def fine(moved: np.ndarray) -> np.ndarray:
        x, y, z = moved.T
        inside = 1 / (1 + np.exp(((x / 45) ** 2 + (y / 50) ** 2 + (z / 35) ** 2 - 1) * 8))
        return 1000 * inside * (1 + 0.3 * np.cos(x / 2) * np.cos(y / 2.3) + 0.3 * np.cos(z / 2.1 + x / 3))

    truth = np.stack([rigid_matrix([shift, 0.4 * shift, 0, 0, 0, 0]) for shift in (0.0, 0.3, 0.75, 1.5)])
    series = np.stack([fine(apply_affine(np.linalg.inv(m), points)) for m in truth], axis=-1)
    found = estimate_motion(series.reshape(*grid.shape, 4).astype(np.float32), grid.affine)
    moved = (found @ np.linalg.inv(found[0]))[:, :3, 3] - (truth @ np.linalg.inv(truth[0]))[:, :3, 3]
    assert np.abs(moved).max() < 0.03


def test_the_last_steps_leave_a_volume_of_noise_where_it_was(rng):
    series = moved_series(np.tile(np.eye(4), (4, 1, 1)), rng)
    series[..., 2] = 500 * rng.random(GRID.shape)
    still = brightness(GRID.world()).reshape(GRID.shape)
    found = estimate_motion(series, GRID.affine, still, smoothing_mm=(5.0,), steps=1)
    assert errors_mm(found[[2]], np.eye(4)[None]).max() < 10


def test_a_gain_that_changes_along_the_slices_is_not_taken_for_motion(rng):
    still = moved_series(np.tile(np.eye(4), (8, 1, 1)), rng)
    height = np.linspace(-1, 1, GRID.shape[2], dtype=np.float32)
    breathing = 0.02 * np.sin(np.arange(8, dtype=np.float32) * 2.1)
    series = still * (1 + height[:, None] * breathing)
    along = estimate_motion(series, GRID.affine)[:, 2, 3]
    across = estimate_motion(series, GRID.affine, slice_axis=0)[:, 2, 3]
    assert np.ptp(along) < 0.25 * np.ptp(across)
