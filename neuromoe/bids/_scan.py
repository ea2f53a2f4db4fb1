"""Walk a BIDS dataset: which images there are, and which text files belong to each."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

MODALITIES = {"anat": ("T1w",), "dwi": ("dwi",), "func": ("bold",)}
IMAGE = (".nii.gz", ".nii")
_ENTITY = re.compile(r"([a-zA-Z]+)-([a-zA-Z0-9+]+)")


@dataclass(frozen=True)
class Name:
    """A BIDS file name taken apart."""

    entities: Mapping[str, str]
    suffix: str
    extension: str


@dataclass(frozen=True)
class Found:
    """An image of a modality that is used, with the text files that apply to it.

    Parameters
    ----------
    path : str
        Relative to the dataset.
    name : Name
        Its parts.
    modality : str
        `anat`, `dwi`, `func` or `fmap`.
    sidecars : tuple of str
        JSON files that apply by inheritance, the nearest last.
    bval, bvec : str or None
        The nearest gradient table, for dwi.
    """

    path: str
    name: Name
    modality: str
    sidecars: tuple[str, ...] = ()
    bval: str | None = None
    bvec: str | None = None
    header: Mapping[str, object] = field(default_factory=dict)

    @property
    def participant_id(self) -> str:
        """The participant, `sub-...`."""
        return f"sub-{self.name.entities['sub']}"

    @property
    def session_id(self) -> str:
        """The session, `ses-...`, or `n/a`."""
        return f"ses-{self.name.entities['ses']}" if "ses" in self.name.entities else "n/a"


def parse_name(filename: str) -> Name:
    """Take a BIDS file name apart.

    Examples
    --------
    >>> parse_name("sub-01_task-rest_bold.nii.gz")
    Name(entities={'sub': '01', 'task': 'rest'}, suffix='bold', extension='.nii.gz')
    """
    stem, dot, extension = filename.partition(".")
    *entities, suffix = stem.split("_")
    pairs = [match for part in entities if (match := _ENTITY.fullmatch(part))]
    return Name({match[1]: match[2] for match in pairs}, suffix, dot + extension)


def scan(bids_dir: Path) -> list[Found]:
    """Find every T1w, dwi and bold image of a dataset, in the order of their names."""
    _names.cache_clear()
    return sorted(_images(bids_dir), key=lambda image: image.path)


def _images(bids_dir: Path) -> Iterator[Found]:
    for subject in _folders(bids_dir, "sub-"):
        for session in [subject, *_folders(subject, "ses-")]:
            for modality, suffixes in MODALITIES.items():
                yield from scan_folder(bids_dir, session / modality, modality, suffixes)


def scan_folder(bids_dir: Path, folder: Path, modality: str, suffixes: tuple[str, ...]) -> Iterator[Found]:
    """Yield the images of one folder of a session, in the order of their names; nothing where there is no folder."""
    for filename, name in _names(folder) if folder.is_dir() else ():
        if name.suffix in suffixes and name.extension in IMAGE and "sub" in name.entities:
            yield _with_texts(bids_dir, folder, filename, name, modality)


def _folders(parent: Path, prefix: str) -> list[Path]:
    with os.scandir(parent) as entries:
        return sorted(Path(entry.path) for entry in entries if entry.name.startswith(prefix) and entry.is_dir())


@lru_cache(maxsize=512)
def _names(folder: Path) -> tuple[tuple[str, Name], ...]:
    with os.scandir(folder) as entries:
        return tuple((name, parse_name(name)) for name in sorted(e.name for e in entries if e.is_file()))


def _with_texts(bids_dir: Path, folder: Path, filename: str, name: Name, modality: str) -> Found:
    path = str((folder / filename).relative_to(bids_dir))
    sidecars = _inherited(bids_dir, folder, name, ".json")
    if modality != "dwi":
        return Found(path, name, modality, sidecars)
    bval, bvec = ((_inherited(bids_dir, folder, name, extension) or (None,))[-1] for extension in (".bval", ".bvec"))
    return Found(path, name, modality, sidecars, bval, bvec)


def _inherited(bids_dir: Path, folder: Path, name: Name, extension: str) -> tuple[str, ...]:
    """Return the files of an extension that apply to an image, from the dataset's root inwards.

    A file applies if it has the image's suffix and no entity that the image does not have with the same value.
    """
    parents = folder.relative_to(bids_dir).parts
    found = []
    for depth in range(len(parents) + 1):
        level = bids_dir.joinpath(*parents[:depth])
        for filename, other in _names(level):
            if (
                other.suffix == name.suffix
                and other.extension == extension
                and other.entities.items() <= name.entities.items()
            ):
                found.append(str((level / filename).relative_to(bids_dir)))
    return tuple(found)
