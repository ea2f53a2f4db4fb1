"""Several runs as one: their weights, the mean of their maps, their quality numbers together."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.quality import worst

SUMMED = ("volumes", "volumes_lost", "duration_s", "fd_num")


def usable_volumes(corrected: Sequence[dict[str, Any]], normalized: Sequence[dict[str, Any]]) -> NDArray[np.float64]:
    """Return each run's steady volumes that did not move (R,); 0 for a run that failed, where others did not."""
    volumes = np.array(
        [record["numbers"]["volumes"] - record["numbers"]["volumes_lost"] for record in corrected], float
    )
    moved = np.array([(record["numbers"]["outliers_perc"] or 0) / 100 for record in normalized])
    passed = np.array([worst([one["verdict"], other["verdict"]]) != "fail"
                       for one, other in zip(corrected, normalized, strict=True)])  # fmt: skip
    usable = np.maximum(volumes * (1 - moved), 1)
    return usable * passed if passed.any() else usable


def weighted_mean(maps: Sequence[NDArray], covered: Sequence[NDArray], weights: NDArray) -> NDArray[np.float32]:
    """Return the mean of maps (X, Y, Z) or (X, Y, Z, K) over those that cover a place; 0 where none does.

    Examples
    --------
    >>> there = np.ones((1, 1, 2), bool)
    >>> weighted_mean([there * 1.0, there * 4.0], [there, there & [True, False]], np.array([1.0, 2.0])).tolist()
    [[[3.0, 1.0]]]
    """
    shares = [weight * mask for weight, mask in zip(weights, covered, strict=True)]
    total = np.sum(shares, axis=0)
    scaled = [np.divide(share, total, out=np.zeros(total.shape), where=total > 0) for share in shares]
    parts = [data * (share[..., None] if data.ndim == 4 else share) for data, share in zip(maps, scaled, strict=True)]
    return np.sum(parts, axis=0).astype(np.float32)


def together(
    records: Sequence[dict[str, Any]], weights: NDArray, names: Sequence[str]
) -> tuple[dict[str, float], str, list[str]]:
    """Return the numbers, the verdict and the reasons of several runs as those of one.

    Counts are summed and `fd_max` is the largest; other numbers are means weighted by the usable volumes.

    Parameters
    ----------
    records : sequence of dict
        As `read_quality` returns them.
    weights : array (R,)
        Usable volumes; 0 leaves a run out.
    names : sequence of str
        Of the runs.
    """
    used = [(record, weight) for record, weight in zip(records, weights, strict=True) if weight > 0]
    numbers = {name: _one_number(name, used) for name in used[0][0]["numbers"]}
    reasons = [f"{name}: {reason}" for record, name in zip(records, names, strict=True) for reason in record["reasons"]]
    out = [f"{name} failed and is left out" for name, weight in zip(names, weights, strict=True) if weight == 0]
    verdict = worst([record["verdict"] for record, _ in used] + ["warn"] * bool(out))
    return numbers, verdict, [*out, *reasons]


def _one_number(name: str, used: Sequence[tuple[dict[str, Any], float]]) -> float:
    known = [(record["numbers"][name], weight) for record, weight in used if record["numbers"].get(name) is not None]
    if not known:
        return float("nan")
    values, weights = np.array(known, float).T
    if name in SUMMED:
        return float(values.sum())
    return float(values.max() if name == "fd_max" else np.average(values, weights=weights))
