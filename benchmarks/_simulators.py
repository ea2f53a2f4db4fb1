"""Cohorts made in memory whose truth is known, as the pipeline's tensors are, in five kinds that ask different things.

A modality has several channels of unequal variance; nearly all of a map is the anatomy that people share; what is left
is correlated in space and between channels. How much of each stands in `moments.json`, measured by `moments.py` on
tensors that the workflow made. A kind says where the class lies:

`additive`: each class raises fixed places; scans are spoilt, and a noisy quality number tells of it.
`corrupted`: the same, but half of the scans are spoilt, and next to nothing is left in them.
`deformed`: no place is raised on average; the class lies in sizes, directions and spreads of structures that wander.
`interacting`: the class is the product of two modalities' hidden signs; the quality numbers mean nothing.
`gated`: the class raises places of one modality alone; a clinical column tells which, in cohorts of odd seed a pattern
of three serum columns.

Axis letters: N people, M modality, C channel, X Y Z voxels, K class.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from moments import WIDTHS
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from neuromoe.model import Cohort

SIDE = 24
MOMENTS = json.loads((Path(__file__).parent / "moments.json").read_text())["modalities"]
MODALITIES = tuple(MOMENTS)
EXTERNAL = 400
# Structures are the same in all cohorts of a kind: cohorts differ in people, not in the disorder.
_WORLD = {"additive": 2001, "deformed": 2002, "interacting": 2003, "corrupted": 2004, "gated": 2005}
# Effects in deviations of a channel between people. Fixed before the first reported run.
ADDITIVE, DEFORMED, INTERACTING, GATED = 1.5, (2.0, 3.0, 3.0), 0.8, 2.3
# Which channels show what is planted, and how much of it.
SHOWN = {"anat": (0.0, 0.7, 1.0), "dwi": (1.0, 0.6), "func": (1.0, 0.0, 0.8)}


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


@dataclass(frozen=True, eq=False)
class Draw:
    """What a kind makes: deviations from the common anatomy, and what is told of them.

    Parameters
    ----------
    planted : mapping of str to array (N, X, Y, Z)
        What the class adds to a modality, in deviations of its channels.
    labels : array (N,), int
    corrupted : array (N, M), bool
    quality : array (N, M, Q)
    clinical : DataFrame or None
        Columns beside the weak ones.
    kept, artefact : float
        What is left of a spoilt scan's deviation, and the deviation of what comes upon it.
    """

    planted: dict[str, NDArray]
    labels: NDArray
    corrupted: NDArray
    quality: NDArray
    clinical: pd.DataFrame | None = None
    kept: float = 1.0
    artefact: float = 0.0


def simulate(kind: str, seed: int, people: int, external: int = EXTERNAL, empty: float = 0.0) -> Simulated:
    """Make a cohort of one kind.

    Parameters
    ----------
    kind : str
        One of `SIMULATORS`.
    seed : int
        Of the people; 0 to 9 are for choosing settings, others for reporting.
    people, external : int
        To train on, to test on.
    empty : float
        Where above 0, each modality has one more channel, of noise alone, of so many times its largest variance.
    """
    count = people + external
    world, rng = np.random.default_rng(_WORLD[kind]), np.random.default_rng([_WORLD[kind], seed])
    draw = SIMULATORS[kind](world, rng, count, seed)
    maps = {}
    for column, name in enumerate(MODALITIES):
        maps[name] = _maps(name, draw, column, rng)
    if empty:
        for name, volumes in maps.items():
            size = empty**0.5 * max(MOMENTS[name]["deviation"])
            noise = _smooth_noise(rng, count, MOMENTS[name]["smoothness"][0])
            maps[name] = np.concatenate([volumes, size * noise[:, None]], axis=1)
    channels = {name: [*MOMENTS[name]["channels"], *(["empty"] if empty else [])] for name in MODALITIES}
    cohort = Cohort.from_arrays(
        maps=maps,
        channels=channels,
        present={name: rng.random(count) > 0.1 for name in MODALITIES},
        quality={name: draw.quality[:, column] for column, name in enumerate(MODALITIES)},
        clinical=_clinical(rng, draw),
        labels=draw.labels,
        mask=brain(),
    )
    return Simulated(cohort, np.arange(people), np.arange(people, count), draw.corrupted)


def brain() -> NDArray:
    """Return the mask (X, Y, Z): a ball that fills most of the grid."""
    return (_coordinates() ** 2).sum(axis=0) < (SIDE * 0.48) ** 2


def _coordinates() -> NDArray:
    return np.indices((SIDE,) * 3) - (SIDE - 1) / 2


def _maps(name: str, draw: Draw, column: int, rng: np.random.Generator) -> NDArray:
    """Return a modality's maps (N, C, X, Y, Z): common anatomy, deviations, what is planted, what is spoilt."""
    moments, count = MOMENTS[name], len(draw.labels)
    mixing = np.linalg.cholesky(np.array(moments["correlation"]) + 1e-6 * np.eye(len(moments["deviation"])))
    away = np.stack([_smooth_noise(rng, count, shares) for shares in moments["smoothness"]], axis=1)
    away = np.einsum("cd,ndxyz->ncxyz", mixing, away).astype(np.float32)
    if name in draw.planted:
        away += np.array(SHOWN[name], np.float32)[:, None, None, None] * draw.planted[name][:, None]
    spoilt = np.flatnonzero(draw.corrupted[:, column])
    away[spoilt] *= draw.kept
    for channel in range(away.shape[1]):
        away[spoilt, channel] += draw.artefact * _smooth_noise(rng, len(spoilt), [0.0, 0.0, 1.0, 0.0])
    common = _common(name)
    size = np.array(moments["deviation"], np.float32)[:, None, None, None]
    return common + size * away


def _common(name: str) -> NDArray:
    """Return the anatomy that all people share (C, X, Y, Z): the same in all cohorts of all kinds."""
    rng = np.random.default_rng([77, MODALITIES.index(name)])
    volumes = [_unit(gaussian_filter(rng.normal(size=(SIDE,) * 3), 1.5)) for _ in MOMENTS[name]["common"]]
    return np.stack([size * volume for size, volume in zip(MOMENTS[name]["common"], volumes, strict=True)]).astype("f4")


def _clinical(rng: np.random.Generator, draw: Draw) -> pd.DataFrame:
    """Six weak columns, a twelfth of them missing, and the kind's own."""
    labels = draw.labels
    shifts = np.random.default_rng(7).normal(0, 0.25, (labels.max() + 1, 4))[labels]
    numbers = shifts + rng.normal(size=shifts.shape)
    table = pd.DataFrame(numbers, columns=["age", "score", "serum_a", "serum_b"])
    table["sex"] = rng.choice(["F", "M"], len(labels))
    table["stage"] = np.clip(np.round(1 + 0.3 * labels + rng.normal(size=len(labels))), 0, 3)
    table = table.mask(rng.random(table.shape) < 1 / 12)
    return table if draw.clinical is None else pd.concat([table, draw.clinical], axis=1)


def _smooth_noise(rng: np.random.Generator, count: int, shares: list[float]) -> NDArray:
    """Noise (N, X, Y, Z) of unit deviation: so much of its variance is white, and smooth by 1, 2 and 4 voxels."""
    from scipy.fft import irfftn, rfftn

    squared = sum(axis**2 for axis in np.meshgrid(*[np.fft.fftfreq(SIDE)] * 3, indexing="ij"))
    power = np.zeros(squared.shape)
    for width, share in zip(WIDTHS, shares, strict=True):
        one = np.exp(-4 * np.pi**2 * squared * width**2)
        power += share * one / one.mean()
    filtered = np.sqrt(power / sum(shares))[:, :, : SIDE // 2 + 1]
    noise = np.empty((count, SIDE, SIDE, SIDE), np.float32)
    for row in range(count):
        white = rng.standard_normal((SIDE,) * 3, dtype=np.float32)
        noise[row] = irfftn(rfftn(white) * filtered, s=(SIDE,) * 3)
    return noise


def _unit(pattern: NDArray) -> NDArray:
    return pattern / pattern[brain()].std()


def _blob(center: NDArray, width: float | NDArray) -> NDArray:
    """Return a Gaussian hump; `width` may differ by axis."""
    apart = _coordinates() - np.asarray(center).reshape(3, 1, 1, 1)
    return np.exp(-0.5 * ((apart / np.broadcast_to(width, 3).reshape(3, 1, 1, 1)) ** 2).sum(axis=0))


def _within(rng: np.random.Generator, reach: float) -> NDArray:
    direction = rng.normal(size=3)
    return direction / np.linalg.norm(direction) * reach * rng.random() ** (1 / 3)


def _places(world: np.random.Generator) -> NDArray:
    """Return three humps for each of three classes (K, X, Y, Z)."""
    return np.stack([sum(_blob(_within(world, 9), 1.6) for _ in range(3)) for _ in range(3)]).astype(np.float32)


def _spoilt(rng: np.random.Generator, count: int, share: float, blur: float) -> tuple[NDArray, NDArray]:
    """Draw who is spoilt (N, M), and a quality number that tells of it beside one that does not (N, M, 2)."""
    corrupted = rng.random((count, len(MODALITIES))) < share
    told = corrupted + rng.normal(0, blur, corrupted.shape)
    quality = np.stack([told, rng.normal(size=corrupted.shape)], axis=2)
    quality[rng.random(quality.shape) < 0.03] = np.nan
    return corrupted, quality


def _additive(
    world: np.random.Generator,
    rng: np.random.Generator,
    count: int,
    seed: int,
    share: float = 0.3,
    kept: float = 0.3,
    artefact: float = 1.6,
) -> Draw:
    labels = rng.integers(0, 3, count)
    planted = {name: ADDITIVE * _places(world)[labels] for name in MODALITIES}
    return Draw(planted, labels, *_spoilt(rng, count, share, 0.5), kept=kept, artefact=artefact)


def _corrupted(world: np.random.Generator, rng: np.random.Generator, count: int, seed: int) -> Draw:
    return _additive(world, rng, count, seed, share=0.5, kept=0.1, artefact=2.5)


def _deformed(world: np.random.Generator, rng: np.random.Generator, count: int, seed: int) -> Draw:
    labels = rng.integers(0, 3, count)
    planted = {name: np.zeros((count, SIDE, SIDE, SIDE), np.float32) for name in MODALITIES}
    places = np.stack([_blob(center, 2.5) for center in ((-6, 0, 3), (5, 5, -2), (3, -6, 2))])
    for row, label in enumerate(labels):
        away = np.sqrt(((_coordinates() - rng.normal(0, 1.0, 3).reshape(3, 1, 1, 1)) ** 2).sum(axis=0))
        size = (4.0, 5.5, 7.0)[label] + rng.normal(0, 0.7)
        planted["anat"][row] = DEFORMED[0] * np.exp(-0.5 * ((away - size) / 1.2) ** 2)
        widths = np.full(3, 1.6)
        widths[label] = 5.0
        planted["dwi"][row] = DEFORMED[1] * _blob(rng.normal(0, 2.0, 3), widths)
        spread = np.where(np.arange(3) == label, 1.0, 0.3) * rng.normal(size=3)
        planted["func"][row] = DEFORMED[2] * np.tensordot(spread, places, 1)
    return Draw(planted, labels, *_spoilt(rng, count, 0.15, 1.0), kept=1.0, artefact=1.2)


def _interacting(world: np.random.Generator, rng: np.random.Generator, count: int, seed: int) -> Draw:
    signs = rng.choice([-1, 1], (count, 2))
    labels = (signs.prod(axis=1) > 0).astype(int)
    labels = np.where(rng.random(count) < 0.08, 1 - labels, labels)
    planted = {}
    for column, name in enumerate(("anat", "dwi")):
        pattern = _unit(gaussian_filter(world.normal(size=(SIDE,) * 3), 2.0)).astype(np.float32)
        planted[name] = INTERACTING * signs[:, column, None, None, None].astype(np.float32) * pattern
    places = sum(_blob(_within(world, 9), 1.6) for _ in range(3)).astype(np.float32)
    planted["func"] = 0.5 * (2 * labels - 1)[:, None, None, None].astype(np.float32) * places
    nothing = np.zeros((count, 3), bool)
    return Draw(planted, labels, nothing, rng.normal(size=(count, 3, 2)))


def _gated(world: np.random.Generator, rng: np.random.Generator, count: int, seed: int) -> Draw:
    labels, shows = rng.integers(0, 3, count), rng.integers(0, 3, count)
    planted = {}
    for column, name in enumerate(MODALITIES):
        planted[name] = GATED * _places(world)[labels] * (shows == column)[:, None, None, None]
    if seed % 2:
        told = rng.normal(size=(count, 3)) + 2.5 * np.eye(3)[shows]
        clinical = pd.DataFrame(told, columns=["serum_c", "serum_d", "serum_e"])
    else:
        told = np.where(rng.random(count) < 0.05, rng.integers(0, 3, count), shows)
        clinical = pd.DataFrame({"onset": np.array(["left", "right", "both"])[told]})
    nothing = np.zeros((count, 3), bool)
    return Draw(planted, labels, nothing, rng.normal(size=(count, 3, 2)), clinical)


SIMULATORS: dict[str, Callable[..., Draw]] = {
    "additive": _additive,
    "corrupted": _corrupted,
    "deformed": _deformed,
    "interacting": _interacting,
    "gated": _gated,
}
