"""Made-up BIDS datasets with real NIfTI headers and almost no voxels, for the index and the job graph."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np

SHAPES = {"anat": (8, 8, 8), "dwi": (8, 8, 8, 7), "func": (8, 8, 8, 5)}
SUFFIX = {"anat": "T1w", "dwi": "dwi", "func": "bold"}


def add_image(bids_dir: Path, name: str, modality: str, shape=None, **metadata) -> Path:
    """Write one image, such as `sub-01_ses-1_task-rest`, with its sidecar and, for dwi, its gradient table."""
    folder = bids_dir.joinpath(*[part for part in name.split("_") if part[:4] in ("sub-", "ses-")], modality)
    folder.mkdir(parents=True, exist_ok=True)
    shape = shape or SHAPES[modality]
    image = nib.Nifti1Image(np.zeros(shape, np.int16), np.diag([2.0, 2.0, 2.0, 1.0]))
    if modality == "func":
        image.header["pixdim"][4] = 2.0
    path = folder / f"{name}_{SUFFIX[modality]}.nii.gz"
    nib.save(image, path)
    if metadata:
        (folder / f"{name}_{SUFFIX[modality]}.json").write_text(json.dumps(metadata))
    if modality == "dwi":
        stem = folder / f"{name}_dwi"
        stem.with_suffix(".bval").write_text(" ".join(["0"] + ["1000"] * (shape[3] - 1)))
        stem.with_suffix(".bvec").write_text("\n".join(" ".join(["0"] * shape[3]) for _ in range(3)))
    return path


def add_person(
    bids_dir: Path, participant: str, session: str | None = None, modalities=("anat", "dwi", "func")
) -> None:
    """Write one image of each modality for a session."""
    stem = "_".join(filter(None, [participant, session]))
    for modality in modalities:
        add_image(bids_dir, stem + ("_task-rest" if modality == "func" else ""), modality)


def write_participants(bids_dir: Path, groups: dict[str, str]) -> None:
    """Write participants.tsv and dataset_description.json."""
    rows = "".join(
        f"{participant}\t{group}\t{50 + number}\n" for number, (participant, group) in enumerate(groups.items())
    )
    bids_dir.mkdir(parents=True, exist_ok=True)
    (bids_dir / "participants.tsv").write_text("participant_id\tgroup\tage\n" + rows)
    description = {"Name": "made up", "BIDSVersion": "1.10.0"}
    (bids_dir / "dataset_description.json").write_text(json.dumps(description))


def made_dataset(bids_dir: Path, people: int = 3, sessions: tuple[str, ...] = (), modalities=None) -> Path:
    """Write a dataset; `modalities` names those of each person in turn."""
    names = [f"sub-{number:03d}" for number in range(1, people + 1)]
    write_participants(bids_dir, {name: ("PD", "HC")[number % 2] for number, name in enumerate(names)})
    modalities = modalities or [("anat", "dwi", "func")]
    for number, name in enumerate(names):
        for session in sessions or (None,):
            add_person(bids_dir, name, session, modalities[number % len(modalities)])
    return bids_dir
