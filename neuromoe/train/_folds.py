"""Frozen splits: the participant or family is the unit, classes (and sites) are spread evenly.

Axis letters: G groups, K class, S class and site, P part.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.errors import InputError

SCHEMES = ("kfold", "single", "leave-one-site-out")


@dataclass(frozen=True, eq=False)
class People:
    """Labeled participants.

    Parameters
    ----------
    names : array (N,), str
        Participants, sorted, each once.
    classes : array (N,), str
        Class of each.
    groups : array (N,), str
        Family of each; never in two parts.
    sites : array (N,), str
        Site of each; empty where unknown.
    """

    names: NDArray
    classes: NDArray
    groups: NDArray
    sites: NDArray

    def __len__(self) -> int:
        return len(self.names)

    def take(self, rows: NDArray) -> "People":
        """Keep some of them."""
        return People(self.names[rows], self.classes[rows], self.groups[rows], self.sites[rows])


def deal(people: People, parts: int, rng: np.random.Generator) -> NDArray:
    """Deal groups into parts so that each class, and within it each site, is spread evenly.

    The largest groups go first; each goes where its classes are rarest so far, then where its sites are, then
    to the smallest part. With groups of one person, a class's count differs by at most one between parts.

    Parameters
    ----------
    people : People
        N of them.
    parts : int
        How many.
    rng : Generator
        Breaks ties.

    Returns
    -------
    array (N,), int
        The part of each person.
    """
    _, group_of = np.unique(people.groups, return_inverse=True)
    _, class_of = np.unique(people.classes, return_inverse=True)
    stratum_names = np.char.add(np.char.add(people.classes.astype(str), "\t"), people.sites.astype(str))
    _, stratum_of = np.unique(stratum_names, return_inverse=True)
    groups_GK, groups_GS = _counts(group_of, class_of), _counts(group_of, stratum_of)
    groups_GK, totals_K = groups_GK / groups_GK.sum(axis=0), groups_GK.sum(axis=1)
    order = rng.permutation(len(totals_K))
    # Within a size, class by class and site by site, so that what one leaves uneven the next one evens out.
    order = order[np.lexsort((groups_GS[order].argmax(1), groups_GK[order].argmax(1), -totals_K[order]))]
    full_PK, full_PS = np.zeros((parts, groups_GK.shape[1])), np.zeros((parts, groups_GS.shape[1]))
    size_P, part_G = np.zeros(parts), np.empty(len(order), int)
    for group in order:
        crowding = np.round(full_PK @ groups_GK[group], 9)
        chosen = np.lexsort((rng.permutation(parts), size_P, full_PS @ groups_GS[group], crowding))[0]
        part_G[group] = chosen
        full_PK[chosen] += groups_GK[group]
        full_PS[chosen] += groups_GS[group]
        size_P[chosen] += totals_K[group]
    return part_G[group_of]


def _counts(rows: NDArray, columns: NDArray) -> NDArray:
    table = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(table, (rows, columns), 1)
    return table


def make_folds(
    people: People, *, scheme: str, folds: int, repeats: int, validation_share: float, seed: int
) -> list[dict[str, Any]]:
    """Split people for training, inner validation and test.

    Parameters
    ----------
    people : People
        Labeled participants.
    scheme : str
        `kfold`: everybody is tested once per repeat. `single`: 50 % train, 25 % validation, 25 % test, drawn
        anew in each repeat. `leave-one-site-out`: each site is tested by the others; a family member
        elsewhere sits out.
    folds, repeats : int
        Folds of `kfold`; repeats of all schemes (only the inner validation is drawn anew where sites are left
        out).
    validation_share : float
        Of the people who are not tested; not used by `single`.
    seed : int
        Of all draws.

    Returns
    -------
    list of dict
        `repeat` and `fold` from 0, and the sorted names of `train`, `val` and `test`.

    Raises
    ------
    InputError
        There are too few people, classes or sites.
    """
    check_enough(people, scheme=scheme, folds=folds)
    result = []
    for repeat in range(repeats):
        rng = np.random.default_rng([seed, repeat])
        for fold, (test, rest) in enumerate(_tests(people, scheme, folds, rng)):
            parts = 3 if scheme == "single" else max(2, round(1 / validation_share))
            train, val = _inner(people, rest, parts, rng)
            chosen = {"train": train, "val": val, "test": test}
            named = {part: people.names[rows].tolist() for part, rows in chosen.items()}
            result.append({"repeat": repeat, "fold": fold, **named})
    return result


def _tests(people: People, scheme: str, folds: int, rng: np.random.Generator) -> list[tuple[NDArray, NDArray]]:
    """Return the rows to test and those left for the rest, per fold."""
    if scheme == "leave-one-site-out":
        pairs = []
        for site in np.unique(people.sites):
            here = people.sites == site
            kin = np.isin(people.groups, people.groups[here])
            pairs.append((np.flatnonzero(here), np.flatnonzero(~here & ~kin)))
        return pairs
    part = deal(people, 4 if scheme == "single" else folds, rng)
    chosen = range(1 if scheme == "single" else folds)
    return [(np.flatnonzero(part == number), np.flatnonzero(part != number)) for number in chosen]


def _inner(people: People, rest: NDArray, parts: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Take one of `parts` as validation: the first that leaves every class to train on."""
    part = deal(people.take(rest), parts, rng)
    classes = set(people.classes[rest])
    for number in range(parts):
        train, val = rest[part != number], rest[part == number]
        if len(val) and set(people.classes[train]) == classes:
            return train, val
    return rest, rest[:0]


def check_enough(people: People, *, scheme: str, folds: int) -> None:
    """Raise InputError where the people cannot be split so."""
    if scheme not in SCHEMES or folds < 2:
        raise InputError(
            expected=f"a scheme of {', '.join(SCHEMES)}, and at least 2 folds",
            found=f"{scheme!r} with {folds}",
            where="train.split",
            fix="correct the setting",
        )
    sites = sorted(set(people.sites) - {""})
    if scheme == "leave-one-site-out" and (len(sites) < 2 or "" in people.sites):
        raise InputError(
            expected="a site for everybody, and at least 2 sites",
            found=f"{len(sites)} sites, {int((people.sites == '').sum())} people without",
            where="the clinical table",
            fix="set site_column, or choose another scheme",
        )
    needed = {"kfold": folds, "single": 4, "leave-one-site-out": 2}[scheme]
    groups = {str(label): len(set(people.groups[people.classes == label])) for label in np.unique(people.classes)}
    few = {label: count for label, count in groups.items() if count < needed}
    if few or len(groups) < 2:
        raise InputError(
            expected=f"at least 2 classes of at least {needed} unrelated people each",
            found=", ".join(f"{label}: {count}" for label, count in groups.items()) or "nobody with a label",
            where="the clinical table",
            fix="use fewer folds, join or leave out the small classes, or add people",
        )


def content_hash(split: Mapping[str, Any]) -> str:
    """Hash a split's content, its own `hash` aside (sha256, hex)."""
    content = {key: value for key, value in split.items() if key != "hash"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
