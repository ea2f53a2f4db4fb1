"""The workflow on three real people with incomplete modalities, up to tensors and reports."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from neuromoe.core.tables import read_table
from neuromoe.imaging.geometry import map_points
from neuromoe.imaging.images import load_image, sample
from neuromoe.imaging.template import Template
from neuromoe.imaging.transforms import read_transform

REPOSITORY = Path(__file__).parent.parent
SPACE = "MNI152NLin6Asym"


@pytest.fixture(scope="module")
def finished(real_bids, real_templates, tmp_path_factory) -> Path:
    """A folder in which plain `snakemake` ran on the real dataset; what it said is in said.txt."""
    folder = tmp_path_factory.mktemp("real")
    command = [sys.executable, "-m", "snakemake", "-s", str(REPOSITORY / "Snakefile"), "--directory", str(folder)]
    settings = [f"bids_dir={real_bids.resolve()}", "output_dir=out", f"template={real_templates.resolve()}"]
    done = subprocess.run([*command, "--cores", "2", "--config", *settings], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-6000:]
    (folder / "said.txt").write_text(done.stdout + done.stderr)
    return folder


def test_every_session_has_a_tensor_and_a_page_and_no_image_was_dropped(finished):
    rows = read_table(finished / "out/index/sessions.tsv")
    assert len(rows) == 5
    assert all(row["used"] == "true" for row in read_table(finished / "out/index/manifest.tsv"))
    for row in rows:
        key = "_".join(part for part in (row["participant_id"], row["session_id"]) if part != "n/a")
        assert (finished / f"out/report/sessions/{key}.html").is_file()
        assert present(finished / f"out/tensors/{key}.safetensors") == {
            modality for modality in ("anat", "dwi", "func") if row[modality] == "true"
        }


def test_the_pages_show_each_step_of_what_there_is(finished):
    for page in (finished / "out" / "report" / "sessions").glob("*.html"):
        text = page.read_text()
        assert not re.search(r"was not (cleaned|corrected|brought)|no table of confounds|no sidecars", text), page.name


def present(tensor: Path) -> set[str]:
    from safetensors.numpy import load_file

    return {name for name in load_file(tensor) if "/" not in name}


def test_without_labels_it_ends_after_the_reports_and_says_why(finished):
    said = (finished / "said.txt").read_text()
    assert "nobody has a label" in said
    assert "nobody has a label" in (finished / "out/report/index.html").read_text()
    assert not (finished / "out/models").exists()


def dice_in_view(mask, chain, template) -> float:
    """Compare a mask with the template's brain, where the image sees it."""
    points = map_points(chain, template.grid.world())
    brought, view = (
        sample(image, points).reshape(template.grid.shape) > 0.5 for image in (mask, mask.like(np.ones_like(mask.data)))
    )
    expected = template.brain_mask & view
    return 2 * (brought & expected).sum() / (brought.sum() + expected.sum())


def chain_of(folder: Path, *patterns: str) -> tuple:
    found = [next(folder.rglob(pattern)) for pattern in patterns]
    return tuple(step for path in found for step in read_transform(path))


@pytest.mark.parametrize(
    ("mask", "transforms", "floor"),
    [
        ("sub-forrest02/anat", ("sub-forrest02*_from-T1w_to-MNI*.h5",), 0.9),
        ("sub-ms01/ses-1/anat", ("sub-ms01_ses-1*_from-T1w_to-MNI*.h5",), 0.9),
        ("sub-ms01/ses-2/anat", ("sub-ms01_ses-2*_from-T1w_to-MNI*.h5",), 0.9),
        ("sub-tosh/ses-ortho/dwi", ("sub-tosh_ses-ortho*_from-dwi_to-MNI*.h5",), 0.85),
        ("sub-tosh/ses-sag30d/dwi", ("sub-tosh_ses-sag30d*_from-dwi_to-MNI*.h5",), 0.85),
        (
            "sub-forrest02/func",
            ("sub-forrest02*_from-T1w_to-MNI*.h5", "sub-forrest02*_from-boldref_to-T1w*.txt"),
            0.9,
        ),
    ],
)
def test_each_mask_overlaps_the_templates_brain_within_its_field_of_view(finished, mask, transforms, floor):
    derivatives = finished / "out" / "derivatives"
    (native,) = (path for path in (derivatives / mask).glob("*_desc-brain_mask.nii.gz") if "_space-" not in path.name)
    image = load_image(native)
    template = Template.load(finished / "out" / "template")
    assert template.label == SPACE
    assert dice_in_view(image, chain_of(derivatives, *transforms), template) >= floor


def test_diffusion_without_a_t1w_is_marked(finished):
    quality = json.loads(
        next((finished / "out/derivatives/sub-tosh").rglob("*desc-normalize_quality.json")).read_text()
    )
    assert quality["verdict"] == "warn"
    assert any("no T1w" in reason for reason in quality["reasons"])
