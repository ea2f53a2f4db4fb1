"""Where a diffusion series lies: in the T1w, with or without its distortion, or straight in the template."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from neuromoe.core.errors import InputError
from neuromoe.imaging.images import Image, dice, load_image, resample
from neuromoe.imaging.transforms import Affine, Chain, read_transform
from neuromoe.registration.coregister import Coregistration, lay_on_t1w
from neuromoe.registration.distortion import undistort_by_t1w


@dataclass(frozen=True)
class Anatomy:
    """Files of the T1w: itself, its brain mask, its way to the template, its white matter (for epi_reg alone)."""

    t1w: Path
    mask: Path | None
    to_template: Path | None
    white: Path | None = None


@dataclass(frozen=True)
class Settings:
    """See `neuromoe.dwi.normalize.normalize`."""

    max_shift_mm: float = 30.0
    distortion: str = "none"
    max_distortion_mm: float = 15.0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Placement:
    """How the series was brought to its target.

    Parameters
    ----------
    chain : tuple of transforms
        Template world to the world of the series.
    written : tuple of transforms
        The part of it found here.
    numbers : mapping of str to float
        Quality numbers.
    notes : tuple of str
        What the user should know.
    distortion : mapping
        What the sidecars say of its correction; empty where none was tried.
    """

    chain: Chain
    written: Chain
    numbers: Mapping[str, float]
    notes: tuple[str, ...] = ()
    distortion: Mapping[str, Any] = field(default_factory=dict)


def place_in_t1w(
    b0: Image, brain: Image, anatomy: Anatomy, settings: Settings, metadata: Mapping[str, Any]
) -> Placement:
    """Register the mean b=0 volume to the T1w, and take its distortion out where that is asked for and helps.

    Parameters
    ----------
    b0, brain : Image (X, Y, Z)
        Mean b=0 volume and its brain mask.
    anatomy : Anatomy
    settings : Settings
    metadata : mapping
        The sidecar that the step `correct` wrote.

    Raises
    ------
    InputError
        The T1w comes without its mask or its way to the template.
    """
    if anatomy.mask is None or anatomy.to_template is None:
        raise InputError(
            expected="a T1w with its brain mask and its transform to the template",
            found="the T1w alone", where=anatomy.t1w, fix="give t1w_mask and t1w_to_template, or leave t1w out",
        )  # fmt: skip
    head, inside = load_image(anatomy.t1w, ndim=3), load_image(anatomy.mask, ndim=3)
    found = _rigid(b0, brain, head, inside, anatomy.white, settings)
    print(f"registered to the T1w from the start {found.start}, score {found.score:.3f}", flush=True)
    to_template = read_transform(anatomy.to_template)
    why_not = why_not_undistorted(settings, metadata)
    if settings.distortion == "none" or why_not:
        return _placed(to_template, found, (), b0, brain, inside, notes=why_not)
    axis = "ijk".index(metadata["PhaseEncodingAxis"])
    limit_mm, seed = settings.max_distortion_mm, settings.seed
    fixed = undistort_by_t1w(b0, brain, head, inside, found, axis=axis, max_shift_mm=limit_mm, seed=seed)
    print(f"distortion along {'ijk'[axis]}: { {name: round(v, 3) for name, v in fixed.numbers.items()} }", flush=True)
    way = (fixed.undistorted.way,) if fixed.undistorted else ()
    notes = () if way else ("distortion stays in: the registration is no better without it",)
    return _placed(to_template, fixed.place, way, b0, brain, inside, notes, fixed.record(axis))


def _rigid(
    b0: Image, brain: Image, head: Image, inside: Image, white: Path | None, settings: Settings
) -> Coregistration:
    limits: dict[str, Any] = {"seed": settings.seed, "max_shift_mm": settings.max_shift_mm}
    matter = load_image(white, ndim=3) if white else None
    return lay_on_t1w(b0, head, moving_mask=brain, fixed_mask=inside, white=matter, **limits)


def why_not_undistorted(settings: Settings, metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Say why a correction that is asked for is not made, given the sidecar of the corrected series; empty if it is."""
    if settings.distortion == "none":
        return ()
    if metadata.get("Parameters", {}).get("fieldmap_backend") == "fsl":
        return ("distortion was taken out by topup already: not again by registration",)
    if metadata.get("PhaseEncodingAxis") not in ("i", "j", "k"):
        return ("distortion stays in: the series does not say its PhaseEncodingDirection",)
    return ()


def _placed(
    to_template: Chain,
    place: Coregistration,
    way: Chain,
    b0: Image,
    brain: Image,
    inside: Image,
    notes: tuple[str, ...] = (),
    record: Mapping[str, Any] | None = None,
) -> Placement:
    own = (Affine(place.matrix), *way)
    share = resample(inside, b0.grid, [Affine(np.linalg.inv(place.matrix))])
    straight = resample(brain, b0.grid, way)
    numbers = {"coregistration_score": place.score, "t1_dice_distance": 1 - dice(straight > 0.5, share > 0.5)}
    numbers |= {name: value for name, value in (record or {}).items() if name.startswith("distortion_")}
    return Placement((*to_template, *own), own, numbers, notes, record or {})
