import nibabel as nib
import numpy as np
import pytest

from neuromoe.func._framewise import (
    dvars,
    framewise_displacement,
    motion_parameters,
    rms_displacement,
    temporal_snr,
    unsteady_volumes,
)
from neuromoe.imaging.geometry import rigid_matrix


def made_courses(rng, voxels=300, volumes=80):
    smooth = np.cumsum(rng.normal(0, 2, (voxels, volumes)), axis=1)
    return (1000 + 0.5 * smooth + rng.normal(0, 10, (voxels, volumes))).astype(np.float32)


def test_framewise_displacement_agrees_with_nipype(rng, tmp_path, monkeypatch):
    confounds = pytest.importorskip("nipype.algorithms.confounds")
    monkeypatch.chdir(tmp_path)
    parameters = np.cumsum(rng.normal(0, [0.1] * 3 + [0.002] * 3, (40, 6)), axis=0)
    np.savetxt(tmp_path / "motion.txt", np.roll(parameters, 0, axis=1))
    node = confounds.FramewiseDisplacement(in_file=str(tmp_path / "motion.txt"), parameter_source="SPM")
    theirs = np.loadtxt(node.run().outputs.out_file, skiprows=1)
    ours = framewise_displacement(parameters)
    assert np.isnan(ours[0])
    np.testing.assert_allclose(ours[1:], theirs, rtol=1e-6)


def test_dvars_agrees_with_nipype(rng, tmp_path):
    confounds = pytest.importorskip("nipype.algorithms.confounds")
    pytest.importorskip("nitime")
    courses = made_courses(rng)
    nib.save(nib.Nifti1Image(courses.reshape(10, 10, 3, -1), np.eye(4)), tmp_path / "bold.nii")
    nib.save(nib.Nifti1Image(np.ones((10, 10, 3), np.uint8), np.eye(4)), tmp_path / "mask.nii")
    standard, plain, by_voxel = confounds.compute_dvars(tmp_path / "bold.nii", tmp_path / "mask.nii")
    ours, ours_standard, ours_by_voxel = dvars(courses)
    np.testing.assert_allclose(ours[1:], plain, rtol=1e-4)
    np.testing.assert_allclose(ours_standard[1:], standard, rtol=2e-3)
    np.testing.assert_allclose(ours_by_voxel[1:], by_voxel, rtol=2e-3)


def test_dvars_of_stationary_noise_is_one_when_standardised(rng):
    _, standard, _ = dvars(1000 + rng.normal(0, 10, (2000, 100)))
    assert np.nanmean(standard) == pytest.approx(1.0, abs=0.03)


def test_parameters_are_stated_about_the_centre_of_the_head():
    center = np.array([5.0, -20, 30])
    given = np.array([0.5, -0.2, 0.1, 0.02, -0.01, 0.03])
    found = motion_parameters(rigid_matrix(given, center)[None], center)
    np.testing.assert_allclose(found[0], given, atol=1e-12)


def test_a_pure_shift_moves_the_sphere_by_itself():
    motion = np.stack([np.eye(4), rigid_matrix([0.3, 0.4, 0, 0, 0, 0])])
    assert rms_displacement(motion, np.zeros(3))[1] == pytest.approx(0.5)


def test_rms_displacement_is_that_of_points_in_a_sphere_of_80_mm(rng):
    center = np.array([3.0, -10, 20])
    motion = np.stack([rigid_matrix(rng.normal(0, [1] * 3 + [0.03] * 3)) for _ in range(2)])
    points = rng.uniform(-80, 80, (200_000, 3))
    points = center + points[np.linalg.norm(points, axis=1) <= 80]
    # Points of the reference go to both volumes; the distance is measured in the first one's space.
    change = motion[1] @ np.linalg.inv(motion[0])
    apart = points @ change[:3, :3].T + change[:3, 3] - points
    assert rms_displacement(motion, center)[1] == pytest.approx(np.sqrt((apart**2).sum(1).mean()), rel=5e-3)


def test_temporal_snr_ignores_a_drift(rng):
    noise = rng.normal(0, 10, (500, 200))
    drifting = 1000 + noise + np.linspace(-50, 50, 200)
    assert np.median(temporal_snr(drifting)) == pytest.approx(100, rel=0.03)


def test_bright_first_volumes_are_counted_and_others_are_not(rng):
    signal = 1000 + rng.normal(0, 1, 80)
    assert unsteady_volumes(signal) == 0
    signal[:3] += [300, 80, 20]
    assert unsteady_volumes(signal) == 3
    signal[40] += 500
    assert unsteady_volumes(signal) == 3
