"""What can be wrong with an image, said with a stable code."""

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromoe.bids._scan import Found
from neuromoe.imaging.gradients import B0_MAX_S_MM2, Gradients


@dataclass(frozen=True)
class Issue:
    """A problem of the dataset and what to do about it."""

    severity: str
    code: str
    message: str
    file: str
    fix: str


def error(code: str, message: str, file: str, fix: str) -> Issue:
    """Return an issue that leaves an image out."""
    return Issue("error", code, message, file, fix)


def warning(code: str, message: str, file: str, fix: str) -> Issue:
    """Return an issue that leaves nothing out."""
    return Issue("warning", code, message, file, fix)


def note(code: str, message: str, file: str, fix: str) -> Issue:
    """Return an issue that costs no image, only something that could be better."""
    return Issue("note", code, message, file, fix)


def read_header(path: Path) -> dict[str, object]:
    """Read what the header says: shape, voxel sizes in mm, volumes, repetition time in s.

    Raises
    ------
    ValueError, OSError
        The file is no image.
    """
    header = _nifti_header(path)
    shape, zooms = header.get_data_shape(), [float(zoom) for zoom in header.get_zooms()]
    return {
        "shape": tuple(int(size) for size in shape),
        "voxel_mm": tuple(round(zoom, 4) for zoom in zooms[:3]),
        "volumes": int(shape[3]) if len(shape) > 3 else 1,
        "repetition_time_s": zooms[3] if len(zooms) > 3 else None,
    }


def _nifti_header(path: Path) -> Any:
    """Read the first bytes of a file; what is no NIfTI-1 goes through nibabel's slower search for its format."""
    import nibabel as nib

    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            return nib.Nifti1Header.from_fileobj(file)
    except (nib.spatialimages.HeaderDataError, nib.wrapstruct.WrapStructError):
        try:
            return nib.load(path).header
        except nib.filebasedimages.ImageFileError as err:
            raise ValueError(str(err)) from err


def check(
    bids_dir: Path, image: Found, header: Mapping[str, object], metadata: Mapping[str, object]
) -> Iterator[Issue]:
    """Yield what is wrong with an image that could be read."""
    shape = header["shape"]
    assert isinstance(shape, tuple)
    expected = {"anat": (3,), "dwi": (4,), "func": (4,)}[image.modality]
    squeezed = len(shape) == 4 and shape[3] == 1 and image.modality == "anat"
    if len(shape) not in expected and not squeezed:
        yield error(
            f"{image.modality.upper()}_DIMENSIONS",
            f"expected {expected[0]} dimensions, found shape {shape}",
            image.path,
            "convert the series again, or exclude the file",
        )
    elif min(shape[:3]) < 8:
        yield error("TOO_FEW_SLICES", f"shape {shape} is no brain volume", image.path, "exclude the file")
    elif image.modality == "dwi":
        yield from _check_gradients(bids_dir, image, int(shape[3]))
    elif image.modality == "func":
        yield from _check_bold(image, header, metadata)


def _check_gradients(bids_dir: Path, image: Found, volumes: int) -> Iterator[Issue]:
    for kind, path in (("BVAL", image.bval), ("BVEC", image.bvec)):
        if path is None:
            yield error(f"{kind}_MISSING", f"no .{kind.lower()} file applies", image.path, "put it beside the image")
            continue
        lines = [line.split() for line in (bids_dir / path).read_text().splitlines() if line.strip()]
        numbers = sum(map(len, lines))
        expected = volumes * (1 if kind == "BVAL" else 3)
        if numbers != expected:
            message = f"the image has {volumes} volumes, so {expected} numbers are needed; found {numbers}"
            yield error(f"{kind}_COUNT", message, path, "export the table again with the image")
        elif kind == "BVAL":
            yield from _check_bvals(bids_dir, path)


def _check_bvals(bids_dir: Path, path: str) -> Iterator[Issue]:
    try:
        bvals = read_bvals(bids_dir, path)
    except ValueError as err:
        yield error("BVAL_INVALID", str(err), path, "export the table again with the image")
        return
    if not (bvals <= B0_MAX_S_MM2).any():
        message = f"no volume of b=0 (up to {B0_MAX_S_MM2:g} s/mm^2); the least is {bvals.min():g}"
        yield error("DWI_NO_B0", message, path, "add the series' b=0 volume, or exclude the file")


def read_bvals(bids_dir: Path, path: str) -> NDArray:
    """Read the b-values of a run, s/mm^2.

    Raises
    ------
    ValueError
        A word is no number.
    """
    return np.array([float(word) for word in (bids_dir / path).read_text().split()])


def _check_bold(image: Found, header: Mapping[str, object], metadata: Mapping[str, object]) -> Iterator[Issue]:
    if "echo" in image.name.entities:
        yield error("MULTI_ECHO", "multi-echo BOLD is not combined yet", image.path, "combine the echoes first")
    stated, stored = metadata.get("RepetitionTime"), header["repetition_time_s"]
    if stated is None and not stored:
        yield error(
            "REPETITION_TIME",
            "neither JSON nor header gives one",
            image.path,
            'add "RepetitionTime" (s) to the JSON',
        )


def read_metadata(bids_dir: Path, image: Found) -> tuple[dict[str, object], list[Issue]]:
    """Merge the sidecars of an image; one that is no JSON is an error of the image."""
    merged: dict[str, object] = {}
    issues = []
    for path in image.sidecars:
        try:
            merged.update(json.loads((bids_dir / path).read_text(encoding="utf-8")))
        except ValueError as err:
            issues.append(error("JSON_INVALID", str(err), path, "correct the file"))
    return merged, issues


def read_table_of(bids_dir: Path, image: Found) -> Gradients:
    """Read the gradients of a run whose counts are right, along its own axes; vectors without a sense become zero."""
    assert image.bval and image.bvec
    bvals = read_bvals(bids_dir, image.bval)
    rows = [line.split() for line in (bids_dir / image.bvec).read_text().splitlines() if line.strip()]
    try:
        vectors = np.array(rows, float)
    except ValueError:
        vectors = np.zeros((3, len(bvals)))
    vectors = vectors.T if vectors.shape == (3, len(bvals)) else vectors
    sensible = vectors.shape == (len(bvals), 3) and np.isfinite(vectors).all()
    return Gradients(bvals, vectors if sensible else np.zeros((len(bvals), 3)))
