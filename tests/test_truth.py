"""The demo's preprocessing against the truth it was simulated from. The bounds are floors."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from neuromoe.imaging.geometry import Grid, map_points
from neuromoe.imaging.gradients import read_gradients, stored_affine
from neuromoe.imaging.images import Image, load_image, resample
from neuromoe.imaging.template import Template
from neuromoe.imaging.transforms import read_affines, read_transform

REPOSITORY = Path(__file__).parent.parent
PEOPLE = ("sub-01", "sub-02", "sub-03")
COHORT = {"size": "demo", "sessions": len(PEOPLE), "missing_rate": 0.0, "corrupted_rate": 0.0}


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    """The output of a run on three people at demo size, up to the maps on the template."""
    folder = tmp_path_factory.mktemp("truth")
    (folder / "my.yaml").write_text(yaml.safe_dump({"output_dir": "out", "simulate": {"cohort": COHORT}}))
    command = [sys.executable, "-m", "snakemake", "-s", str(REPOSITORY / "Snakefile"), "--directory", str(folder)]
    words = ["anat_all", "dwi_all", "func_all", "--cores", "2", "--configfile", str(folder / "my.yaml")]
    done = subprocess.run([*command, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr[-6000:]
    return folder / "out"


def pair(out: Path, person: str, modality: str, ending: str) -> tuple[Image, Image]:
    """Return what was found and what is true, on the grid of what was found."""
    found, truth = (
        load_image(folder / person / modality / f"{person}{ending}")
        for folder in (out / "derivatives", out / "bids" / "derivatives" / "truth")
    )
    return found, found.like(resample(truth, found.grid))


def dice(a, b) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_the_median_brain_mask_overlaps_the_true_brain(out):
    pairs = [pair(out, person, "anat", "_desc-brain_mask.nii.gz") for person in PEOPLE]
    assert np.median([dice(a.data > 0.5, b.data > 0.5) for a, b in pairs]) >= 0.95


def test_grey_matter_overlaps_the_templates(out):
    template = Template.load(out / "template")
    for person in PEOPLE:
        found = load_image(next((out / "derivatives" / person / "anat").glob("*space-*_label-GM_probseg.nii.gz")))
        assert dice(found.data > 0.5, template.gm.data > 0.5) >= 0.85
        labels = load_image(out / f"bids/derivatives/truth/{person}/anat/{person}_dseg.nii.gz")
        chain = read_transform(next((out / "derivatives" / person / "anat").glob("*_from-T1w_to-MNI*.h5")))
        true = resample(labels.like((labels.data == 1).astype(np.float32)), template.grid, chain)
        assert dice(true > 0.5, template.gm.data > 0.5) >= 0.85


def relative(motion):
    """Express each volume's motion as seen from the first, whatever the reference is."""
    return motion @ np.linalg.inv(motion[0])


@pytest.mark.parametrize("person", PEOPLE)
def test_head_motion_of_the_bold_run_is_found(out, person):
    found, truth = (
        relative(read_affines(next((folder / person / "func").glob("*_from-orig_to-boldref_*.txt"))))
        for folder in (out / "derivatives", out / "bids" / "derivatives" / "truth")
    )
    mask = load_image(next((out / "bids/derivatives/truth" / person / "func").glob("*_desc-brain_mask.nii.gz")))
    points = mask.grid.world()[mask.data.ravel() > 0.5][::20]
    points = np.concatenate([points, np.ones((len(points), 1))], axis=1)
    errors = np.linalg.norm(np.einsum("vij,nj->vni", found - truth, points)[..., :3], axis=-1)
    assert errors.mean() <= 0.15


def fa_of_the_true_correction(out: Path, person: str, grid: Grid) -> np.ndarray:
    """Denoise as the step does, undo the motion that was applied, fit the tensor."""
    from neuromoe.dwi._denoise import denoise
    from neuromoe.dwi._normalization import fit_maps
    from neuromoe.dwi._series import Run, Series

    raw = out / "bids" / person / "dwi" / f"{person}_dwi.nii.gz"
    motion = read_affines(next((out / "bids/derivatives/truth" / person / "dwi").glob("*_from-orig_to-dwiref_*.txt")))
    image = load_image(raw)
    bval, bvec = (raw.with_name(f"{person}_dwi.{ending}") for ending in ("bval", "bvec"))
    gradients = read_gradients(bval, bvec, stored_affine(raw), image.data.shape[3])
    cleaned, _ = denoise(image.data, np.ones(grid.shape, bool))
    moved = Series([Run(image.like(cleaned), gradients)]).moved(motion)
    maps, _ = fit_maps(moved, gradients.rotated(motion[:, :3, :3].transpose(0, 2, 1)), np.ones(grid.shape, bool))
    return maps.fa


@pytest.mark.parametrize("person", PEOPLE)
def test_anisotropy_of_white_matter_is_nearly_as_right_as_with_the_true_motion(out, person):
    found, truth = pair(out, person, "dwi", "_param-fa_dwimap.nii.gz")
    white = (truth.data > 0.35) & (found.data > 0)
    oracle = fa_of_the_true_correction(out, person, found.grid).reshape(found.grid.shape)
    errors = [np.abs(fa - truth.data)[white].mean() for fa in (found.data, oracle)]
    assert errors[0] <= 1.3 * errors[1], errors


def test_the_template_is_met_within_a_millimetre_or_so(out):
    """Template to T1w by what was found, and back by the truth."""
    template = Template.load(out / "template")
    for person in PEOPLE:
        chain = read_transform(next((out / "derivatives" / person / "anat").glob("*_from-T1w_to-MNI*.h5")))
        truth = read_transform(next((out / "bids/derivatives/truth" / person / "anat").glob("*_from-MNI*_to-T1w_*.h5")))
        points = template.grid.world()[template.brain_mask.ravel()]
        error_mm = np.linalg.norm(map_points(truth, map_points(chain, points)) - points, axis=1)
        assert error_mm.mean() < 1.2
