"""The template as the steps see it: prepared once, on the grid that all maps lie on."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.errors import InputError
from neuromoe.imaging.geometry import Grid
from neuromoe.imaging.images import Image, load_image

BUNDLED = "nilearn"
BUNDLED_LABEL = "MNI152NLin2009aSym"
PARTS = ("head", "mask", "gm", "wm", "csf")


@dataclass(frozen=True, eq=False)
class Template:
    """A prepared template.

    Parameters
    ----------
    folder : path
        Where `template.json` and the images are.
    label : str
        BIDS space label.
    whole_head : bool
        False where the head was made around a template of the brain alone.
    sha256 : mapping of str to str
        Digest of each prepared image, by the name of its part; nothing is checked where there is none.
    """

    folder: Path
    label: str
    whole_head: bool
    sha256: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path | str) -> "Template":
        """Open the `template.json` (or its folder) that the step `template prepare` wrote."""
        path = Path(path)
        path = path / "template.json" if path.is_dir() else path
        record = json.loads(path.read_text())
        return cls(path.parent, record["label"], record["whole_head"], record.get("prepared_sha256", {}))

    def _image(self, part: str) -> Image:
        path = self.folder / f"{part}.nii.gz"
        if part in self.sha256 and self.sha256[part] != digest(path):
            raise InputError(
                expected="the image that template_prepare wrote",
                found="another content",
                where=path,
                fix="let the template be prepared again: snakemake template_prepare --forcerun template_prepare",
            )
        return load_image(path, ndim=3)

    @cached_property
    def head(self) -> Image:
        """The whole head."""
        return self._image("head")

    @cached_property
    def mask(self) -> Image:
        """The brain mask, 0 or 1."""
        return self._image("mask")

    @cached_property
    def gm(self) -> Image:
        """Probability of grey matter."""
        return self._image("gm")

    @cached_property
    def wm(self) -> Image:
        """Probability of white matter."""
        return self._image("wm")

    @cached_property
    def csf(self) -> Image:
        """Probability of cerebrospinal fluid."""
        return self._image("csf")

    @property
    def grid(self) -> Grid:
        """The grid that all maps of all people lie on."""
        return self.mask.grid

    @property
    def brain_mask(self) -> NDArray:
        """The brain mask as bool (X, Y, Z)."""
        return self.mask.data > 0.5

    @property
    def brain(self) -> Image:
        """The head with everything but the brain set to zero."""
        return self.head.like(np.where(self.brain_mask, self.head.data, 0))


def digest(path: Path) -> str:
    """Return the sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_description(folder: Path | str) -> dict:
    """Read and check the `template.json` of a folder that a user gives as template."""
    path = Path(folder) / "template.json"
    if not path.is_file():
        raise InputError(
            expected="a template.json in the template's folder",
            found="none",
            where=path,
            fix='write one: {"label": "<BIDS space label>", "head": "<file>", "brain_mask": "<file>"}',
        )
    description = json.loads(path.read_text())
    missing = [key for key in ("label", "head", "brain_mask") if key not in description]
    if missing:
        raise InputError(
            expected="the keys label, head and brain_mask",
            found=f"no {', '.join(missing)}",
            where=path,
            fix="add them",
        )
    return description


def template_label(template: str) -> str:
    """Return the BIDS space label of the setting `template`, without reading an image.

    Examples
    --------
    >>> template_label("nilearn")
    'MNI152NLin2009aSym'
    >>> template_label("MNI152NLin6Asym")
    'MNI152NLin6Asym'
    """
    if template == BUNDLED:
        return BUNDLED_LABEL
    return read_description(template)["label"] if Path(template).is_dir() else Path(template).name
