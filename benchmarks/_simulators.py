"""Cohorts made in memory whose truth is known, in four kinds that ask different things of a model.

`additive`: each class raises fixed places; scans are spoilt, and a noisy quality number tells of it.
`corrupted`: the same, but half of the scans are spoilt, and next to nothing is left in them.
`deformed`: no place is raised on average; the class lies in sizes, directions and spreads of structures that wander.
`interacting`: the class is the product of two modalities' hidden signs; the quality numbers mean nothing.

Axis letters: N people, M modality, X Y Z voxels, K class.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from neuromoe.model import Cohort

SIDE = 24
MODALITIES = ("anat", "dwi", "func")
EXTERNAL = 400
# Structures are the same in all cohorts of a simulator: cohorts differ in people, not in the disorder.
_WORLD = {"additive": 1001, "deformed": 1002, "interacting": 1003, "corrupted": 1004}


@dataclass(frozen=True, eq=False)
class Simulated:
    """A cohort: people to train on, people of another draw to test on.

    Parameters
    ----------
    cohort : Cohort
        Both.
    train, external : array, int
        Positions.
    corrupted : array (N, M), bool
        Which scans are spoilt; a person's column of clinical data is never.
    """

    cohort: Cohort
    train: NDArray
    external: NDArray
    corrupted: NDArray


def simulate(kind: str, seed: int, people: int, external: int = EXTERNAL) -> Simulated:
    """Make a cohort of one kind.

    Parameters
    ----------
    kind : str
        One of `SIMULATORS`.
    seed : int
        Of the people; 0 to 9 are for choosing settings, others for reporting.
    people, external : int
        To train on, to test on.
    """
    count = people + external
    rng = np.random.default_rng([_WORLD[kind], seed])
    maps, labels, corrupted, quality = SIMULATORS[kind](np.random.default_rng(_WORLD[kind]), rng, count)
    present = {name: rng.random(count) > 0.1 for name in MODALITIES}
    cohort = Cohort.from_arrays(
        maps={name: volume[:, None] for name, volume in maps.items()},
        present=present,
        quality={name: quality[:, column] for column, name in enumerate(MODALITIES)},
        clinical=_clinical(rng, labels),
        labels=labels,
        mask=brain(),
    )
    return Simulated(cohort, np.arange(people), np.arange(people, count), corrupted)


def brain() -> NDArray:
    """Return the mask (X, Y, Z): a ball that fills most of the grid."""
    return (_coordinates() ** 2).sum(axis=0) < (SIDE * 0.48) ** 2


def _coordinates() -> NDArray:
    return np.indices((SIDE,) * 3) - (SIDE - 1) / 2


def _clinical(rng: np.random.Generator, labels: NDArray) -> pd.DataFrame:
    """Six weak columns, a twelfth of them missing."""
    shifts = np.random.default_rng(7).normal(0, 0.25, (labels.max() + 1, 4))[labels]
    numbers = shifts + rng.normal(size=shifts.shape)
    table = pd.DataFrame(numbers, columns=["age", "score", "serum_a", "serum_b"])
    table["sex"] = rng.choice(["F", "M"], len(labels))
    table["stage"] = np.clip(np.round(1 + 0.3 * labels + rng.normal(size=len(labels))), 0, 3)
    return table.mask(rng.random(table.shape) < 1 / 12)


def _smooth_noise(rng: np.random.Generator, count: int, width: float = 1.2) -> NDArray:
    """Noise (N, X, Y, Z) of unit deviation, half of its variance smooth."""
    noise = np.empty((count, SIDE, SIDE, SIDE), np.float32)
    for row in range(count):
        white = rng.normal(size=(2, SIDE, SIDE, SIDE)).astype(np.float32)
        soft = gaussian_filter(white[0], width)
        noise[row] = (soft / soft.std() + white[1]) / np.sqrt(2)
    return noise


def _anatomy(world: np.random.Generator, rng: np.random.Generator, count: int) -> NDArray:
    """Noise and four patterns in which people differ for reasons of their own."""
    patterns = np.stack([_unit(gaussian_filter(world.normal(size=(SIDE,) * 3), 2.5)) for _ in range(4)])
    loads = rng.normal(0, 0.35, (count, len(patterns)))
    return _smooth_noise(rng, count) + np.tensordot(loads, patterns, 1).astype(np.float32)


def _unit(pattern: NDArray) -> NDArray:
    return pattern / pattern[brain()].std()


def _blob(center: NDArray, width: float | NDArray) -> NDArray:
    """Return a Gaussian hump; `width` may differ by axis."""
    apart = _coordinates() - np.asarray(center).reshape(3, 1, 1, 1)
    return np.exp(-0.5 * ((apart / np.broadcast_to(width, 3).reshape(3, 1, 1, 1)) ** 2).sum(axis=0))


def _within(rng: np.random.Generator, reach: float) -> NDArray:
    direction = rng.normal(size=3)
    return direction / np.linalg.norm(direction) * reach * rng.random() ** (1 / 3)


def _additive(
    world: np.random.Generator,
    rng: np.random.Generator,
    count: int,
    spoilt_share: float = 0.3,
    kept: float = 0.3,
    artefact: float = 1.6,
) -> tuple:
    labels = rng.integers(0, 3, count)
    corrupted = rng.random((count, 3)) < spoilt_share
    maps = {}
    for column, name in enumerate(MODALITIES):
        places = np.stack([sum(_blob(_within(world, 9), 1.6) for _ in range(3)) for _ in range(3)])
        maps[name] = _anatomy(world, rng, count) + (ADDITIVE * places[labels]).astype(np.float32)
        spoilt = np.flatnonzero(corrupted[:, column])
        maps[name][spoilt] *= kept
        maps[name][spoilt] += artefact * _smooth_noise(rng, len(spoilt), 2.0)
    quality = np.stack([corrupted + rng.normal(0, 0.5, corrupted.shape), rng.normal(size=corrupted.shape)], axis=2)
    quality[rng.random(quality.shape) < 0.03] = np.nan
    return maps, labels, corrupted, quality


def _corrupted(world: np.random.Generator, rng: np.random.Generator, count: int) -> tuple:
    return _additive(world, rng, count, spoilt_share=0.5, kept=0.1, artefact=2.5)


def _deformed(world: np.random.Generator, rng: np.random.Generator, count: int) -> tuple:
    labels = rng.integers(0, 3, count)
    maps = {name: _anatomy(world, rng, count) for name in MODALITIES}
    places = np.stack([_blob(center, 2.5) for center in ((-6, 0, 3), (5, 5, -2), (3, -6, 2))])
    for row, label in enumerate(labels):
        away = np.sqrt(((_coordinates() - rng.normal(0, 1.0, 3).reshape(3, 1, 1, 1)) ** 2).sum(axis=0))
        size = (4.0, 5.5, 7.0)[label] + rng.normal(0, 0.7)
        maps["anat"][row] += DEFORMED[0] * np.exp(-0.5 * ((away - size) / 1.2) ** 2)
        widths = np.full(3, 1.6)
        widths[label] = 5.0
        maps["dwi"][row] += DEFORMED[1] * _blob(rng.normal(0, 2.0, 3), widths)
        spread = np.where(np.arange(3) == label, 1.0, 0.3) * rng.normal(size=3)
        maps["func"][row] += DEFORMED[2] * np.tensordot(spread, places, 1)
    corrupted = rng.random((count, 3)) < 0.15
    for column, name in enumerate(MODALITIES):
        spoilt = np.flatnonzero(corrupted[:, column])
        maps[name][spoilt] += 1.2 * _smooth_noise(rng, len(spoilt), 2.0)
    return maps, labels, corrupted, (corrupted + rng.normal(0, 1.0, corrupted.shape))[:, :, None]


def _interacting(world: np.random.Generator, rng: np.random.Generator, count: int) -> tuple:
    signs = rng.choice([-1, 1], (count, 2))
    labels = (signs.prod(axis=1) > 0).astype(int)
    flipped = rng.random(count) < 0.08
    labels = np.where(flipped, 1 - labels, labels)
    maps = {name: _anatomy(world, rng, count) for name in MODALITIES}
    for column, name in enumerate(("anat", "dwi")):
        pattern = _unit(gaussian_filter(world.normal(size=(SIDE,) * 3), 2.0)).astype(np.float32)
        maps[name] += INTERACTING * signs[:, column, None, None, None].astype(np.float32) * pattern
    places = sum(_blob(_within(world, 9), 1.6) for _ in range(3)).astype(np.float32)
    maps["func"] += 0.3 * (2 * labels - 1)[:, None, None, None].astype(np.float32) * places
    return maps, labels, np.zeros((count, 3), bool), rng.normal(size=(count, 3, 2))


ADDITIVE = 1.3
DEFORMED = (1.5, 3.0, 3.0)
INTERACTING = 0.7
SIMULATORS: dict[str, Callable[..., tuple]] = {
    "additive": _additive,
    "corrupted": _corrupted,
    "deformed": _deformed,
    "interacting": _interacting,
}
