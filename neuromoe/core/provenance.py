"""BIDS sidecars that say what was run, on what, with which versions."""

import json
import os
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import neuromoe
from neuromoe.core.atomic import write_json

TOOLS = ("antspyx", "dipy", "nibabel", "nilearn", "nipype", "numpy", "picsl_greedy", "scipy", "torch")


def versions(names: Iterable[str] = TOOLS) -> dict[str, str]:
    """Return the installed version of each package, leaving out those that are not installed."""
    found = {"neuromoe": neuromoe.__version__}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    release = Path(os.environ.get("FSLDIR", "")) / "etc" / "fslversion"
    return found | ({"fsl": release.read_text().split(":")[0].strip()} if release.is_file() else {})


def sidecar_path(image: Path | str) -> Path:
    """Return the name of the JSON file that belongs to an image.

    Examples
    --------
    >>> sidecar_path("sub-01_desc-preproc_T1w.nii.gz").name
    'sub-01_desc-preproc_T1w.json'
    """
    image = Path(image)
    return image.with_name(image.name.split(".")[0] + ".json")


def write_sidecar(
    image: Path | str,
    *,
    sources: Iterable[Path | str] = (),
    parameters: Mapping[str, Any] | None = None,
    **fields: Any,
) -> None:
    """Write the JSON file beside an image.

    Parameters
    ----------
    image : path
        The image that is described.
    sources : iterable of path
        What it was made from.
    parameters : mapping, optional
        The step's settings, seed included.
    **fields
        Further BIDS fields (`SpatialReference`, `RepetitionTime`, ...).
    """
    record = {
        "Sources": [str(path) for path in sources],
        "Parameters": dict(parameters or {}),
        "SoftwareVersions": versions(),
        **fields,
    }
    write_json(sidecar_path(image), record)


def metadata_of(image: Path | str, sidecars: Iterable[Path | str] | None) -> dict[str, Any]:
    """Merge those of several images' JSON files that apply to one image, by BIDS inheritance.

    Parameters
    ----------
    image : path
        Named as in BIDS.
    sidecars : iterable of path
        JSON files of a session's images, the nearest last.
    """
    own = set(Path(image).name.split(".")[0].split("_"))
    parts = {path: Path(path).name.split(".")[0].split("_") for path in map(Path, sidecars or ())}
    suffix = Path(image).name.split(".")[0].split("_")[-1]
    return read_metadata(path for path, words in parts.items() if words[-1] == suffix and set(words) <= own)


def read_metadata(sidecars: Iterable[Path | str] | None) -> dict[str, Any]:
    """Merge JSON files by BIDS inheritance: a later one overrides an earlier one."""
    merged: dict[str, Any] = {}
    for path in sidecars or ():
        merged.update(json.loads(Path(path).read_text(encoding="utf-8")))
    return merged


def failures_of(image: Path | str | None) -> list[str]:
    """Return why the step that made an image says that it failed, by the JSON file beside it; empty otherwise."""
    sidecar = image and sidecar_path(image)
    told = read_metadata([sidecar]) if sidecar and sidecar.is_file() else {}
    return list(told.get("Reasons", [])) if told.get("Verdict") == "fail" else []
