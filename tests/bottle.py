"""A bottle of water, scanned like a person: T1w, a short BOLD run, diffusion of b = 2500 in both phase encodings."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np

WATER_MM2_S = 2.0e-3
DIRECTIONS = 12


def bottle(voxel_mm: float, rng: np.random.Generator, *, noise: float = 0.02) -> tuple[np.ndarray, np.ndarray]:
    """Return a lying cylinder of 14 cm across and 22 cm long in air, brighter near the coil, and its affine."""
    shape = np.array([200, 260, 200]) / voxel_mm
    shape = shape.astype(int)
    affine = np.diag([voxel_mm, voxel_mm, voxel_mm, 1.0])
    affine[:3, 3] = -(shape - 1) / 2 * voxel_mm
    x, y, z = (axis * voxel_mm + affine[i, 3] for i, axis in enumerate(np.indices(shape)))
    inside = (np.hypot(x, z) < 70) & (np.abs(y) < 110)
    signal = inside * (1 + 0.2 * z / 70 + 0.1 * x / 70)
    return with_noise(signal, noise, rng), affine


def with_noise(signal: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Add noise as a magnitude image has it."""
    real, imaginary = rng.normal(0, noise, (2, *signal.shape))
    return np.hypot(signal + real, imaginary)


def write_bottle(bids_dir: Path, participant: str = "sub-bottle") -> Path:
    """Write the bottle as a participant of a BIDS dataset."""
    rng = np.random.default_rng(7)
    bids_dir.mkdir(parents=True, exist_ok=True)
    description = {"Name": "a bottle", "BIDSVersion": "1.10.0"}
    (bids_dir / "dataset_description.json").write_text(json.dumps(description))
    (bids_dir / "participants.tsv").write_text(f"participant_id\n{participant}\n")
    t1w, affine = bottle(2.0, rng)
    _save(bids_dir / participant / "anat" / f"{participant}_T1w", t1w, affine, {})
    still, affine = bottle(3.5, rng, noise=0)
    run = np.stack([with_noise(still, 0.02, rng) for _ in range(20)], axis=-1)
    metadata = {"RepetitionTime": 2.0, "TaskName": "rest"}
    _save(bids_dir / participant / "func" / f"{participant}_task-rest_bold", run, affine, metadata)
    still, affine = bottle(3.0, rng, noise=0)
    directions = rng.normal(size=(DIRECTIONS, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    bvals = np.array([0] + [2500] * DIRECTIONS)
    weight = np.exp(-bvals * WATER_MM2_S)
    for name, phase in (("AP", "j-"), ("PA", "j")):
        series = np.stack([with_noise(still * w, 0.02, rng) for w in weight], axis=-1)
        stem = bids_dir / participant / "dwi" / f"{participant}_dir-{name}_dwi"
        _save(stem, series, affine, {"PhaseEncodingDirection": phase, "TotalReadoutTime": 0.05})
        np.savetxt(stem.with_suffix(".bval"), bvals[None], fmt="%d")
        np.savetxt(stem.with_suffix(".bvec"), np.vstack([[0, 0, 0], directions]).T, fmt="%.6f")
    return bids_dir


def _save(stem: Path, data: np.ndarray, affine: np.ndarray, metadata: dict) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(np.round(1000 * data).astype(np.int16), affine)
    if data.ndim == 4:
        image.header["pixdim"][4] = metadata.get("RepetitionTime", 8.0)
    nib.save(image, stem.with_suffix(".nii.gz"))
    if metadata:
        stem.with_suffix(".json").write_text(json.dumps(metadata))
