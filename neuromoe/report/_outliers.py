"""Which sessions' quality numbers lie far from the others'."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Flag = tuple[str, str, float, float]

LIMIT = 3.5
SMALLEST_GROUP = 10


def robust_z(values: ArrayLike) -> NDArray:
    """Return the modified z-score of each value (N,).

    Where more than half of the values are equal, the mean absolute deviation takes the place of the median
    one. Fewer than 5 values, or all equal ones, score 0; a missing value scores NaN.

    References
    ----------
    Iglewicz B, Hoaglin DC. How to detect and handle outliers. ASQC Quality Press 1993.

    Examples
    --------
    >>> robust_z([1, 2, 3, 4, 5, 60]).round(1).tolist()
    [-1.1, -0.7, -0.2, 0.2, 0.7, 25.4]
    """
    x = np.asarray(values, float)
    known = np.isfinite(x)
    if known.sum() < 5:
        return np.where(known, 0.0, np.nan)
    distance = x - np.median(x[known])
    spread = 1.4826 * np.median(np.abs(distance[known])) or 1.2533 * np.mean(np.abs(distance[known]))
    return np.where(known, distance / spread if spread > 0 else 0.0, np.nan)


def scores(values: ArrayLike, sites: Sequence[str]) -> NDArray:
    """Return modified z-scores (N,), within a site of at least 10 values, otherwise among everybody."""
    x = np.asarray(values, float)
    z = robust_z(x)
    names = np.array(sites, dtype=object)
    for site in dict.fromkeys(sites):
        own = names == site
        if np.isfinite(x[own]).sum() >= SMALLEST_GROUP:
            z[own] = robust_z(x[own])
    return z


def flags(quality: Mapping[str, Mapping[str, Mapping[str, float]]], sites: Mapping[str, str]) -> dict[str, list[Flag]]:
    """Find the outliers of a cohort.

    Parameters
    ----------
    quality : mapping
        Session, then modality, then number's name, to value.
    sites : mapping
        Session to site.

    Returns
    -------
    dict
        Session to a list of (modality, number, value, z); sessions without an outlier are left out.
    """
    found: dict[str, list[Flag]] = {}
    for modality, number in numbers_of(quality):
        keys = [key for key in quality if number in quality[key].get(modality, {})]
        values = [quality[key][modality][number] for key in keys]
        for key, value, z in zip(keys, values, scores(values, [sites.get(key, "n/a") for key in keys]), strict=True):
            if abs(z) > LIMIT:
                found.setdefault(key, []).append((modality, number, value, float(z)))
    return found


def numbers_of(quality: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[tuple[str, str]]:
    """List the quality numbers that any session has, as (modality, name), in order of appearance."""
    seen: dict[tuple[str, str], None] = {}
    for by_modality in quality.values():
        for modality, numbers in by_modality.items():
            seen.update(dict.fromkeys((modality, name) for name in numbers))
    return sorted(seen, key=lambda pair: pair[0])
