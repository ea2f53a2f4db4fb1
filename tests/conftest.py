"""Fixtures that more than one test folder uses."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

# Before numpy is imported: on small arrays, threads that wait for each other make a fit ten times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np  # noqa: E402
import pytest  # noqa: E402

if TYPE_CHECKING:
    from neuromoe.cohort import Cohort

REPOSITORY = Path(__file__).parent.parent
CLASSES = ("control", "ataxia", "tremor")


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded source of random numbers."""
    return np.random.default_rng(20240611)


def make_cohort(
    rng: np.random.Generator,
    *,
    people: int = 36,
    effect: float = 2.0,
    where: str = "dwi",
    missing_rate: float = 0.2,
    clinical: bool = True,
    side: int = 12,
) -> "Cohort":
    """Noise in three modalities; in one of them each class is raised in a slab of its own."""
    import pandas as pd

    from neuromoe.cohort import Cohort

    labels = np.array(CLASSES)[np.arange(people) % len(CLASSES)]
    channels = {"anat": 2, "dwi": 2, "func": 1}
    maps = {name: rng.normal(size=(people, count, *[side] * 3)) for name, count in channels.items()}
    for place, name in enumerate(CLASSES):
        if where in maps:
            maps[where][labels == name, 0, 4 * place : 4 * place + 4] += effect
    present = {name: rng.random(people) > missing_rate for name in maps}
    for name, there in present.items():
        maps[name][~there] = np.nan
    table = pd.DataFrame({"age": rng.normal(60, 9, people), "sex": rng.choice(["F", "M"], people)})
    if where == "clinical":
        table["age"] += 20 * effect * (labels == CLASSES[0]) - 20 * effect * (labels == CLASSES[1])
    table.loc[rng.random(people) < 0.1, "age"] = np.nan
    return Cohort.from_arrays(
        maps=maps,
        present=present,
        quality={"anat": rng.normal(size=(people, 2))},
        clinical=table if clinical else None,
        labels=labels,
        participants=np.arange(people),
    )


@pytest.fixture
def made_cohort(rng: np.random.Generator) -> Callable[..., "Cohort"]:
    """Make cohorts from one stream of random numbers: each is of other people."""
    return lambda **choices: make_cohort(rng, **choices)


def _folder(variable: str, default: str) -> Path:
    folder = Path(os.environ.get(variable, REPOSITORY.parent / "shared" / default))
    if not folder.is_dir():
        pytest.skip(f"{variable} is not set and {folder} is not there")
    return folder


@pytest.fixture(scope="session")
def real_bids() -> Path:
    """A folder with a real BIDS dataset, from NEUROMOE_REAL_BIDS."""
    return _folder("NEUROMOE_REAL_BIDS", "real_bids")


@pytest.fixture(scope="session")
def real_templates() -> Path:
    """A folder with a whole-head template, from NEUROMOE_TEMPLATES."""
    return _folder("NEUROMOE_TEMPLATES", "templates")


# Whole runs of the workflow take minutes: they begin first, so that the short tests fill the other worker.
LONG = ("test_runs.py", "test_real.py", "test_truth.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))
