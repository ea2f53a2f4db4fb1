"""Made cohorts with a known effect."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from neuromoe.model import Cohort

CLASSES = ("control", "ataxia", "tremor")


def make_cohort(
    rng: np.random.Generator,
    *,
    people: int = 36,
    effect: float = 2.0,
    where: str = "dwi",
    missing_rate: float = 0.2,
    clinical: bool = True,
    side: int = 12,
) -> Cohort:
    """Noise in three modalities; in one of them each class is raised in a slab of its own."""
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
def made_cohort(rng: np.random.Generator) -> Callable[..., Cohort]:
    """Make cohorts from one stream of random numbers: each is of other people."""
    return lambda **choices: make_cohort(rng, **choices)
