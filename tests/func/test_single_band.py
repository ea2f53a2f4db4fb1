"""Single-band references as what a run is aligned to."""

import json

import nibabel as nib
import numpy as np
import pytest

from neuromoe.core.quality import read_quality
from neuromoe.imaging.geometry import Grid, apply_affine, rigid_matrix
from neuromoe.imaging.images import Image, load_image, resample, save_image
from neuromoe.imaging.transforms import Affine, read_affines, read_transform

from .test_correct import brain_points, run_correct

# The head moved this far between the reference and the run.
POSE = rigid_matrix([1.5, -2.0, 3.0, 0.04, -0.03, 0.05], (0, -15, 10))


def sbref(person, tissues, path, *, voxel_mm=(4.0, 4.0, 4.2), shape_of_head=(1.0, 1.0, 1.0)):
    """Write a volume of another contrast, noise and shading, of the head at `POSE`."""
    shape = tuple(np.round(np.array([168, 200, 151.2]) / voxel_mm).astype(int))
    affine = np.diag([*voxel_mm, 1.0])
    affine[:3, 3] = -82, -118, -72
    grid = Grid(shape, affine)
    t1w_to_template = np.linalg.inv(read_transform(person.t1w_to_template)[0].matrix)
    to_template = t1w_to_template @ np.linalg.inv(np.diag([*shape_of_head, 1.0]) @ POSE @ person.t1w_to_bold)
    contrast = 1500 * tissues["wm"].data + 2100 * tissues["gm"].data + 4200 * tissues["csf"].data
    still = resample(Image(contrast.astype(np.float32), tissues["gm"].affine), grid, (Affine(to_template),))
    shading = 1 + 0.15 * np.linspace(-1, 1, shape[1])[:, None]
    save_image(np.abs(still * shading + np.random.default_rng(3).normal(0, 30, shape)), path, affine)
    return path


@pytest.fixture(scope="module")
def short(person, tmp_path_factory):
    """The first 20 volumes."""
    path = tmp_path_factory.mktemp("short") / "bold.nii.gz"
    nib.save(nib.load(person.bold).slicer[..., :20], path)
    return path


@pytest.fixture(scope="module")
def usual(person, short, tmp_path_factory):
    """The run by itself."""
    return run_correct(person, tmp_path_factory.mktemp("usual"), bold=short)


@pytest.mark.parametrize("voxel_mm", [(4.0, 4.0, 4.2), (3.0, 3.0, 3.6)])
def test_the_run_is_aligned_to_its_reference_on_any_grid(person, tissues, short, tmp_path, voxel_mm):
    given = sbref(person, tissues, tmp_path / "sbref.nii.gz", voxel_mm=voxel_mm)
    outputs = run_correct(person, tmp_path, bold=short, sbref=given)
    points = apply_affine(POSE @ person.t1w_to_bold, brain_points(person))
    truth = person.motion[:20] @ np.linalg.inv(POSE)
    found = read_affines(outputs["motion"])
    apart = [apply_affine(f, points) - apply_affine(t, points) for f, t in zip(found, truth, strict=True)]
    # A tenth of a voxel: so much do contrast, and a shading that the run does not have, move it.
    assert np.linalg.norm(apart, axis=2).mean() < 0.3
    (place,) = read_transform(outputs["transform"])
    assert np.linalg.norm(place(brain_points(person)) - points, axis=1).mean() < 1.0
    boldref, bold = load_image(outputs["boldref"], ndim=3), load_image(short, ndim=4)
    assert boldref.grid.same_as(bold.grid)
    assert np.median(boldref.data[load_image(outputs["mask"], ndim=3).data > 0.5]) > 1500
    told = json.loads((tmp_path / "boldref.json").read_text())
    assert told["Reference"] == "single-band reference" and told["ReferenceCorrelation"] > 0.9
    assert str(given) in told["Sources"]


def test_the_motion_between_volumes_stays_what_the_volumes_tell(person, tissues, short, usual, tmp_path):
    by_it = run_correct(person, tmp_path, bold=short, sbref=sbref(person, tissues, tmp_path / "sbref.nii.gz"))
    steps = np.linalg.inv(read_affines(usual["motion"])) @ read_affines(by_it["motion"])
    assert np.allclose(steps, steps[0], atol=1e-5) and not np.allclose(steps[0], np.eye(4), atol=0.1)
    one, other = (read_quality(outputs["quality"])["numbers"] for outputs in (by_it, usual))
    # Turned axes share out a displacement otherwise, which Power's sum of its parts sees.
    assert one["fd_mean"] == pytest.approx(other["fd_mean"], rel=0.1)
    # Numbers of the mean volume stay those of the mean volume.
    assert one["snr"] == pytest.approx(other["snr"], rel=0.05)


def test_a_reference_may_be_left_alone(person, tissues, short, usual, tmp_path):
    given = sbref(person, tissues, tmp_path / "sbref.nii.gz")
    outputs = run_correct(person, tmp_path, bold=short, sbref=given, single_band="off")
    assert outputs["boldref"].read_bytes() == usual["boldref"].read_bytes()
    assert json.loads((tmp_path / "boldref.json").read_text())["Reference"] == "mean of the aligned volumes"


@pytest.mark.parametrize("spoilt", ["another head", "noise", "values"])
def test_an_image_that_is_not_the_run_is_not_used_and_named(person, tissues, short, usual, tmp_path, spoilt, rng):
    given = tmp_path / "sbref.nii.gz"
    if spoilt == "another head":
        sbref(person, tissues, given, shape_of_head=(1.15, 0.9, 0.8))
    else:
        data = np.abs(rng.normal(0, 100, (42, 50, 36))).astype(np.float32)
        data[3, 4, 5] = np.nan if spoilt == "values" else 0
        save_image(data, given, load_image(short).affine)
    outputs = run_correct(person, tmp_path, bold=short, sbref=given)
    assert outputs["boldref"].read_bytes() == usual["boldref"].read_bytes()
    assert outputs["motion"].read_bytes() == usual["motion"].read_bytes()
    reasons = read_quality(outputs["quality"])["reasons"]
    assert any("single-band reference not used" in reason for reason in reasons)
