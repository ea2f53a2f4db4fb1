"""What maps, and what is given by their names, must be before they are a cohort."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuromoe.core.errors import InputError

# The clinical expert, and the expert of kernel-moe on all modalities at once.
_RESERVED = ("clinical", "joint")
# Names are parts of file names, of keys of saved arrays (joined by dots) and of patterns (joined by +).
_NAME = re.compile(r"[\w-]+")


def as_volumes(volumes: ArrayLike, name: str) -> NDArray:
    """Return maps as an array, or raise InputError where they are no real numbers."""
    try:
        array = np.asarray(volumes)
        array = array.astype(np.float32) if array.dtype == object else array
    except (TypeError, ValueError):
        array = np.asarray(volumes, object)
    if array.dtype.kind not in "fiub":
        raise InputError(
            expected="an array of real numbers (N, C, D, H, W)",
            found=f"{array.dtype} of shape {array.shape}",
            where=f"the maps of {name}",
            fix="stack the maps of all people on one grid; what stands where `present` is False does not matter",
        )
    return array


def check_names(names: Iterable[Any], where: str | Path) -> None:
    """Raise InputError unless all are names that a modality can have."""
    if not isinstance(names, Mapping):
        raise InputError(
            expected="maps by the name of their modality",
            found=type(names).__name__,
            where=where,
            fix='write, say, {"anat": volumes}',
        )
    wrong = [name for name in names if name in _RESERVED or not (isinstance(name, str) and _NAME.fullmatch(name))]
    if wrong:
        raise InputError(
            expected=f"names of imaging modalities: letters, digits, - and _, but not {' or '.join(_RESERVED)}",
            found=", ".join(map(repr, wrong)),
            where=where,
            fix="give these maps other names",
        )


def check_keys(given: Iterable[Any] | None, maps: Iterable[str], where: str, instead: Mapping[str, str]) -> None:
    """Raise InputError unless all keys of `given` are modalities; `instead` has the fix for some that are not."""
    known = list(maps)
    unknown = [key for key in given or () if key not in known]
    if unknown:
        fixes = dict.fromkeys(instead.get(key, "spell the keys as in `maps`, or leave them out") for key in unknown)
        raise InputError(
            expected=f"keys among the modalities of the maps, {', '.join(known) or 'none'}",
            found=", ".join(map(repr, unknown)),
            where=where,
            fix="; ".join(fixes),
        )


def check_places(places_T3: NDArray, modalities: Iterable[str], where: str | Path, fix: str) -> None:
    """Raise InputError where there are modalities but no patch of them to read."""
    if not len(places_T3) and list(modalities):
        raise InputError(expected="at least one voxel of brain", found="none", where=where, fix=fix)


def common_shape(volumes: Mapping[str, NDArray], mask: ArrayLike | None) -> tuple[int, ...]:
    """Return the grid (D, H, W) that all volumes and the mask share; (0, 0, 0) where there is none."""
    shapes = {name: volume.shape[2:] for name, volume in volumes.items()}
    wrong = {name: volume.shape for name, volume in volumes.items() if volume.ndim != 5}
    if mask is not None:
        shapes["mask"] = np.shape(mask)
    if wrong or len(set(shapes.values())) > 1:
        raise InputError(
            expected="maps (N, C, D, H, W) and a mask (D, H, W) on one grid",
            found=", ".join(f"{name} {shape}" for name, shape in (wrong or shapes).items()),
            where="Cohort.from_arrays",
            fix="resample all modalities to one grid",
        )
    return next(iter(shapes.values()), (0, 0, 0))


def named_channels(names: Iterable[Any], volume: NDArray, modality: str) -> list[str]:
    """Return the names of a modality's channels as text, or raise InputError unless each channel has one of its own."""
    listed = [names] if isinstance(names, str) else [str(name) for name in names]
    if len(listed) != volume.shape[1] or len(set(listed)) != len(listed):
        raise InputError(
            expected=f"{volume.shape[1]} different names",
            found=", ".join(listed) or "none",
            where=f"channels[{modality!r}]",
            fix="name each channel of the maps once, in their order",
        )
    return listed
