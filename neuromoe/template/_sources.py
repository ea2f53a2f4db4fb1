"""Where a template comes from: the bundled one, a folder, or TemplateFlow."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.errors import InputError
from neuromoe.imaging.geometry import Grid
from neuromoe.imaging.images import Image, load_image, resample
from neuromoe.imaging.template import BUNDLED, BUNDLED_LABEL, read_description
from neuromoe.template._head import add_head


@dataclass(frozen=True, eq=False)
class Source:
    """A template as it was found: images on their own grids, and the digest of each file."""

    name: str
    label: str
    whole_head: bool
    head: Image
    others: Mapping[str, Image]
    sha256: Mapping[str, str]

    def on(self, grid: Grid) -> dict[str, NDArray]:
        """Bring every part onto one grid; the mask stays 0 or 1."""
        parts = {"head": _bring(self.head, grid)}
        parts.update({part: _bring(image, grid) for part, image in self.others.items()})
        parts["mask"] = (parts["mask"] > 0.5).astype(np.float32)
        return parts


def _bring(image: Image, grid: Grid) -> NDArray:
    """Resample, averaging first where the grid is coarser than the image."""
    from scipy.ndimage import gaussian_filter

    ratio = grid.voxel_mm.mean() / image.voxel_mm.mean()
    smooth = gaussian_filter(image.data, 0.4 * ratio) if ratio > 1.2 else image.data
    return resample(image.like(smooth), grid)


def open_source(template: str) -> Source:
    """Open the template that the configuration names."""
    if template == BUNDLED:
        return _bundled()
    if Path(template).is_dir():
        return _folder(Path(template))
    if "/" in template:
        raise InputError(
            expected="a folder with a template.json, a TemplateFlow identifier or `nilearn`",
            found="no such folder",
            where=template,
            fix="check the path of the setting `template`",
        )
    return _templateflow(template)


def _bundled() -> Source:
    from nilearn.datasets import (
        load_mni152_brain_mask,
        load_mni152_gm_template,
        load_mni152_template,
        load_mni152_wm_template,
    )

    loaders = (load_mni152_template, load_mni152_brain_mask, load_mni152_gm_template, load_mni152_wm_template)
    brain, mask, gm, wm = (_from_nibabel(loader(resolution=1)) for loader in loaders)
    inside = mask.data > 0.5
    csf = np.clip(inside - gm.data - wm.data, 0, 1)
    others = {"mask": mask, "gm": gm, "wm": wm, "csf": mask.like(csf)}
    head = add_head(brain.like(np.where(inside, brain.data, 0)), inside)
    return Source(BUNDLED, BUNDLED_LABEL, False, head, others, {})


def mni_tissues(grid: Grid, label: str) -> NDArray | None:
    """Return the bundled tissues as priors (3, X, Y, Z) for another template of MNI space; None for other spaces.

    MNI templates agree to a few millimetres, which is enough to tell a segmentation which tissue is where.
    """
    if not label.startswith("MNI"):
        return None
    others = _bundled().others
    return np.stack([_bring(others[tissue], grid) for tissue in ("csf", "gm", "wm")])


def _from_nibabel(image) -> Image:
    return Image(np.asarray(image.get_fdata(), np.float32), np.asarray(image.affine, float))


def _folder(folder: Path) -> Source:
    description = read_description(folder)
    names = {"head": description["head"], "mask": description["brain_mask"]}
    names |= {tissue.lower(): name for tissue, name in description.get("tissues", {}).items()}
    return _from_files(str(folder), description["label"], {part: folder / name for part, name in names.items()})


def _templateflow(identifier: str) -> Source:
    from templateflow import api

    found = {
        "head": api.get(identifier, resolution=1, desc=None, suffix="T1w", extension=".nii.gz"),
        "mask": api.get(identifier, resolution=1, desc="brain", suffix="mask", extension=".nii.gz"),
    }
    for tissue in ("GM", "WM", "CSF"):
        found[tissue.lower()] = api.get(identifier, resolution=1, label=tissue, suffix="probseg", extension=".nii.gz")
    for part in ("head", "mask"):
        if not isinstance(found[part], Path):
            raise InputError(
                expected=f"one {part} at resolution 1 in the TemplateFlow template",
                found=str(found[part] or "none"),
                where=identifier,
                fix="choose a template with both, or give a folder",
            )
    files = {part: path for part, path in found.items() if isinstance(path, Path)}
    return _from_files(identifier, identifier, files)


def _from_files(name: str, label: str, files: Mapping[str, Path]) -> Source:
    for path in files.values():
        if not path.is_file():
            raise InputError(
                expected="the template's image", found="no such file", where=path, fix="correct template.json"
            )
    images = {part: load_image(path, ndim=3) for part, path in files.items()}
    tissues = {"gm", "wm", "csf"}
    if not tissues <= set(images):
        images = {part: image for part, image in images.items() if part not in tissues}
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files.values()}
    return Source(name, label, True, images.pop("head"), images, digests)
