"""Parts of the training people: for early stopping, for choosing a penalty, for calibrating."""

import numpy as np
from numpy.typing import NDArray


def inner_parts(groups: NDArray, labels: NDArray, parts: int, seed: int) -> NDArray:
    """Deal people into parts of alike class mix, a group never into two.

    Parameters
    ----------
    groups : array (n,)
        Participant or family of each row.
    labels : array (n,)
        Class of each row.
    parts : int
        How many.
    seed : int
        Of the order in which they are dealt.

    Returns
    -------
    array (n,), int
        Part of each row. A class of fewer groups than parts is absent from some of them.
    """
    names, first, where = np.unique(groups, return_index=True, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    # A group counts as the class of its first row; dealt class by class, each going on where the last one
    # stopped.
    order = order[np.argsort(labels[first][order], kind="stable")]
    part = np.empty(len(names), int)
    part[order] = np.arange(len(names)) % parts
    return part[where]


def split_inner(groups: NDArray, labels: NDArray, share: float, seed: int) -> tuple[NDArray, NDArray]:
    """Set a share of the people aside.

    A class keeps at least one group on the larger side; one with a single group is not set aside.

    Parameters
    ----------
    groups, labels : array (n,)
        As in :func:`inner_parts`.
    share : float
        Share of each class's groups to set aside, 0 to 0.5.
    seed : int
        Of the draw.

    Returns
    -------
    kept, aside : array, int
        Rows 0..n-1.
    """
    rng = np.random.default_rng(seed)
    names, first = np.unique(groups, return_index=True)
    chosen: list[NDArray] = []
    for label in np.unique(labels):
        mine = rng.permutation(names[labels[first] == label])
        count = min(max(round(share * len(mine)), int(share > 0)), len(mine) - 1)
        chosen.append(mine[: max(count, 0)])
    aside = np.isin(groups, np.concatenate(chosen))
    # A family of several classes may have taken a class's last people with it.
    if len(np.unique(labels[~aside])) < len(np.unique(labels)):
        aside[:] = False
    return np.flatnonzero(~aside), np.flatnonzero(aside)
