"""Who takes part and which images each person has. Standard library only: each workflow call reads it.

A person's draws depend on the seed and the person's own number alone, so more sessions leave the first ones
as they are.
"""

import random
from dataclasses import dataclass
from typing import Any

from neuromoe.core.errors import InputError
from neuromoe.simulate._clinical import clinical_values, serum_values
from neuromoe.simulate._people import MODALITIES, SUFFIXES, Person, files_of
from neuromoe.simulate._protocol import (
    CENTER_MM,
    SITES,
    SIZES,
    Site,
    Size,
    b_values,
    sidecar,
    slice_times_s,
    stored_shape,
)
from neuromoe.simulate._tables import write_tables

__all__ = ["GROUPS", "MODALITIES", "ImagePlan", "Person", "images", "participant_id", "plan", "write_tables"]

GROUPS = {"HC": 0.0, "iRBD": 0.5, "PD": 1.0}


@dataclass(frozen=True)
class ImagePlan:
    """One image before it exists.

    Parameters
    ----------
    path : str
        Relative to the dataset.
    shape : tuple of 3 int
        Voxels along each stored axis.
    axes : str
        World direction of each stored axis.
    center_mm : tuple of 3 float
        World point of the grid's middle.
    tilt_deg : float
        Rotation of the grid about the world's left-right axis through its middle.
    volumes : int
        1 for a 3-D image.
    slice_times_s : tuple of float
        When each slice of the third axis is taken; empty where all are taken at once.
    metadata : dict
        The content of the JSON sidecar.
    """

    modality: str
    suffix: str
    path: str
    shape: tuple[int, int, int]
    voxel_mm: float
    axes: str
    center_mm: tuple[float, float, float]
    tilt_deg: float
    volumes: int
    repetition_time_s: float
    slice_times_s: tuple[float, ...]
    metadata: dict[str, Any]


def participant_id(number: int) -> str:
    """Name the participant with a 1-based number.

    Examples
    --------
    >>> participant_id(7), participant_id(123)
    ('sub-07', 'sub-123')
    """
    return f"sub-{number:02d}"


def plan(
    sessions: int = 24,
    seed: int = 0,
    size: str = "demo",
    corrupted_rate: float = 0.15,
    missing_rate: float = 0.1,
) -> list[Person]:
    """Draw the cohort.

    Parameters
    ----------
    sessions : int, default=24
        People; each has one session.
    seed : int, default=0
        Source of every draw.
    size : str, default="demo"
        `tiny`, `demo` or `full`.
    corrupted_rate, missing_rate : float
        Share of scans that are spoilt by motion, and that were not made. Nobody misses every scan.

    Raises
    ------
    InputError
        An unknown size, fewer than one session, or a rate outside 0 to 1.
    """
    _check(sessions, size, {"corrupted_rate": corrupted_rate, "missing_rate": missing_rate})
    return [_person(number, seed, size, corrupted_rate, missing_rate) for number in range(1, sessions + 1)]


def images(person: Person, size: str | None = None) -> list[ImagePlan]:
    """Describe each image of a person, in the order anat, dwi, func."""
    return [_image(person, modality, SIZES[size or person.size]) for modality in MODALITIES if person.has(modality)]


def site_of(person: Person) -> Site:
    """Return the scanner of a person."""
    return next(site for site in SITES if site.name == person.site)


def _check(sessions: int, size: str, rates: dict[str, float]) -> None:
    if size not in SIZES:
        raise InputError(
            expected=f"one of {', '.join(SIZES)}", found=repr(size), where="size", fix="choose one of these"
        )
    if sessions < 1:
        raise InputError(expected="1 or more", found=str(sessions), where="sessions", fix="ask for at least one")
    for name, rate in rates.items():
        if not 0 <= rate <= 1:
            raise InputError(expected="a share from 0 to 1", found=str(rate), where=name, fix="correct it")


def _person(number: int, seed: int, size: str, corrupted_rate: float, missing_rate: float) -> Person:
    name = participant_id(number)
    rng = random.Random(f"{seed}/{name}")
    group = _shuffled(list(GROUPS), "groups", number, seed)
    severity = round(min(max(GROUPS[group] + rng.gauss(0, 0.18), 0.0), 1.6), 3)
    age, sex = round(min(max(rng.gauss(64, 8), 42), 86)), rng.choice("MF")
    present = _present(rng, missing_rate)
    spoilt = [rng.random() < corrupted_rate for _ in MODALITIES]
    return Person(
        participant_id=name,
        session_id="n/a",
        group=group,
        site=_shuffled([site.name for site in SITES], "sites", number, seed),
        age=age,
        sex=sex,
        severity=severity,
        **dict(zip(MODALITIES, present, strict=True)),
        corrupted=tuple(m for m, here, bad in zip(MODALITIES, present, spoilt, strict=True) if here and bad),
        clinical=clinical_values(random.Random(f"{seed}/{name}/clinical"), severity, age),
        serum=serum_values(random.Random(f"{seed}/{name}/serum"), severity, age),
        size=size,
    )


def _shuffled(values: list[str], kind: str, number: int, seed: int) -> str:
    """Shuffle the values within each block of as many people, so that any cohort is balanced."""
    block, place = divmod(number - 1, len(values))
    random.Random(f"{seed}/{kind}/{block}").shuffle(values)
    return values[place]


def _present(rng: random.Random, missing_rate: float) -> list[bool]:
    draws = [rng.random() for _ in MODALITIES]
    present = [draw >= missing_rate for draw in draws]
    if not any(present):
        present[draws.index(max(draws))] = True
    return present


def _image(person: Person, modality: str, size: Size) -> ImagePlan:
    site = site_of(person)
    voxel_mm = {"anat": size.t1w_voxel_mm, "dwi": size.dwi_voxel_mm, "func": size.bold_voxel_mm}[modality]
    axes = site.t1w_axes if modality == "anat" else site.epi_axes
    shape = stored_shape(modality, voxel_mm, axes)
    timing = slice_times_s(site.slice_order, shape[2], site.repetition_time_s) if modality == "func" else ()
    metadata = sidecar(modality, site, timing)
    return ImagePlan(
        modality=modality,
        suffix=SUFFIXES[modality].split("_")[-1],
        path=files_of(person, modality)[0],
        shape=shape,
        voxel_mm=voxel_mm,
        axes=axes,
        center_mm=CENTER_MM[modality],
        tilt_deg=0.0 if modality == "anat" else site.tilt_deg,
        volumes={"anat": 1, "dwi": len(b_values(size)), "func": size.bold_volumes}[modality],
        repetition_time_s=float(str(metadata["RepetitionTime"])),
        slice_times_s=timing,
        metadata=metadata,
    )
