"""One made person: the bundled template, moved by known transforms, with known fluctuations."""

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from neuromoe.imaging.geometry import Grid, apply_affine, rigid_matrix
from neuromoe.imaging.images import Image, load_image, resample, sample, save_image
from neuromoe.imaging.transforms import Affine, write_transform

REPETITION_TIME_S = 2.0
VOLUMES = 64
FREQUENCY_HZ = 5 / (VOLUMES * REPETITION_TIME_S)
TEMPLATE_MM = 4.0


@dataclass(frozen=True)
class Person:
    """Files of a made person and the truth about them."""

    folder: Path
    bold: Path
    sidecar: Path
    t1w: Path
    t1w_mask: Path
    gm: Path
    wm: Path
    csf: Path
    t1w_to_template: Path
    template: Path
    motion: np.ndarray
    t1w_to_bold: np.ndarray
    slice_times_s: np.ndarray


def bundled(name: str) -> Image:
    folder = Path(importlib.util.find_spec("nilearn").origin).parent / "datasets" / "data"
    return load_image(folder / f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz", ndim=3)


@pytest.fixture(scope="session")
def tissues() -> dict[str, Image]:
    """Brain and tissues at 2 mm."""
    brain = bundled("t1")
    grid = brain.grid.at_voxel_mm(2.0)
    parts = {name: resample(bundled(name), grid) for name in ("t1", "gm", "wm")}
    parts = {name: np.clip(data / data.max(), 0, 1) for name, data in parts.items()}
    parts["mask"] = (parts["t1"] > 0.1).astype(np.float32)
    parts["csf"] = np.clip(parts["mask"] - parts["gm"] - parts["wm"], 0, 1)
    return {name: Image(data, grid.affine) for name, data in parts.items()}


@pytest.fixture(scope="session")
def template(tissues, tmp_path_factory) -> Path:
    """A prepared template at 4 mm."""
    folder = tmp_path_factory.mktemp("template")
    grid = tissues["t1"].grid.at_voxel_mm(TEMPLATE_MM)
    for part, source in {"head": "t1", "mask": "mask", "gm": "gm", "wm": "wm", "csf": "csf"}.items():
        data = resample(tissues[source], grid)
        save_image(data > 0.5 if part == "mask" else data, folder / f"{part}.nii.gz", grid.affine)
    (folder / "template.json").write_text(json.dumps({"label": "Made", "whole_head": False}))
    return folder / "template.json"


@pytest.fixture(scope="session")
def person(tissues, template, tmp_path_factory) -> Person:
    """T1w turned against the template, BOLD against the T1w, moving, with slices at their own times."""
    rng = np.random.default_rng(7)
    folder = tmp_path_factory.mktemp("person")
    template_to_t1w = rigid_matrix([4, -3, 5, 0.05, -0.04, 0.08])
    t1w_to_bold = rigid_matrix([-3, 4, 2, -0.06, 0.05, 0.03])
    t1w_grid = tissues["t1"].grid
    names = {"t1w": "t1", "t1w_mask": "mask", "gm": "gm", "wm": "wm", "csf": "csf"}
    paths = {name: folder / f"{name}.nii.gz" for name in names}
    for name, source in names.items():
        data = resample(tissues[source], t1w_grid, (Affine(np.linalg.inv(template_to_t1w)),))
        save_image(np.round(data) if name == "t1w_mask" else data, paths[name], t1w_grid.affine)
    write_transform(folder / "t1w_to_template.h5", (Affine(template_to_t1w),))
    motion = made_motion(rng)
    series, grid, times = made_series(tissues, template_to_t1w, t1w_to_bold, motion, rng)
    save_flipped(series, grid, folder / "bold.nii.gz")
    metadata = {"RepetitionTime": REPETITION_TIME_S, "SliceTiming": times[::-1].tolist()}
    (folder / "bold.json").write_text(json.dumps(metadata))
    return Person(
        folder, folder / "bold.nii.gz", folder / "bold.json", **paths,
        t1w_to_template=folder / "t1w_to_template.h5", template=template,
        motion=motion, t1w_to_bold=t1w_to_bold, slice_times_s=times,
    )  # fmt: skip


def made_motion(rng: np.random.Generator) -> np.ndarray:
    steps = np.cumsum(rng.normal(0, [0.06] * 3 + [0.0012] * 3, (VOLUMES, 6)), axis=0)
    steps[40:, 1] += 1.5
    return np.stack([rigid_matrix(p, (0, -15, 10)) for p in steps])


def made_series(tissues, template_to_t1w, t1w_to_bold, motion, rng):
    """GM of the right side fluctuates three times as much as that of the left, at one frequency."""
    grid = Grid((42, 50, 36), np.array([[4.0, 0, 0, -82], [0, 4.0, 0, -118], [0, 0, 4.2, -72], [0, 0, 0, 1]]))
    still = Image(
        700 * tissues["wm"].data + 900 * tissues["gm"].data + 1300 * tissues["csf"].data, tissues["gm"].affine
    )
    right = tissues["gm"].grid.world()[:, 0].reshape(tissues["gm"].data.shape) > 0
    waves = tissues["gm"].like(tissues["gm"].data * np.where(right, 30.0, 10.0).astype(np.float32))
    bold_to_template = np.linalg.inv(t1w_to_bold @ template_to_t1w)
    times = np.argsort(np.argsort(np.arange(36) % 2, kind="stable")) / 36 * REPETITION_TIME_S
    moments = np.broadcast_to(times, grid.shape).ravel()
    series = np.empty((*grid.shape, len(motion)), np.float32)
    for index, matrix in enumerate(motion):
        points = apply_affine(bold_to_template @ np.linalg.inv(matrix), grid.world())
        phase = 2 * np.pi * FREQUENCY_HZ * (index * REPETITION_TIME_S + moments)
        volume = sample(still, points) + sample(waves, points) * np.sin(phase)
        series[..., index] = volume.reshape(grid.shape) + rng.normal(0, 8, grid.shape)
    return np.abs(series), grid, times


def save_flipped(series: np.ndarray, grid: Grid, path: Path) -> None:
    """Store from right to left and from top to bottom, as scanners do."""
    flip = np.diag([-1.0, 1, -1, 1])
    flip[0, 3], flip[2, 3] = grid.shape[0] - 1, grid.shape[2] - 1
    image = nib.Nifti1Image(series[::-1, :, ::-1], grid.affine @ flip)
    image.header["pixdim"][4] = REPETITION_TIME_S
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, path)
