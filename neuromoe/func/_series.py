"""The BOLD series with what its header and sidecars say about time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from neuromoe.core.errors import InputError
from neuromoe.core.provenance import read_metadata
from neuromoe.imaging.images import Image, load_image

LEAST_VOLUMES = 10
SHORT_VOLUMES = 60
SHORT_S = 120.0
_SECONDS = {"msec": 1e-3, "usec": 1e-6}


@dataclass(frozen=True, eq=False)
class Series:
    """A BOLD run.

    Parameters
    ----------
    image : Image (X, Y, Z, V)
        In closest RAS+ order.
    repetition_time_s : float
        Time between volumes, s.
    slice_axis : int
        Axis of `image` along which slices were excited.
    slice_times_s : array (slices,) or None
        When each slice along that axis was excited, s after the volume's start; None where unknown.
    """

    image: Image
    repetition_time_s: float
    slice_axis: int = 2
    slice_times_s: NDArray | None = None


def read_series(bold: Path, sidecars: Sequence[Path] | None) -> Series:
    """Read a BOLD run and check it.

    Raises
    ------
    InputError
        Too few volumes, no repetition time, one that contradicts the header, or slice times that do not fit.
    """
    metadata = read_metadata(sidecars)
    stored: Any = nib.load(bold)
    image = load_image(bold, ndim=4)
    if image.data.shape[3] < LEAST_VOLUMES:
        raise InputError(
            expected=f"at least {LEAST_VOLUMES} volumes",
            found=str(image.data.shape[3]),
            where=bold,
            fix="leave it out by config func.select, or give the whole run",
        )
    repetition_time_s = repetition_time(metadata, header_repetition_time(stored.header), bold)
    axis, reverse = slice_axis(stored.affine, metadata.get("SliceEncodingDirection", "k"))
    times = slice_times(metadata, image.data.shape[axis], repetition_time_s, reverse=reverse, where=bold)
    return Series(image, repetition_time_s, axis, times)


def header_repetition_time(header: Any) -> float:
    """Return the header's fourth voxel size in s; 0 where it says nothing."""
    zooms = header.get_zooms()
    unit = header.get_xyzt_units()[1] if hasattr(header, "get_xyzt_units") else "sec"
    return float(zooms[3]) * _SECONDS.get(unit, 1.0) if len(zooms) > 3 else 0.0


def repetition_time(metadata: Mapping[str, Any], header_s: float, where: Path) -> float:
    """Return the repetition time in s from the sidecar, or the header where the sidecar has none.

    Raises
    ------
    InputError
        Neither states one, it is not between 0.1 and 30 s, or the two differ by more than 1 %.
    """
    stated = metadata.get("RepetitionTime")
    # Converters that know nothing write 0 or 1 into the header: no statement, unless it is all there is.
    if stated is not None and header_s not in (0.0, 1.0) and abs(header_s - stated) > 0.01 * float(stated):
        raise InputError(
            expected=f"the sidecar's RepetitionTime, {stated:g} s, in the header",
            found=f"{header_s:g} s",
            where=where,
            fix="correct the wrong one of the two; the JSON is in seconds",
        )
    value = float(header_s if stated is None else stated)
    if not 0.1 <= value <= 30:
        raise InputError(
            expected="a RepetitionTime of 0.1 to 30 s",
            found=f"{value:g} s" if value else "none in sidecar or header",
            where=where,
            fix="put RepetitionTime in seconds into the image's JSON file",
        )
    return value


def slice_axis(stored_affine: NDArray, direction: str = "k") -> tuple[int, bool]:
    """Tell which RAS+ axis the slices lie along, and whether `SliceTiming` runs against it.

    Parameters
    ----------
    stored_affine : array (4, 4)
        Voxel to world of the image as stored, before any reorientation.
    direction : str, default="k"
        SliceEncodingDirection: the stored axis (i, j, k); with "-", SliceTiming begins at the last slice.

    Examples
    --------
    >>> slice_axis(np.diag([-2.0, 2, 3, 1]), "k"), slice_axis(np.diag([2.0, 2, -3, 1]), "k")
    ((2, False), (2, True))
    """
    target, sign = nib.io_orientation(stored_affine)["ijk".index(direction[0])]
    return int(target), bool((sign < 0) != direction.endswith("-"))


def slice_times(
    metadata: Mapping[str, Any], slices: int, repetition_time_s: float, *, reverse: bool, where: Path
) -> NDArray | None:
    """Return when each slice in RAS+ order was excited, s, or None where the metadata do not say.

    Raises
    ------
    InputError
        There are more or fewer times than slices, or times outside the repetition time.
    """
    stated = metadata.get("SliceTiming")
    if not stated or metadata.get("SliceTimingCorrected"):
        return None
    times = np.asarray(stated, float)
    if len(times) != slices or times.min() < 0 or times.max() >= repetition_time_s * 1.001:
        raise InputError(
            expected=f"SliceTiming of {slices} times from 0 to {repetition_time_s:g} s",
            found=f"{len(times)} times from {times.min():g} to {times.max():g}",
            where=where,
            fix="correct SliceTiming (seconds) or SliceEncodingDirection in the JSON, or remove them",
        )
    times = times[::-1] if reverse else times
    return None if np.ptp(times) == 0 else times


def short_reason(volumes: int, repetition_time_s: float) -> list[str]:
    """Say so where a run is too short for reliable maps."""
    duration_s = volumes * repetition_time_s
    if volumes >= SHORT_VOLUMES and duration_s >= SHORT_S:
        return []
    return [f"short: {volumes} volumes, {duration_s:.0f} s (reliable from {SHORT_VOLUMES} and {SHORT_S:.0f} s)"]
