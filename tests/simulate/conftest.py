"""A tiny synthetic cohort that the tests of this folder share."""

from pathlib import Path

import pytest

from neuromoe.simulate._people import Person
from neuromoe.simulate._person import Anatomy, draw_anatomy
from neuromoe.simulate._plan import plan
from neuromoe.simulate.cohort import cohort

SETTINGS = {"size": "tiny", "sessions": 3, "seed": 0, "corrupted_rate": 0.4, "missing_rate": 0.2}


@pytest.fixture(scope="session")
def arguments() -> dict[str, object]:
    """What the shared cohort is made with, but for its folder."""
    return dict(SETTINGS)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> Path:
    """Three people: one with every scan spoilt, one with none, one without a T1w."""
    bids_dir = tmp_path_factory.mktemp("cohort") / "bids"
    cohort(bids_dir=bids_dir, **SETTINGS)
    return bids_dir


@pytest.fixture(scope="session")
def people() -> list[Person]:
    return plan(SETTINGS["sessions"], SETTINGS["seed"], SETTINGS["size"], 0.4, 0.2)


@pytest.fixture(scope="session")
def clean(people) -> Person:
    """The person whose scans are all there and good."""
    return next(person for person in people if not person.corrupted and all(map(person.has, ("anat", "dwi"))))


@pytest.fixture(scope="session")
def spoilt(people) -> Person:
    """The person whose scans are all spoilt."""
    return next(person for person in people if len(person.corrupted) == 3)


@pytest.fixture(scope="session")
def anatomy(clean) -> Anatomy:
    return draw_anatomy(clean, SETTINGS["seed"])
