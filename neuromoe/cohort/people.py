"""Who is who: labels, participants, families, sites and sessions of the rows of a cohort."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuromoe.cohort.tables import check_length
from neuromoe.core.errors import InputError

# What numpy and BIDS make of a missing label in a column of text; others may be names of classes.
_UNLABELED = ("nan", "n/a")


def people(
    count: int,
    labels: ArrayLike | None = None,
    participants: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    sites: ArrayLike | None = None,
    sessions: ArrayLike | None = None,
) -> dict[str, Any]:
    """Bring labels to objects (None = unlabeled) and names to text, one per row."""
    columns = {
        "labels": labels,
        "participants": participants,
        "groups": groups,
        "sites": sites,
        "sessions": sessions,
    }
    for name, values in columns.items():
        if values is not None:
            check_length(values, count, name)
    kept = np.empty(count, object)
    kept[:] = [None] * count if labels is None else [_label(label) for label in np.asarray(labels, object)]
    who = _texts(participants, np.arange(count).astype(str), "unnamed-")
    return {
        "labels": kept,
        "participants": who,
        "groups": _joined(_texts(groups, who, "family-of-"), who),
        "sites": _texts(sites, np.full(count, ""), ""),
        "sessions": _texts(sessions, np.full(count, ""), ""),
    }


def _label(value: Any) -> Any:
    label = _plain(value) if np.ndim(value) == 0 else value
    if not isinstance(label, str | int | float | None) or label in (np.inf, -np.inf):
        raise InputError(
            expected="labels that are text, whole or finite numbers, or True and False; None or NaN where unlabeled",
            found=f"{type(value).__name__} {value!r}",
            where="labels",
            fix="name the classes by text",
        )
    return None if label in _UNLABELED else label


def _texts(values: ArrayLike | None, instead: NDArray, start: str) -> NDArray:
    """Bring names to text; one that is missing is another's, with a start of its own lest it be a given name."""
    if values is None:
        return instead
    plain = [_plain(value) for value in np.asarray(values, object).ravel()]
    known = {str(value) for value in plain if value is not None}
    spare = [f"{start}{other}" if other in known else str(other) for other in instead]
    return np.array([other if value is None else str(value) for value, other in zip(plain, spare, strict=True)])


def _joined(groups: NDArray, participants: NDArray) -> NDArray:
    """Give groups that share a participant one name, that of their first row."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    (names, mine), (others, who) = (np.unique(column, return_inverse=True) for column in (groups, participants))
    count = len(names) + len(others)
    links = coo_array((np.ones(len(mine)), (mine, len(names) + who)), shape=(count, count))
    _, first, family = np.unique(
        connected_components(links, directed=False)[1][mine], return_index=True, return_inverse=True
    )
    return groups[first[family]]


def _plain(value: Any) -> Any:
    import pandas as pd

    if value is None or pd.isna(value):
        return None
    return value.item() if isinstance(value, np.generic) else value
