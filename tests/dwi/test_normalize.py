import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from neuromoe.core.errors import InputError
from neuromoe.core.quality import read_quality
from neuromoe.dwi._correction import Settings, correct_series
from neuromoe.dwi._normalization import carry, fit_maps, select_shell
from neuromoe.dwi._placement import Settings as Placing
from neuromoe.dwi._placement import why_not_undistorted
from neuromoe.dwi._series import Series, read_runs
from neuromoe.dwi.normalize import normalize
from neuromoe.imaging.geometry import Grid, apply_affine, map_points, rigid_matrix
from neuromoe.imaging.gradients import Gradients, fsl_to_world, write_gradients
from neuromoe.imaging.images import Image, dice, load_image, resample, save_image
from neuromoe.imaging.transforms import Affine, read_transform, write_transform

from .phantom import Head, acquire, axial_grid, directions, table

MAPS = ("fa", "md", "ad", "rd", "v1", "dec", "fa_template", "md_template", "ad_template", "rd_template")


def degrees(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.degrees(np.arccos(np.clip(np.abs((a * b).sum(axis=-1)), 0, 1)))


def outputs(folder: Path, transform: str) -> dict:
    paths = {name: folder / f"{name}.nii.gz" for name in MAPS}
    return paths | {"transform": folder / transform, "quality": folder / "quality.json"}


def write_template(folder: Path, head: Head) -> Path:
    """Write the phantom's own tissues as a prepared template."""
    grey = np.clip(head.t1w / 650 - head.wm, 0, 1) * (head.brain > 0.5)
    parts = {"head": head.t1w, "mask": head.brain, "wm": head.wm, "gm": grey, "csf": 0 * head.wm}
    for name, data in parts.items():
        save_image(Image(data, head.affine), folder / f"{name}.nii.gz")
    (folder / "template.json").write_text(json.dumps({"label": "phantom", "whole_head": True}))
    return folder / "template.json"


@pytest.fixture(scope="module")
def written(head, tmp_path_factory) -> dict:
    """A head that lies turned in the scanner, its T1w in another place, and the phantom as template."""
    folder = tmp_path_factory.mktemp("normalize")
    rng = np.random.default_rng(5)
    pose = rigid_matrix((6, -9, 4, 0.12, -0.06, 0.1), head.center_mm)
    t1w_pose = rigid_matrix((-5, 7, -8, 0.05, 0.1, -0.08), head.center_mm)
    grid, gradients = axial_grid(head), table(13, b0s=2)
    still = np.tile(pose, (15, 1, 1))
    series = acquire(head, grid, gradients, still, rng, 0.01)
    back = [Affine(np.linalg.inv(pose))]
    save_image(Image(series, grid.affine), folder / "dwi.nii.gz")
    write_gradients(folder / "dwi.bval", folder / "dwi.bvec", gradients, grid.affine)
    brain = Image(head.brain, head.affine)
    save_image(Image(resample(brain, grid, back) > 0.5, grid.affine), folder / "mask.nii.gz", dtype=np.uint8)
    t1w_grid = axial_grid(head, 2.5, (76, 90, 68))
    back = [Affine(np.linalg.inv(t1w_pose))]
    save_image(Image(resample(Image(head.t1w, head.affine), t1w_grid, back), t1w_grid.affine), folder / "t1w.nii.gz")
    save_image(Image(resample(brain, t1w_grid, back) > 0.5, t1w_grid.affine), folder / "t1w_mask.nii.gz")
    write_transform(folder / "t1w.h5", [Affine(t1w_pose)])
    return {
        "folder": folder,
        "pose": pose,
        "t1w_pose": t1w_pose,
        "inputs": {
            "dwi": folder / "dwi.nii.gz",
            "bval": folder / "dwi.bval",
            "bvec": folder / "dwi.bvec",
            "mask": folder / "mask.nii.gz",
            "template": write_template(folder / "template", head),
        },
        "t1w": {
            "t1w": folder / "t1w.nii.gz",
            "t1w_mask": folder / "t1w_mask.nii.gz",
            "t1w_to_template": folder / "t1w.h5",
        },
    }


@pytest.fixture(scope="module")
def with_t1w(written) -> dict:
    out = outputs(written["folder"] / "with", "xfm.txt")
    normalize(**written["inputs"], **written["t1w"], **out)
    return out


@pytest.fixture(scope="module")
def without_t1w(written) -> dict:
    out = outputs(written["folder"] / "without", "xfm.h5")
    normalize(**written["inputs"], **out)
    return out


def true_fa(head: Head) -> np.ndarray:
    values = np.linalg.eigvalsh(head.tensors)
    spread = ((values - values.mean(axis=-1, keepdims=True)) ** 2).sum(axis=-1)
    return np.sqrt(1.5 * spread / (values**2).sum(axis=-1))


def error_mm(chain, truth, head: Head) -> float:
    points = apply_affine(head.affine, np.argwhere(head.brain > 0.5)[::97])
    return float(np.linalg.norm(map_points(chain, points) - map_points(truth, points), axis=1).mean())


def test_the_written_transform_lays_diffusion_on_the_t1w(with_t1w, written, head):
    found = read_transform(with_t1w["transform"])
    truth = [Affine(written["pose"])]
    assert error_mm([Affine(written["t1w_pose"]), *found], truth, head) < 1.0


def test_the_maps_on_the_template_are_the_phantoms(with_t1w, head):
    found = load_image(with_t1w["fa_template"])
    inside = binary_erosion(head.brain > 0.5, iterations=2)
    assert found.grid.same_as(Grid(head.wm.shape, head.affine))
    assert np.corrcoef(found.data[inside], true_fa(head)[inside])[0, 1] > 0.9
    md = load_image(with_t1w["md_template"]).data
    assert np.median(md[head.wm > 0.9]) == pytest.approx(0.8e-3, rel=0.08)
    assert read_quality(with_t1w["quality"])["verdict"] == "pass"


def test_without_a_t1w_the_way_is_found_and_marked(without_t1w, written, head):
    found = read_transform(without_t1w["transform"])
    assert error_mm(found, [Affine(written["pose"])], head) < 3.0
    fa = load_image(without_t1w["fa_template"]).data
    inside = binary_erosion(head.brain > 0.5, iterations=2)
    assert np.corrcoef(fa[inside], true_fa(head)[inside])[0, 1] > 0.75
    record = read_quality(without_t1w["quality"])
    assert record["verdict"] == "warn" and "no T1w" in record["reasons"][0]
    assert record["numbers"]["template_overlap"] > 0.9
    sidecar = without_t1w["fa_template"].with_name("fa_template.json")
    assert json.loads(sidecar.read_text())["T1w"].startswith("none")


def test_colour_fa_is_the_direction_by_its_axes_as_bright_as_fa(with_t1w):
    fa, v1, dec = (load_image(with_t1w[name]).data for name in ("fa", "v1", "dec"))
    assert dec.shape == (*fa.shape, 3)
    assert np.allclose(np.linalg.norm(dec, axis=-1), fa, atol=1e-5)
    assert np.allclose(dec, np.abs(v1) * fa[..., None], atol=1e-6)


def test_native_maps_do_not_depend_on_the_t1w(with_t1w, without_t1w):
    for name in ("fa", "md", "v1"):
        assert with_t1w[name].read_bytes() == without_t1w[name].read_bytes()


@pytest.mark.parametrize("fault", ["none", "no rotation", "flip x", "flip y", "flip z"])
def test_main_directions_are_along_the_world_and_each_fault_would_show(head, tmp_path, rng, fault):
    grid = axial_grid(head)
    turn = rigid_matrix((0, 0, 0, 0.5, 0.2, 0.4), head.center_mm)
    # Stored with the second axis first and x from right to left, and oblique: every convention at once.
    stored = (turn @ grid.affine)[:, [1, 0, 2, 3]] @ np.diag([1, -1, 1, 1.0])
    stored[:3, 3] += (turn @ grid.affine)[:3, 0] * (grid.shape[0] - 1)
    stored_grid = Grid((grid.shape[1], grid.shape[0], grid.shape[2]), stored)
    bvecs = np.concatenate([np.zeros((1, 3)), directions(12)])
    world = fsl_to_world(bvecs, stored)
    bvals = np.concatenate([[0], np.full(12, 1000.0)])
    rest = np.tile(np.eye(4), (13, 1, 1))
    series = acquire(head, stored_grid, Gradients(bvals, world), rest, rng)
    save_image(Image(series, stored), tmp_path / "x.nii.gz")
    wrong = {"none": np.eye(3), "no rotation": np.linalg.inv(turn[:3, :3])}
    wrong |= {f"flip {axis}": np.diag(np.where(np.arange(3) == i, -1.0, 1.0)) for i, axis in enumerate("xyz")}
    (tmp_path / "x.bval").write_text(" ".join(f"{b:g}" for b in bvals))
    np.savetxt(tmp_path / "x.bvec", (bvecs @ wrong[fault].T).T, fmt="%.6f")
    (run,) = read_runs(*([tmp_path / f"x.{end}"] for end in ("nii.gz", "bval", "bvec")))
    grid = run.image.grid
    wm = resample(Image(head.wm, head.affine), grid) > 0.9
    fitted, _ = fit_maps(run.image.data, run.gradients, wm)
    parts = [head.tensors[..., i, j] for i in range(3) for j in range(3)]
    tensors = np.stack([resample(Image(part, head.affine), grid)[wm] for part in parts], axis=-1)
    truth = np.linalg.eigh(tensors.reshape(-1, 3, 3))[1][:, :, 2]
    angle = np.median(degrees(fitted.v1, truth))
    assert angle < 3 if fault == "none" else angle > 15


def test_the_weakest_shell_with_six_directions_is_taken():
    strong = table(20, 2000.0)
    weak = table(6, 700.0, b0s=2)
    few = table(4, 300.0, b0s=0)
    joined = Gradients(
        np.concatenate([t.bvals_s_mm2 for t in (strong, few, weak)]),
        np.concatenate([t.directions for t in (strong, few, weak)]),
    )
    chosen = select_shell(joined, 0.05, "x.bval")
    assert sorted(set(joined.bvals_s_mm2[chosen])) == [0, 700]
    assert len(chosen) == 9


def test_directions_in_one_plane_are_refused():
    angles = np.linspace(0, np.pi, 8, endpoint=False)
    flat = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    table_ = Gradients(np.array([0.0] + [1000] * 8), np.concatenate([np.zeros((1, 3)), flat]))
    with pytest.raises(InputError, match="8 at b=1000"):
        select_shell(table_, 0.05, "x.bval")


def test_a_t1w_without_its_transform_is_refused(written, tmp_path):
    with pytest.raises(InputError, match="the T1w alone"):
        normalize(**written["inputs"], t1w=written["t1w"]["t1w"], **outputs(tmp_path, "x.txt"))


def test_a_t1w_that_failed_fails_what_was_placed_by_it(written, with_t1w, tmp_path):
    anatomy = written["t1w"] | {"t1w": Path(shutil.copy(written["t1w"]["t1w"], tmp_path / "t1w.nii.gz"))}
    (tmp_path / "t1w.json").write_text(json.dumps({"Verdict": "fail", "Reasons": ["no brain"]}))
    out = outputs(tmp_path, "dwi.txt")
    normalize(**written["inputs"], **anatomy, **out)
    quality = read_quality(out["quality"])
    assert quality["verdict"] == "fail" and quality["reasons"] == ["the T1w failed: no brain"]
    assert out["fa_template"].read_bytes() == with_t1w["fa_template"].read_bytes()


def test_an_empty_mask_is_refused(written, tmp_path):
    mask = load_image(written["inputs"]["mask"])
    save_image(mask.like(0 * mask.data), tmp_path / "mask.nii.gz")
    with pytest.raises(InputError, match="0 voxels"):
        normalize(**(written["inputs"] | {"mask": tmp_path / "mask.nii.gz"}), **outputs(tmp_path, "x.h5"))


def test_distortion_is_corrected_within_the_one_way_to_the_template(written, with_t1w, tmp_path):
    inputs = dict(written["inputs"], dwi=tmp_path / "dwi.nii.gz")
    inputs["dwi"].hardlink_to(written["inputs"]["dwi"])
    (tmp_path / "dwi.json").write_text(json.dumps({"PhaseEncodingAxis": "j"}))
    out = outputs(tmp_path / "out", "xfm.h5")
    normalize(**inputs, **written["t1w"], **out, distortion="registration")
    told = json.loads((tmp_path / "out" / "fa_template.json").read_text())["DistortionCorrection"]
    assert told["Axis"] == "j" and told["Kept"] == (told["score_after"] > told["score_before"])
    assert len(read_transform(out["transform"])) == 1 + told["Kept"]
    assert told["distortion_mean_mm"] < 0.5 * 4
    assert out["fa"].read_bytes() == with_t1w["fa"].read_bytes()


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({}, "does not say its PhaseEncodingDirection"),
        ({"PhaseEncodingAxis": "j", "Parameters": {"fieldmap_backend": "fsl"}}, "by topup already"),
    ],
)
def test_distortion_that_cannot_or_need_not_be_corrected_is_said(metadata, reason):
    (note,) = why_not_undistorted(Placing(distortion="registration"), metadata)
    assert reason in note
    assert why_not_undistorted(Placing(), metadata) == ()


def test_carrying_reads_from_the_mask_alone():
    mask = np.zeros((8, 8, 8), bool)
    mask[2:6] = True
    data = np.where(mask, 5.0, 0.0).astype(np.float32)
    shifted = np.eye(4)
    shifted[0, 3] = 0.4
    carried = carry({"fa": data}, Image(mask, np.eye(4)), Grid((8, 8, 8), np.eye(4)), [Affine(shifted)])
    assert np.allclose(carried["fa"][carried["mask"]], 5, atol=1e-5)
    assert not carried["fa"][~carried["mask"]].any()


@pytest.fixture(scope="module")
def real_sessions(real_bids) -> dict:
    """The two sessions of sub-tosh, corrected."""
    found = {}
    for session in ("ses-ortho", "ses-sag30d"):
        stem = f"sub-tosh/{session}/dwi/sub-tosh_{session}_dwi"
        run = read_runs(*([real_bids / f"{stem}.{end}"] for end in ("nii.gz", "bval", "bvec")))
        found[session] = correct_series(Series(run), Settings(denoise=False))
    return found


def test_one_person_at_two_slice_angles_has_the_same_main_directions(real_sessions):
    from neuromoe.registration.coregister import coregister

    ortho, oblique = real_sessions.values()
    fitted = {}
    for name, session in (("ortho", ortho), ("oblique", oblique)):
        maps, _ = fit_maps(session.image.data, session.gradients, session.mask.data)
        volume = np.zeros((*session.mask.data.shape, 4), np.float32)
        volume[session.mask.data] = np.concatenate([maps.v1, maps.fa[:, None]], axis=1)
        fitted[name] = volume
    between = coregister(oblique.image.volume(0), ortho.image.volume(0)).matrix
    inner = binary_erosion(ortho.mask.data, iterations=2)
    wm = np.argwhere(inner & (fitted["ortho"][..., 3] > 0.4))
    world = apply_affine(between, apply_affine(ortho.image.affine, wm))
    there = np.rint(apply_affine(np.linalg.inv(oblique.image.affine), world)).astype(int)
    seen = ((there >= 0) & (there < oblique.mask.data.shape)).all(axis=1)
    other = fitted["oblique"][tuple(there[seen].T)]
    both = other[:, 3] > 0.4
    here = fitted["ortho"][tuple(wm[seen].T)][both, :3]
    angle = degrees(other[both, :3] @ between[:3, :3], here)
    assert both.sum() > 1000
    assert np.median(angle) < 10
    # The angle between the sessions' slices: what a table read in the wrong frame would add.
    unturned = degrees(other[both, :3] @ rigid_matrix((0, 0, 0, np.radians(30), 0, 0))[:3, :3], here)
    assert np.median(unturned) > 15


def test_a_real_head_without_t1w_covers_the_templates_brain(real_sessions, real_templates, tmp_path):
    session = real_sessions["ses-ortho"]
    record = json.loads((real_templates / "template.json").read_text())
    head = load_image(real_templates / record["head"])
    brain_mask = load_image(real_templates / record["brain_mask"])
    save_image(head, tmp_path / "head.nii.gz")
    mask = resample(brain_mask, head.grid) > 0.5
    save_image(head.like(mask), tmp_path / "mask.nii.gz", dtype=np.uint8)
    (tmp_path / "template.json").write_text(json.dumps({"label": record["label"], "whole_head": True}))
    save_image(session.image, tmp_path / "dwi.nii.gz")
    save_image(session.mask, tmp_path / "brain.nii.gz", dtype=np.uint8)
    write_gradients(tmp_path / "dwi.bval", tmp_path / "dwi.bvec", session.gradients, session.image.affine)
    out = outputs(tmp_path / "out", "xfm.h5")
    normalize(
        dwi=tmp_path / "dwi.nii.gz", bval=tmp_path / "dwi.bval", bvec=tmp_path / "dwi.bvec",
        mask=tmp_path / "brain.nii.gz", template=tmp_path / "template.json", **out,
    )  # fmt: skip
    assert read_quality(out["quality"])["numbers"]["template_overlap"] > 0.9
    assert dice(load_image(out["md_template"]).data > 0, mask) > 0.85
