"""Distortion of a BOLD run without a fieldmap, corrected by registration to the T1w."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.provenance import read_metadata
from neuromoe.func._registration import Placement, brain_share, mask_problems
from neuromoe.imaging.gradients import stored_affine
from neuromoe.imaging.images import Image, load_image
from neuromoe.imaging.transforms import Affine
from neuromoe.registration.distortion import Undistorted, phase_axis, undistort_by_t1w


@dataclass(frozen=True, eq=False)
class Found:
    """Where the reference lies after the correction, the correction or None, and what the sidecar says of it."""

    place: Placement
    fixed: Undistorted | None
    record: Mapping[str, Any] = field(default_factory=dict)


def undistort_by_registration(
    reference: Image,
    bright: NDArray,
    place: Placement,
    bold: Path,
    sidecars: Sequence[Path] | None,
    t1w: Path | None,
    t1w_mask: Path | None,
    *,
    max_shift_mm: float,
    seed: int,
) -> Found:
    """Take the distortion out of the reference where that makes its registration to the T1w better.

    Parameters
    ----------
    reference : Image (X, Y, Z)
    bright : bool array (X, Y, Z)
        Its brain by brightness.
    place : Placement
        Where it lies as it is.
    bold, sidecars
        The run and its JSON files, which must tell the axis of phase encoding.
    t1w, t1w_mask : path
    max_shift_mm : float
    seed : int

    Returns
    -------
    Found
        With a note among the placement's problems where nothing was corrected.
    """
    metadata = read_metadata(sidecars)
    direction = metadata.get("PhaseEncodingDirection") or metadata.get("PhaseEncodingAxis") or ""
    axis = phase_axis(str(direction), stored_affine(bold))
    if t1w is None or t1w_mask is None:
        return _unchanged(place, "there is no T1w with a brain mask")
    if axis is None:
        return _unchanged(place, "the run does not say its PhaseEncodingDirection")
    head, inside = load_image(t1w, ndim=3), load_image(t1w_mask, ndim=3)
    if mask_problems(inside):
        return _unchanged(place, "the T1w's brain mask cannot be used")
    found = undistort_by_t1w(
        reference, reference.like(bright), head, inside, place.found, axis=axis, max_shift_mm=max_shift_mm, seed=seed
    )
    record = found.record(axis)
    if found.undistorted is None:
        return replace(_unchanged(place, "the registration is no better without it"), record=record)
    matrix = found.place.matrix
    share = brain_share(inside, reference, (Affine(np.linalg.inv(matrix)),))
    return Found(replace(place, chain=(Affine(matrix),), brain=share, found=found.place), found.undistorted, record)


def _unchanged(place: Placement, why: str) -> Found:
    return Found(replace(place, problems=(*place.problems, f"distortion stays in: {why}")), None)
