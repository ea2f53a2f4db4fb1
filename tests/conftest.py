"""Fixtures that more than one test folder uses."""

import os
from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded source of random numbers."""
    return np.random.default_rng(20240611)


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
