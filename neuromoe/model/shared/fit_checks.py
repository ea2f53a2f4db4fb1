"""What rows, labels and classes must be before a model is fitted on them, or asked of them."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuromoe.cohort.cohort import Cohort
from neuromoe.core.errors import InputError


def check_positions(cohort: Cohort, positions: ArrayLike, name: str) -> NDArray:
    """Return integer positions, or raise InputError where they are none or out of range."""
    try:
        rows = np.asarray(positions)
    except ValueError:
        rows = np.asarray(positions, object)
    rows = rows.astype(np.int64) if rows.size == 0 else rows
    whole = rows.ndim == 1 and rows.dtype.kind in "iu"
    if not whole or (rows.size and not 0 <= rows.min() <= rows.max() < len(cohort)):
        found = f", {rows.min()} to {rows.max()}" if whole else ""
        raise InputError(
            expected=f"integer positions from 0 to {len(cohort) - 1}",
            found=f"{rows.dtype} of shape {rows.shape}{found}",
            where=name,
            fix="use numpy.flatnonzero on a boolean mask",
        )
    return rows.astype(np.int64)


def check_labels(cohort: Cohort, train: NDArray, val: NDArray | None) -> None:
    """Raise InputError unless everybody is labeled, there are classes to learn, and no family is on both sides."""
    both = train if val is None else np.concatenate([train, val])
    unlabeled = [str(cohort.participants[row]) for row in both if cohort.labels[row] is None]
    known = set(cohort.labels[train]) - {None}
    shared = [] if val is None else sorted(set(cohort.groups[train]) & set(cohort.groups[val]))
    strange = set() if val is None else set(cohort.labels[val]) - known - {None}
    problems = [
        (
            unlabeled,
            "a label for everybody",
            f"none for {', '.join(unlabeled[:5])}",
            "leave the unlabeled out",
        ),
        (len(known) < 2, "at least two classes", f"{len(known)}: {sorted(map(str, known))}", "add people"),
        (shared, "nobody in both train and val", f"{', '.join(shared[:5])} in both", "split by participant or family"),
        (strange, "val of the classes of train", f"{sorted(map(str, strange))} as well", "split by class"),
    ]
    for wrong, expected, found, fix in problems:
        if wrong:
            raise InputError(expected=expected, found=found, where="the people to fit on", fix=fix)


def sorted_classes(labels: NDArray) -> NDArray:
    """Return the different labels in order, or raise InputError where they have none."""
    try:
        return np.array(sorted(set(labels)))
    except TypeError as err:
        kinds = sorted({type(label).__name__ for label in labels})
        raise InputError(
            expected="labels of one type",
            found=", ".join(kinds),
            where="labels",
            fix="make all of them text or numbers",
        ) from err
