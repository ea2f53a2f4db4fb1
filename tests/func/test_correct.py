import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from neuromoe.core.errors import InputError
from neuromoe.core.quality import read_quality
from neuromoe.func.correct import correct
from neuromoe.imaging.geometry import apply_affine
from neuromoe.imaging.images import dice, load_image
from neuromoe.imaging.transforms import Affine, read_affines, read_transform

sys.path.insert(0, str(Path(__file__).parent.parent))
from bottle import write_bottle  # noqa: E402

OUTPUTS = {
    "boldref": "boldref.nii.gz", "mask": "mask.nii.gz", "slicetimed": "slicetimed.nii.gz",
    "motion": "motion.txt", "quality": "quality.json",
}  # fmt: skip


def run_correct(person, folder, *, t1w=True, **settings):
    outputs = {name: folder / file for name, file in OUTPUTS.items()}
    outputs["transform"] = folder / ("place.txt" if t1w else "place.h5")
    anat = {"t1w": person.t1w if t1w is True else t1w, "t1w_mask": person.t1w_mask} if t1w else {}
    given = {"bold": person.bold, "sidecars": [person.sidecar], "template": person.template}
    correct(**given | anat | outputs | settings)
    return outputs


@pytest.fixture(scope="module")
def corrected(person, tmp_path_factory):
    return run_correct(person, tmp_path_factory.mktemp("corrected"))


def brain_points(person) -> np.ndarray:
    mask = load_image(person.t1w_mask, ndim=3)
    return apply_affine(mask.affine, np.argwhere(mask.data > 0.5)[::50])


def test_motion_is_found_to_a_tenth_of_a_millimetre(person, corrected):
    found, points = read_affines(corrected["motion"]), apply_affine(person.t1w_to_bold, brain_points(person))
    common = np.linalg.inv(person.motion[0]) @ found[0]
    apart = [
        apply_affine(f, points) - apply_affine(t @ common, points) for f, t in zip(found, person.motion, strict=True)
    ]
    assert np.linalg.norm(apart, axis=2).mean() < 0.1


def test_the_reference_is_placed_in_the_t1w_to_a_millimetre(person, corrected):
    (place,) = read_transform(corrected["transform"])
    common = np.linalg.inv(person.motion[0]) @ read_affines(corrected["motion"])[0]
    points = brain_points(person)
    truth = apply_affine(np.linalg.inv(common) @ person.t1w_to_bold, points)
    assert np.linalg.norm(place(points) - truth, axis=1).mean() < 1.0


def test_the_mask_is_the_brain(person, corrected):
    found, brain = load_image(corrected["mask"], ndim=3), load_image(person.t1w_mask, ndim=3)
    to_t1w = Affine(np.linalg.inv(person.t1w_to_bold))
    from neuromoe.imaging.images import resample

    assert dice(found.data > 0.5, resample(brain, found.grid, (to_t1w,)) > 0.5) > 0.93


def test_slices_of_the_output_are_in_step(person, corrected):
    raw, timed = (load_image(path, ndim=4).data for path in (person.bold, corrected["slicetimed"]))
    before, after = phase_per_s(raw, person.slice_times_s), phase_per_s(timed, person.slice_times_s)
    assert before == pytest.approx(2 * np.pi * 5 / 128, rel=0.25)
    assert abs(after) < 0.15 * before


def phase_per_s(data: np.ndarray, slice_times_s: np.ndarray) -> float:
    """How the phase of the known fluctuation differs by slice time, in two cycles before the head jumps."""
    first = data[..., :26] - data[..., :26].mean(axis=3, keepdims=True)
    wave = np.exp(-2j * np.pi * 5 / 64 * np.arange(26))
    slices = np.arange(12, 26)
    phases = np.angle(np.array([(first[:, :, z] @ wave).sum() for z in slices]) / (first[:, :, slices] @ wave).mean())
    # Neighbours were excited half a repetition apart; motion changes smoothly from slice to slice.
    return float(np.polyfit(np.diff(slice_times_s[slices]), np.diff(phases), 1)[0])


def test_the_output_says_when_its_slices_are(corrected):
    record = json.loads(corrected["slicetimed"].with_name("slicetimed.json").read_text())
    header = nib.load(corrected["slicetimed"]).header
    assert record["SliceTimingCorrected"] and 0.9 < record["StartTime"] < 1.0
    assert record["RepetitionTime"] == header.get_zooms()[3] == 2.0


def test_quality_states_the_usual_numbers(corrected):
    quality = read_quality(corrected["quality"])
    expected = {
        "fd_mean",
        "fd_max",
        "fd_perc",
        "fd_num",
        "dvars_nstd",
        "dvars_std",
        "dvars_vstd",
        "gcor",
        "aor",
        "aqi",
        "fwhm_avg",
        "fber",
        "gsr_y",
        "snr",
        "efc",
        "volumes_lost",
        "tsnr",
        "mask_ml",
        "coregistration_score",
    }
    assert expected <= set(quality["numbers"]) and quality["verdict"] == "pass"
    assert 1.2 < quality["numbers"]["fd_max"] < 2.2
    assert 1200 < quality["numbers"]["mask_ml"] < 2100


def test_without_a_t1w_the_run_is_placed_in_the_template_and_marked(person, tmp_path):
    outputs = run_correct(person, tmp_path, t1w=False)
    chain, points = read_transform(outputs["transform"]), brain_points(person)
    (template_to_t1w,) = read_transform(person.t1w_to_template)
    common = np.linalg.inv(person.motion[0]) @ read_affines(outputs["motion"])[0]
    truth = apply_affine(np.linalg.inv(common) @ person.t1w_to_bold, points)
    found = template_to_t1w.inverse()(points)
    for transform in chain:
        found = transform(found)
    assert np.median(np.linalg.norm(found - truth, axis=1)) < 3.0
    quality = read_quality(outputs["quality"])
    assert quality["verdict"] == "warn" and "lower quality" in quality["reasons"][0]
    assert "lower quality" in json.loads((tmp_path / "place.json").read_text())["RegistrationQuality"]


def changed(path, target, affine=None, data=None):
    """Copy an image with another affine or other voxels."""
    image = nib.load(path)
    data = np.asarray(image.dataobj) if data is None else data
    made = nib.Nifti1Image(data, image.affine if affine is None else affine)
    made.header.set_xyzt_units("mm", "sec")
    if data.ndim == 4:
        made.header["pixdim"][4] = image.header["pixdim"][4]
    nib.save(made, target)
    return target


@pytest.fixture(scope="module")
def short(person, tmp_path_factory):
    """The first 20 volumes."""
    image = nib.load(person.bold)
    return changed(
        person.bold, tmp_path_factory.mktemp("short") / "bold.nii.gz", data=np.asarray(image.dataobj[..., :20])
    )


def test_a_header_that_is_off_by_centimetres_is_put_right_and_named(person, short, tmp_path):
    shift = np.eye(4)
    shift[:3, 3] = 30, -25, 20
    bold = changed(short, tmp_path / "bold.nii.gz", affine=shift @ nib.load(short).affine)
    outputs = run_correct(person, tmp_path, bold=bold)
    (place,) = read_transform(outputs["transform"])
    common = np.linalg.inv(person.motion[0]) @ np.linalg.inv(shift) @ read_affines(outputs["motion"])[0] @ shift
    points = brain_points(person)
    truth = apply_affine(shift @ np.linalg.inv(common) @ person.t1w_to_bold, points)
    assert np.linalg.norm(place(points) - truth, axis=1).mean() < 1.0
    quality = read_quality(outputs["quality"])
    assert quality["verdict"] == "warn" and any("header" in reason for reason in quality["reasons"])


def test_a_t1w_of_another_shape_of_head_is_noticed(person, short, tmp_path):
    stretch = np.diag([1.15, 0.9, 0.88, 1.0])
    other = {
        name: changed(
            getattr(person, name), tmp_path / f"{name}.nii.gz", affine=stretch @ nib.load(getattr(person, name)).affine
        )
        for name in ("t1w", "t1w_mask")
    }
    quality = read_quality(run_correct(person, tmp_path, bold=short, **other)["quality"])
    assert quality["verdict"] != "pass" and any("may not fit the T1w" in reason for reason in quality["reasons"])


@pytest.mark.parametrize(("keep", "words"), [(0.2, "in pieces"), (0.0002, " ml and is not used")])
def test_an_impossible_mask_of_the_t1w_is_not_used(person, short, tmp_path, rng, keep, words):
    scattered = rng.random(nib.load(person.t1w_mask).shape) < keep
    mask = changed(person.t1w_mask, tmp_path / "mask.nii.gz", data=scattered.astype(np.uint8))
    quality = read_quality(run_correct(person, tmp_path, bold=short, t1w_mask=mask)["quality"])
    assert quality["verdict"] != "pass" and any(words in reason for reason in quality["reasons"])


def test_a_t1w_that_failed_fails_the_run_that_was_placed_by_it(person, short, tmp_path):
    t1w = changed(person.t1w, tmp_path / "t1w.nii.gz")
    told = {"Verdict": "fail", "Reasons": ["no brain: details inside the mask differ"]}
    (tmp_path / "t1w.json").write_text(json.dumps(told))
    quality = read_quality(run_correct(person, tmp_path, bold=short, t1w=t1w)["quality"])
    assert quality["verdict"] == "fail" and quality["reasons"] == [f"the T1w failed: {told['Reasons'][0]}"] + [
        reason for reason in quality["reasons"] if reason.startswith("short")
    ]


@pytest.mark.parametrize("t1w", [True, False])
def test_a_bottle_is_no_head(person, tmp_path, t1w):
    bids = write_bottle(tmp_path / "bids") / "sub-bottle"
    bold = next(bids.glob("func/*.nii.gz"))
    head = nib.load(next(bids.glob("anat/*.nii.gz")))
    # As if the brain extraction had found something of a brain's size.
    x, y, z = np.indices(head.shape) * 2.0 - np.array([99, 129, 99])[:, None, None, None]
    ball = (np.hypot(np.hypot(x, y / 1.3), z) < 65).astype(np.uint8)
    mask = changed(next(bids.glob("anat/*.nii.gz")), tmp_path / "ball.nii.gz", data=ball)
    anat = {"t1w": next(bids.glob("anat/*.nii.gz")), "t1w_mask": mask} if t1w else {"t1w": False}
    outputs = run_correct(person, tmp_path, bold=bold, sidecars=[next(bids.glob("func/*.json"))], **anat)
    quality = read_quality(outputs["quality"])
    assert quality["verdict"] == "fail" and quality["reasons"]


def test_bright_first_volumes_are_not_in_the_reference(person, short, corrected, tmp_path):
    data = np.asarray(nib.load(short).dataobj).copy()
    data[..., :2] *= np.array([1.8, 1.3], np.float32)
    outputs = run_correct(person, tmp_path, bold=changed(short, tmp_path / "bold.nii.gz", data=data))
    assert read_quality(outputs["quality"])["numbers"]["volumes_lost"] == 2
    bright, usual = (load_image(path, ndim=3).data for path in (outputs["boldref"], corrected["boldref"]))
    assert np.median(bright[usual > 500] / usual[usual > 500]) == pytest.approx(1, abs=0.005)


def test_a_second_run_gives_the_same_bytes(person, corrected, tmp_path):
    again = run_correct(person, tmp_path)
    assert all(again[name].read_bytes() == path.read_bytes() for name, path in corrected.items())


def test_a_repetition_time_that_contradicts_the_header_stops_with_both_numbers(person, tmp_path):
    sidecar = tmp_path / "bold.json"
    sidecar.write_text(json.dumps({"RepetitionTime": 2.5}))
    with pytest.raises(InputError, match=r"2\.5 s.*2 s"):
        run_correct(person, tmp_path, sidecars=[sidecar])


def test_a_run_of_few_volumes_is_refused(person, tmp_path):
    image = nib.load(person.bold)
    nib.save(image.slicer[..., :6], tmp_path / "few.nii.gz")
    with pytest.raises(InputError, match="at least 10 volumes"):
        run_correct(person, tmp_path, bold=tmp_path / "few.nii.gz")


def test_the_step_loads_no_heavy_library_before_it_runs():
    heavy = "ants torch nilearn dipy nipype sklearn matplotlib pandas scipy"
    code = "import sys, neuromoe.func.correct, neuromoe.func.normalize\n"
    code += f"print([name for name in '{heavy}'.split() if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
