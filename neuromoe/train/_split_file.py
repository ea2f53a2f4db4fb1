"""The door to a frozen split."""

from dataclasses import dataclass
from pathlib import Path

from neuromoe.core.errors import InputError
from neuromoe.core.saving import read_facts
from neuromoe.train._folds import content_hash


@dataclass(frozen=True)
class Fold:
    """Names of the participants of one fold."""

    train: frozenset[str]
    val: frozenset[str]
    test: frozenset[str]


def read_fold(split: Path, repeat: int, fold: int) -> Fold:
    """Read one fold and check that the file is as it was written.

    Raises
    ------
    InputError
        The file was changed, has no such fold, or somebody is in two of its parts.
    """
    content = read_facts(split)
    if content.get("hash") != content_hash(content):
        raise InputError(
            expected="the split as it was frozen",
            found="a hash that does not fit the content",
            where=split,
            fix="run `train split` again, and every fit after it",
        )
    for one in content["folds"]:
        if (one["repeat"], one["fold"]) == (repeat, fold):
            parts = Fold(frozenset(one["train"]), frozenset(one["val"]), frozenset(one["test"]))
            check_disjoint({"train": parts.train, "val": parts.val, "test": parts.test}, "participants", split)
            return parts
    known = len(content["folds"])
    raise InputError(
        expected=f"one of the split's {known} fits, counted from repeat 0 and fold 0",
        found=f"repeat {repeat}, fold {fold}",
        where=split,
        fix="ask for a fold that is there",
    )


def check_disjoint(parts: dict[str, frozenset[str]], what: str, where: Path) -> None:
    """Raise InputError where two parts share a name."""
    names = list(parts)
    for first, second in ((a, b) for i, a in enumerate(names) for b in names[i + 1 :]):
        shared = sorted(parts[first] & parts[second])
        if shared:
            raise InputError(
                expected=f"no {what} in both {first} and {second}",
                found=", ".join(shared[:5]),
                where=where,
                fix="run `train split` again with the right group_column",
            )
