import numpy as np
import pytest

from .phantom import Head, Scan, make_head, scan


@pytest.fixture(scope="session")
def head() -> Head:
    return make_head()


@pytest.fixture(scope="session")
def scanned(head) -> Scan:
    """A moving head under 13 directions, with what it would look like at rest."""
    return scan(head, np.random.default_rng(7))
