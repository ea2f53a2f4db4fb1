"""Shear and scale along phase encoding, put into a made head and taken out again."""

import json

import numpy as np
import pytest

from neuromoe.core.quality import read_quality
from neuromoe.dwi._correction import Settings, correct_series
from neuromoe.dwi._eddy import distortion
from neuromoe.dwi._series import Run, Series
from neuromoe.dwi.correct import correct
from neuromoe.imaging.geometry import apply_affine
from neuromoe.imaging.gradients import Gradients
from neuromoe.imaging.images import Image, load_image, resample

from .phantom import Head, _scan, axial_grid, random_motion, table
from .test_correct import outputs, small_run

AXIS = np.array([0.0, 1.0, 0.0])


def acquire_distorted(head: Head, grid, gradients: Gradients, motion, distortions, rng) -> np.ndarray:
    """Scan the moved head where eddy currents stretch what is read out, and dilute it."""
    volumes = []
    for bval, direction, pose, eddy in zip(
        gradients.bvals_s_mm2, gradients.directions, motion, distortions, strict=True
    ):
        seen = pose[:3, :3].T @ direction
        signal = head.s0 * np.exp(-bval * np.einsum("i,xyzij,j->xyz", seen, head.tensors, seen))
        volume = _scan(Image(signal.astype(np.float32), head.affine), grid, np.linalg.inv(eddy @ pose))
        volumes.append(volume / np.linalg.det(eddy))
    series = np.stack(volumes, axis=-1)
    return np.hypot(series + rng.normal(0, 15, series.shape), rng.normal(0, 15, series.shape)).astype(np.float32)


def test_a_distortion_moves_points_along_its_axis_alone():
    center = np.array([5.0, -3, 2])
    moved = apply_affine(distortion(np.array([0.01, 0.02, -0.03]), AXIS, center), center + [[10.0, 0, 0], [0, 50, 10]])
    assert moved - center == pytest.approx(np.array([[10, 0.1, 0], [0, 50 + 1 - 0.3, 10]]))


def test_affine_takes_out_most_of_the_shear_and_scale_that_rigid_leaves(head):
    rng = np.random.default_rng(5)
    grid, gradients = axial_grid(head, 5.0, (39, 45, 34)), table(16)
    motion = random_motion(head, len(gradients), rng, shift_mm=0.5, turn_rad=0.01)
    # Up to 2 % along each axis, as linear in the gradients as eddy currents are: 1.5 mm at the brain's rim.
    slopes = gradients.directions @ rng.uniform(-0.02, 0.02, (3, 3))
    true = np.stack([distortion(row, AXIS, head.center_mm) for row in slopes])
    data = acquire_distorted(head, grid, gradients, motion, true, rng)
    series = Series([Run(Image(data, grid.affine), gradients)])
    brain = resample(Image(head.brain, head.affine), grid) > 0.5
    points = apply_affine(grid.affine, np.argwhere(brain)[::20])

    def errors(eddy: str) -> tuple[float, float]:
        found = correct_series(series, Settings(denoise=False, eddy=eddy), np.tile(AXIS, (len(gradients), 1)))
        whole = found.distortions @ found.motion
        miss = [
            apply_affine(np.linalg.inv(t @ m) @ w, points) - points
            for t, m, w in zip(true[1:], motion[1:], whole[1:], strict=True)
        ]
        # Where the shell lies as one, and shifts of single volumes, are the rigid part's matter.
        shape = np.array(miss) - np.mean(miss, axis=0)
        shape -= shape.mean(axis=1, keepdims=True)
        wrong = found.distortions[1:, 1, :3] - true[1:, 1, :3]
        return float(np.sqrt((shape**2).sum(axis=2).mean())), float(np.sqrt((wrong**2).mean()))

    (rigid_mm, rigid_slope), (affine_mm, affine_slope) = errors("rigid"), errors("affine")
    assert affine_slope < 0.3 * rigid_slope
    # Turns of the head that are not found, 0.24 mm without any distortion, remain.
    assert affine_mm < 0.7 * rigid_mm


def test_without_phase_encoding_the_correction_is_rigid_and_says_so(head, tmp_path):
    rng = np.random.default_rng(6)
    run = small_run(head, tmp_path, "sub-1_dwi", rng, count=7)
    written = {}
    for name, phase in (("silent", {}), ("told", {"PhaseEncodingDirection": "j-"})):
        sidecar = tmp_path / "sub-1_dwi.json"
        sidecar.write_text(json.dumps(phase))
        out = outputs(tmp_path / name)
        correct(**run, **out, sidecars=[sidecar], denoise=False, eddy="affine")
        written[name] = (load_image(out["preproc"]).data, read_quality(out["quality"])["reasons"])
    assert any("PhaseEncodingDirection" in reason for reason in written["silent"][1])
    assert not any("PhaseEncodingDirection" in reason for reason in written["told"][1])
    assert not np.array_equal(written["silent"][0], written["told"][0])
