"""The patches that a model was fitted on, which those that it predicts from must match.

Axis letters: T token.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from neuromoe.cohort.cohort import Cohort
from neuromoe.core.errors import InputError


def places_of(cohort: Cohort, *, full: bool = False) -> NDArray:
    """Return where the patches lie (T, 3), int: those that touch the brain, or all of the grid."""
    return np.argwhere(np.ones(cohort.grid, bool)) if full else np.asarray(cohort.places, np.int64)


def features_of(cohort: Cohort) -> dict[str, int]:
    """Return how many values a patch of each imaging modality has."""
    return {name: int(tokens.shape[2]) for name, tokens in cohort.tokens.items()}


def check_grid(cohort: Cohort, features: Mapping[str, int], places_T3: NDArray, *, full: bool = False) -> None:
    """Refuse a cohort whose patches are not those of the model."""
    known = {name: count for name, count in features_of(cohort).items() if name in features}
    found = places_of(cohort, full=full)
    if any(features[name] != count for name, count in known.items()) or (
        known and not np.array_equal(places_T3, found)
    ):
        same = len(found) == len(places_T3)
        raise InputError(
            expected=f"the model's {len(places_T3)} patches and values per patch {dict(features)}",
            found=f"{len(found)} patches{' in other places' if same else ''} and {known}",
            where="the cohort",
            fix="pack the maps with the template and the settings that the model was fitted with",
        )
