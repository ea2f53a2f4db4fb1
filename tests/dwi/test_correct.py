import json
from pathlib import Path

import numpy as np
import pytest

from neuromoe.core.errors import InputError
from neuromoe.core.quality import read_quality
from neuromoe.dwi._checks import Limits, judge, neighbor_correlation
from neuromoe.dwi._denoise import denoise
from neuromoe.dwi._mask import brain_mask
from neuromoe.dwi._outliers import replace_lost, where_lost
from neuromoe.dwi._series import Run, Series, of_one_phase, read_runs
from neuromoe.dwi._tensor import fit_tensor, tensor_maps
from neuromoe.dwi.correct import correct
from neuromoe.imaging.geometry import Grid, apply_affine, rigid_matrix
from neuromoe.imaging.gradients import Gradients, read_gradients, stored_affine, write_gradients
from neuromoe.imaging.images import Image, dice, load_image, resample, save_image
from neuromoe.imaging.transforms import Affine

from .phantom import Scan, acquire, axial_grid, table


def write_run(folder: Path, name: str, data: np.ndarray, affine: np.ndarray, gradients: Gradients) -> dict:
    """Write a series with its x axis stored right to left, as scanners do."""
    flip = np.diag([-1.0, 1, 1, 1])
    flip[0, 3] = data.shape[0] - 1
    image = Image(data[::-1], affine @ flip)
    paths = {key: folder / f"{name}.{end}" for key, end in (("dwi", "nii.gz"), ("bval", "bval"), ("bvec", "bvec"))}
    save_image(image, paths["dwi"])
    write_gradients(paths["bval"], paths["bvec"], gradients, image.affine)
    return {key: [path] for key, path in paths.items()}


def outputs(folder: Path) -> dict:
    return {
        "preproc": folder / "preproc.nii.gz",
        "preproc_bval": folder / "preproc.bval",
        "preproc_bvec": folder / "preproc.bvec",
        "mask": folder / "mask.nii.gz",
        "quality": folder / "quality.json",
    }


def read_result(out: dict) -> tuple[Image, Gradients, np.ndarray]:
    image = load_image(out["preproc"])
    gradients = read_gradients(
        out["preproc_bval"], out["preproc_bvec"], stored_affine(out["preproc"]), image.data.shape[3]
    )
    return image, gradients, load_image(out["mask"]).data > 0.5


@pytest.fixture(scope="module")
def corrected(scanned: Scan, tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("correct")
    run = write_run(folder, "moved", scanned.moved, scanned.grid.affine, scanned.gradients)
    correct(**run, **outputs(folder))
    return outputs(folder)


def fa_error(series: np.ndarray, gradients: Gradients, scanned: Scan) -> float:
    truth = tensor_maps(fit_tensor(scanned.still[scanned.wm], scanned.gradients)).fa
    found = tensor_maps(fit_tensor(np.maximum(series[scanned.wm], 1e-3), gradients)).fa
    return float(np.abs(found - truth).mean())


def test_anisotropy_is_nearly_as_right_as_with_the_true_motion(corrected, scanned):
    image, gradients, _ = read_result(corrected)
    cleaned, _ = denoise(scanned.moved, np.ones(scanned.wm.shape, bool))
    series = Series([Run(Image(cleaned, scanned.grid.affine), scanned.gradients)])
    turned = scanned.gradients.rotated(scanned.motion[:, :3, :3].transpose(0, 2, 1))
    oracle = fa_error(series.moved(scanned.motion), turned, scanned)
    assert fa_error(image.data, gradients, scanned) < 1.3 * oracle
    assert fa_error(scanned.moved, scanned.gradients, scanned) > 1.4 * oracle


def test_the_directions_turn_with_the_head(corrected, scanned):
    _, gradients, _ = read_result(corrected)
    truth = scanned.gradients.rotated(scanned.motion[:, :3, :3].transpose(0, 2, 1)).directions
    weighted = ~gradients.is_b0

    def degrees(directions):
        return np.degrees(np.arccos(np.clip((directions[weighted] * truth[weighted]).sum(axis=1), -1, 1)))

    assert degrees(gradients.directions).mean() < 0.4 * degrees(scanned.gradients.directions).mean()


def test_the_mask_is_the_brain(corrected, scanned):
    _, _, mask = read_result(corrected)
    assert dice(mask, scanned.brain) > 0.93


def test_quality_numbers_tell_of_the_motion(corrected, scanned):
    record = read_quality(corrected["quality"])
    assert record["numbers"]["mean_fd"] > 2
    assert 0.5 < record["numbers"]["raw_masked_neighbor_corr"] < record["numbers"]["ndc"] < 1
    assert record["numbers"]["directions"] == 13
    assert record["verdict"] == "warn" and "framewise" in record["reasons"][0]
    assert json.loads(corrected["preproc"].with_name("preproc.json").read_text())["Parameters"]["seed"] == 0


def test_the_same_input_gives_the_same_bytes(head, tmp_path, rng):
    grid, gradients = axial_grid(head, 8.0, (24, 28, 21)), table(7)
    still = np.tile(np.eye(4), (8, 1, 1))
    run = write_run(tmp_path, "raw", acquire(head, grid, gradients, still, rng, 0.02), grid.affine, gradients)
    written = []
    for name in ("one", "two"):
        out = outputs(tmp_path / name)
        correct(**run, **out)
        written.append([path.read_bytes() for path in out.values()])
    assert written[0] == written[1]


def test_runs_with_other_scales_and_grids_are_joined(head, rng, tmp_path):
    grid, gradients = axial_grid(head, 6.0, (32, 38, 28)), table(7)
    oblique = Grid(grid.shape, rigid_matrix((4, -3, 2, 0.15, 0, 0.1), head.center_mm) @ grid.affine)
    still = np.tile(np.eye(4), (8, 1, 1))
    first = write_run(tmp_path, "a", acquire(head, grid, gradients, still, rng), grid.affine, gradients)
    second = write_run(tmp_path, "b", 3 * acquire(head, oblique, gradients, still, rng), oblique.affine, gradients)
    series = Series(read_runs(*(first[key] + second[key] for key in ("dwi", "bval", "bvec")))).scaled()
    joined = series.moved(np.tile(np.eye(4), (16, 1, 1)))
    brain = resample(Image(head.brain, head.affine), grid) > 0.99
    difference = np.abs(joined[..., :8] - joined[..., 8:])[brain & series.covered(np.tile(np.eye(4), (16, 1, 1)))]
    assert len(series.gradients) == 16
    assert difference.mean() < 0.08 * joined[brain].mean()
    assert np.allclose(series.gradients.directions[:8], series.gradients.directions[8:], atol=1e-5)


def test_lists_that_do_not_match_are_refused(tmp_path):
    with pytest.raises(InputError, match="2 images, 1 bval"):
        read_runs([tmp_path / "a", tmp_path / "b"], [tmp_path / "a"], [tmp_path / "a"])


def test_an_image_without_signal_is_refused(tmp_path):
    run = write_run(tmp_path, "empty", np.zeros((8, 8, 8, 8), np.float32), np.eye(4), table(7))
    with pytest.raises(InputError, match="values above zero"):
        read_runs(*run.values())


def small_run(head, folder, name, rng, **table_kwargs) -> dict:
    grid = axial_grid(head, 8.0, (24, 28, 21))
    gradients = table(**table_kwargs)
    still = np.tile(np.eye(4), (len(gradients), 1, 1))
    return write_run(folder, name, acquire(head, grid, gradients, still, rng, 0.02), grid.affine, gradients)


@pytest.mark.parametrize("reverse", [{"count": 7}, {"count": 0, "b0s": 2}])
def test_only_one_phase_encoding_is_used_and_the_other_reported(tmp_path, head, rng, reverse):
    one = small_run(head, tmp_path, "sub-1_dir-AP_dwi", rng, count=8)
    other = small_run(head, tmp_path, "sub-1_dir-PA_dwi", rng, **reverse)
    (tmp_path / "sub-1_dir-AP_dwi.json").write_text(json.dumps({"PhaseEncodingDirection": "j-"}))
    (tmp_path / "sub-1_dir-PA_dwi.json").write_text(json.dumps({"PhaseEncodingDirection": "j"}))
    out = outputs(tmp_path / "out")
    correct(
        **{key: other[key] + one[key] for key in one}, **out, sidecars=sorted(tmp_path.glob("*.json")), denoise=False
    )
    record = read_quality(out["quality"])
    assert record["numbers"]["directions"] == 8
    assert any("phase encoding j are not used with those of j-" in reason for reason in record["reasons"])


def test_runs_that_do_not_differ_in_phase_are_all_used(scanned):
    run = Run(Image(scanned.still, scanned.grid.affine), scanned.gradients)
    assert of_one_phase([run, run], ["j", None]) == ([0, 1], [])


def test_a_run_of_two_unweighted_volumes_is_joined(tmp_path, head, rng):
    one, other = (
        small_run(head, tmp_path, name, rng, **k) for name, k in (("a", {"count": 7}), ("b", {"count": 0, "b0s": 2}))
    )
    out = outputs(tmp_path / "out")
    correct(**{key: one[key] + other[key] for key in one}, **out)
    assert read_quality(out["quality"])["numbers"]["volumes"] == 10


@pytest.fixture(scope="module")
def spoilt(scanned) -> np.ndarray:
    """The moving series with two slices of lost signal."""
    data = scanned.moved.copy()
    data[:, :, 18, 4] *= 0.6
    data[:, :, 25, 9] *= 0.4
    return data


def mended(data: np.ndarray, scanned: Scan):
    settings = {"reach_rad": 1.2, "noise": 0.2}
    return replace_lost(data, scanned.grid.affine, scanned.gradients, scanned.motion, scanned.brain, **settings)


def test_slices_that_lost_signal_are_found_and_no_others(spoilt, scanned):
    _, none = mended(scanned.moved, scanned)
    _, lost = mended(spoilt, scanned)
    assert not none.any()
    assert sorted(map(tuple, np.argwhere(lost))) == [(18, 4), (25, 9)]


def test_a_replaced_slice_is_nearer_to_what_was_lost(spoilt, scanned):
    found, _ = mended(spoilt, scanned)
    for z, volume in ((18, 4), (25, 9)):
        inside = scanned.brain[:, :, z]
        errors = [np.abs(d[:, :, z, volume] - scanned.moved[:, :, z, volume])[inside].mean() for d in (found, spoilt)]
        assert errors[0] < 0.4 * errors[1]
    untouched = np.ones(spoilt.shape[3], bool)
    untouched[[4, 9]] = False
    assert np.array_equal(found[..., untouched], spoilt[..., untouched])


def test_where_a_slice_was_lost_follows_the_head(scanned):
    lost = np.zeros((scanned.grid.shape[2], len(scanned.gradients)), bool)
    lost[18, 4] = True
    shifted = scanned.motion.copy()
    shifted[4] = np.eye(4)
    shifted[4, 2, 3] = 2 * scanned.grid.voxel_mm[2]
    found = where_lost(lost, scanned.grid.shape, scanned.grid.affine, shifted)
    assert found[..., 4].all(axis=(0, 1)).nonzero()[0].tolist() == [16]
    assert not np.delete(found, 4, axis=3).any()


def test_neighbouring_correlation_falls_with_noise(scanned, rng):
    noisy = scanned.still + rng.normal(0, 200, scanned.still.shape)
    clean = neighbor_correlation(scanned.still, scanned.gradients, scanned.brain)
    assert neighbor_correlation(noisy, scanned.gradients, scanned.brain) < 0.8 * clean
    same = np.repeat(scanned.still[..., 3:4], scanned.still.shape[3], axis=3)
    assert neighbor_correlation(same, scanned.gradients, scanned.brain) == pytest.approx(1)


def test_a_mask_needs_no_particular_voxel_size(head, rng):
    for voxel_mm, shape in ((3.0, (64, 74, 56)), (5.0, (39, 45, 34))):
        grid, gradients = axial_grid(head, voxel_mm, shape), table(6)
        data = acquire(head, grid, gradients, np.tile(np.eye(4), (7, 1, 1)), rng, 0.02)
        truth = resample(Image(head.brain, head.affine), grid) > 0.5
        assert dice(brain_mask(data[..., 0], data[..., 1:].mean(axis=3), grid.voxel_mm), truth) > 0.92


def test_an_implausible_mask_fails():
    numbers = {"mean_fd": 0.1, "ndc": 0.9, "outlier_slices": 0, "mask_volume_ml": 90.0}
    limits = Limits(2, 0.7, 10, 600, 2200)
    assert judge(numbers, limits)[0] == "fail"
    assert judge(numbers | {"mask_volume_ml": 1300.0}, limits) == ("pass", [])
    no_brain = numbers | {"mask_volume_ml": 1300.0, "fiber_coherence_best": 0.06}
    assert judge(no_brain, Limits(2, 0.7, 10, 600, 2200, 0.25))[0] == "fail"
    assert judge(numbers | {"mask_volume_ml": 1300.0, "ndc": float("nan")}, limits)[0] == "warn"


def test_moving_back_what_was_moved_gives_the_series_again(scanned):
    points = apply_affine(scanned.grid.affine, np.argwhere(scanned.brain)[::97])
    motion = scanned.motion[3]
    assert np.allclose(Affine(motion).inverse()(Affine(motion)(points)), points)
    series = Series([Run(Image(scanned.still, scanned.grid.affine), scanned.gradients)])
    rest = np.tile(np.eye(4), (len(scanned.gradients), 1, 1))
    assert np.allclose(series.moved(rest)[scanned.brain], scanned.still[scanned.brain], rtol=1e-3, atol=0.5)
