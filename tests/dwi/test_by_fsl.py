"""The steps with FSL's programs, for which stand-ins answer."""

import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from neuromoe.core.errors import InputError
from neuromoe.core.provenance import sidecar_path
from neuromoe.core.quality import read_quality
from neuromoe.dwi._by_fsl import fit_maps_by_fsl
from neuromoe.dwi._normalization import fit_maps
from neuromoe.dwi.correct import correct
from neuromoe.imaging.gradients import stored_affine, world_to_fsl
from neuromoe.imaging.images import Image, load_image, save_image

from .test_correct import outputs, read_result, write_run

sys.path.insert(0, str(Path(__file__).parent.parent))
from fsl_stand_in import as_stored, eddy_answers, put_on_path, topup_answers  # noqa: E402

BACK = {"PhaseEncodingDirection": "j", "TotalReadoutTime": 0.06}
FORTH = {"PhaseEncodingDirection": "j-", "TotalReadoutTime": 0.05}


@pytest.fixture
def programs(tmp_path, monkeypatch):
    return put_on_path(monkeypatch, tmp_path / "fsl")


def two_runs(scanned, folder: Path, first: dict, second: dict) -> dict:
    """Write the first and the last volumes as two runs, each with a b=0 volume."""
    parts = (slice(0, 7), np.r_[0, 7 : len(scanned.gradients)])
    runs: dict = {"dwi": [], "bval": [], "bvec": [], "sidecars": []}
    for name, part, told in zip(("sub-1_dir-AP_dwi", "sub-1_dir-PA_dwi"), parts, (first, second), strict=True):
        files = write_run(folder, name, scanned.moved[..., part], scanned.grid.affine, scanned.gradients[part])
        sidecar = folder / f"{name}.json"
        sidecar.write_text(json.dumps(told))
        for key, value in files.items():
            runs[key] += value
        runs["sidecars"].append(sidecar)
    return runs


def answer_with_eddy(programs, scanned, volumes: np.ndarray, name: str = "eddy_cpu") -> None:
    """Let eddy return the head at rest, with b-vectors that it turned by nothing."""
    still, affine = as_stored(scanned.still[..., volumes], scanned.grid.affine)
    vectors = world_to_fsl(scanned.gradients.directions[volumes], affine)
    report = "Slice 4 in scan 2 is an outlier with mean -5 standard deviations off.\n"
    programs.add(name, *eddy_answers((still, affine), vectors, report))


def test_opposed_runs_go_through_topup_and_eddy(programs, scanned, tmp_path):
    runs = two_runs(scanned, tmp_path, BACK, FORTH)
    volumes = np.r_[0:7, 0, 7 : len(scanned.gradients)]
    b0 = int(scanned.gradients.is_b0[volumes].sum())
    field = as_stored(scanned.still[..., 0], scanned.grid.affine)
    programs.add("topup", *topup_answers(b0, field, field))
    answer_with_eddy(programs, scanned, volumes)
    correct(**runs, **outputs(tmp_path), denoise=False, fieldmap_backend="fsl")
    assert programs.calls() == ["topup", "eddy_cpu"]
    image, gradients, mask = read_result(outputs(tmp_path))
    assert np.allclose(image.data, scanned.still[..., volumes], atol=1e-3)
    assert np.allclose(gradients.directions, scanned.gradients.directions[volumes], atol=1e-5)
    assert mask.sum() > 0.8 * (scanned.wm > 0.5).sum()
    rows = programs.file("eddy_cpu", "acqparams.txt").read_text().splitlines()
    assert rows == ["0 1 0 0.060000", "0 -1 0 0.050000"]
    assert programs.file("eddy_cpu", "index.txt").read_text().split() == ["1"] * 7 + ["2"] * (len(volumes) - 7)
    quality = read_quality(outputs(tmp_path)["quality"])
    assert quality["numbers"]["outlier_slices"] == 1
    assert not [reason for reason in quality["reasons"] if "susceptibility" in reason]
    record = json.loads(sidecar_path(outputs(tmp_path)["preproc"]).read_text())
    assert record["Parameters"]["fieldmap_backend"] == "fsl"


def test_without_opposed_images_our_own_correction_runs(programs, scanned, tmp_path):
    runs = two_runs(scanned, tmp_path, BACK, BACK)
    answer_with_eddy(programs, scanned, np.arange(3))
    correct(**runs, **outputs(tmp_path), denoise=False, fieldmap_backend="fsl")
    assert programs.calls() == []


def test_a_fieldmap_beside_one_run_is_given_to_topup(programs, scanned, tmp_path):
    run = write_run(tmp_path, "sub-1_dwi", scanned.moved, scanned.grid.affine, scanned.gradients)
    (tmp_path / "sub-1_dwi.json").write_text(json.dumps(BACK))
    opposed = tmp_path / "sub-1_dir-PA_epi.nii.gz"
    stored, affine = as_stored(scanned.moved[..., 0], scanned.grid.affine)
    save_image(Image(stored, affine), opposed)
    (tmp_path / "sub-1_dir-PA_epi.json").write_text(json.dumps(FORTH))
    field = as_stored(scanned.still[..., 0], scanned.grid.affine)
    programs.add("topup", *topup_answers(int(scanned.gradients.is_b0.sum()) + 1, field, field))
    answer_with_eddy(programs, scanned, np.arange(len(scanned.gradients)))
    beside = {"fieldmaps": [opposed], "fieldmap_sidecars": [tmp_path / "sub-1_dir-PA_epi.json"]}
    correct(
        **run, sidecars=[tmp_path / "sub-1_dwi.json"], **beside, **outputs(tmp_path), denoise=False,
        fieldmap_backend="fsl",
    )  # fmt: skip
    assert programs.file("topup", "opposed.txt").read_text().splitlines()[-1] == "0 -1 0 0.050000"
    record = json.loads(sidecar_path(outputs(tmp_path)["preproc"]).read_text())
    assert str(opposed) in record["Sources"]


def test_eddy_that_is_asked_for_needs_the_readout(programs, scanned, tmp_path):
    run = write_run(tmp_path, "sub-1_dwi", scanned.moved, scanned.grid.affine, scanned.gradients)
    with pytest.raises(InputError, match=r"TotalReadoutTime.*dwi.correct.motion_backend: torch"):
        correct(**run, **outputs(tmp_path), denoise=False, motion_backend="fsl")


def test_dtifit_gives_what_our_own_fit_gives(programs, scanned):
    """The stand-in answers with tensors that are found by ordinary least squares, in dtifit's order and axes."""
    inside = scanned.wm > 0.5
    clean = Image(scanned.still, scanned.grid.affine)
    stored, affine = as_stored(scanned.still, scanned.grid.affine)
    vectors = world_to_fsl(scanned.gradients.directions, affine)
    x, y, z = vectors.T
    b = scanned.gradients.bvals_s_mm2
    design = -b[:, None] * np.stack([x * x, 2 * x * y, 2 * x * z, y * y, 2 * y * z, z * z], axis=1)
    design = np.column_stack([np.ones(len(b)), design])
    found = np.log(np.maximum(stored, 1e-3)) @ np.linalg.pinv(design).T
    tensor = found[..., [1, 2, 3, 2, 4, 5, 3, 5, 6]].reshape(*stored.shape[:3], 3, 3)
    values, axes = np.linalg.eigh(tensor)
    fa = np.sqrt(1.5 * ((values - values.mean(-1, keepdims=True)) ** 2).sum(-1) / (values**2).sum(-1))
    images = {"FA": fa, "MD": values.mean(-1), "MO": fa, "S0": np.exp(found[..., 0]), "tensor": found[..., 1:]}
    images |= {f"L{n}": values[..., 3 - n] for n in (1, 2, 3)} | {f"V{n}": axes[..., 3 - n] for n in (1, 2, 3)}
    programs.add("dtifit", {f"tensor_{name}.nii.gz": (data, affine) for name, data in images.items()})
    maps, residual = fit_maps_by_fsl(clean, scanned.gradients, inside)
    ours, our_residual = fit_maps(scanned.still, scanned.gradients, inside)
    # Partial volumes are no tensor: there weights matter, so the middle of the voxels is compared.
    assert np.median(np.abs(maps.fa - ours.fa)) < 2e-3
    assert np.median(np.abs(maps.md / ours.md - 1)) < 5e-3
    along = np.abs((maps.v1 * ours.v1).sum(axis=1))[ours.fa > 0.3]
    assert np.median(along) > 0.9999
    assert residual == pytest.approx(our_residual, abs=2e-3)
    given = nib.load(programs.file("dtifit", "series.nii.gz"))
    assert nib.aff2axcodes(given.affine)[0] == "L"
    assert np.allclose(stored_affine(programs.file("dtifit", "series.nii.gz")), affine, atol=1e-4)
    assert load_image(programs.file("dtifit", "mask.nii.gz")).data.sum() == inside.sum()
