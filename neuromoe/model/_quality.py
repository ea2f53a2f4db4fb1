"""Quality numbers made comparable between modalities, so that one slope can serve all of them.

Axis letters: N people, Q quality number.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

# In standard deviations: beyond, worse is no news.
_LIMIT = 3.0
ODD = "distance from the mean map"


@dataclass(frozen=True)
class QualityEncoder:
    """Zero median and unit deviation within each modality; 0, and an indicator, where a number is missing.

    The median and not the mean, so that a few spoilt scans do not move what is usual.

    Parameters
    ----------
    keys : tuple of str
        What the columns mean. Numbers of one name share a column whatever the modality; without names, those of one
        place do.
    columns : mapping of str to tuple of (int, str, float, float)
        Of each modality: column of the cohort's numbers, key, median, deviation.
    """

    keys: tuple[str, ...]
    columns: Mapping[str, tuple[tuple[int, str, float, float], ...]]

    @classmethod
    def fit(cls, quality: Mapping[str, NDArray], names: Mapping[str, list[str]], *, odd: bool) -> Self:
        """Learn medians and deviations.

        Parameters
        ----------
        quality : mapping of str to array (N present, Q)
            Of the training people who have the modality, NaN where missing.
        names : mapping of str to list of str
            Of the numbers; may lack modalities.
        odd : bool
            The last number is no quality by itself: how far it lies from the median, either way, is one.
        """
        columns, keys = {}, []
        for modality, values in quality.items():
            given = values.shape[1] - odd
            named = [*(names.get(modality) or [])][:given]
            named += [str(place) for place in range(len(named), given)] + [ODD] * odd
            found = [(place, key, *_spread(values[:, place])) for place, key in enumerate(named)]
            columns[modality] = tuple(column for column in found if column[3] > 0)
            keys += [f"{ODD} either way"] * odd
            missing = [f"{key} missing" for place, key in enumerate(named) if np.isnan(values[:, place]).any()]
            keys += [column[1] for column in columns[modality]] + missing
        return cls(tuple(sorted(set(keys))), columns)

    def encode(self, modality: str, values_NQ: NDArray) -> NDArray:
        """Return the numbers of some people (N, keys), zeros in columns that the modality does not have."""
        encoded = np.zeros((len(values_NQ), len(self.keys)))
        for place, key, center, scale in self.columns.get(modality, ()):
            values = values_NQ[:, place].astype(float)
            known = np.isfinite(values)
            standard = np.clip((values[known] - center) / scale, -_LIMIT, _LIMIT)
            encoded[known, self.keys.index(key)] = standard
            if key == ODD:
                encoded[known, self.keys.index(f"{ODD} either way")] = np.abs(standard)
            if f"{key} missing" in self.keys:
                encoded[~known, self.keys.index(f"{key} missing")] = 1.0
        return encoded

    def facts(self) -> dict[str, Any]:
        """Describe the encoder in JSON's types."""
        return {"keys": list(self.keys), "columns": {name: list(found) for name, found in self.columns.items()}}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        """Rebuild the encoder from `facts`."""
        columns = {name: tuple(tuple(column) for column in found) for name, found in facts["columns"].items()}
        return cls(tuple(facts["keys"]), columns)


def _spread(values: NDArray) -> tuple[float, float]:
    known = values[np.isfinite(values)].astype(float)
    return (float(np.median(known)), float(known.std())) if len(known) else (0.0, 0.0)
