"""A phantom of 4 mm, and templates prepared for it and for real heads."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from neuromoe.simulate.cohort import cohort
from neuromoe.template.prepare import prepare


@dataclass(frozen=True)
class Phantom:
    """A simulated T1w and its truth."""

    t1w: Path
    mask: Path
    labels: Path
    transform: Path


@pytest.fixture(scope="session")
def phantom(tmp_path_factory) -> Phantom:
    """The first person of the tiny cohort."""
    bids = tmp_path_factory.mktemp("phantom")
    cohort(bids_dir=bids, size="tiny", sessions=1, missing_rate=0.0, corrupted_rate=0.0)
    truth = bids / "derivatives" / "truth" / "sub-01" / "anat"
    (transform,) = truth.glob("*_from-*_to-T1w_mode-image_xfm.h5")
    return Phantom(
        bids / "sub-01/anat/sub-01_T1w.nii.gz",
        truth / "sub-01_desc-brain_mask.nii.gz",
        truth / "sub-01_dseg.nii.gz",
        transform,
    )


def _prepared(template: str, folder: Path, voxel_mm: float) -> Path:
    prepare(template=template, prepared=folder / "template.json", voxel_mm=voxel_mm)
    return folder / "template.json"


@pytest.fixture(scope="session")
def small_template(tmp_path_factory) -> Path:
    """The bundled template at 4 mm."""
    return _prepared("nilearn", tmp_path_factory.mktemp("template"), 4.0)


@pytest.fixture(scope="session")
def real_template(real_templates, tmp_path_factory) -> Path:
    """The whole-head template at 2 mm."""
    return _prepared(str(real_templates), tmp_path_factory.mktemp("head"), 2.0)
