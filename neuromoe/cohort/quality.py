"""Quality numbers made comparable between modalities, so that one slope can serve all of them.

Axis letters: N people, Q quality number.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from neuromoe.cohort.cohort import Cohort

# In standard deviations: beyond, worse is no news.
_LIMIT = 3.0
ODD = "distance from the mean map"
_EITHER = f"{ODD} either way"


def quality_numbers(cohort: Cohort, rows: NDArray, modality: str, odd_N: NDArray | None) -> dict[str, NDArray]:
    """Return quality numbers (N,) by name, or by place where they have none; `odd_N`, where given, among them.

    Parameters
    ----------
    cohort : Cohort
    rows : array (N,), int
        Positions of people who have the modality.
    modality : str
    odd_N : array (N,) or None
        Logarithm of the squared distance from the mean map.
    """
    values_NQ = cohort.quality[modality][rows]
    names = [*(cohort.quality_names.get(modality) or [])][: values_NQ.shape[1]]
    names += [str(place) for place in range(len(names), values_NQ.shape[1])]
    return dict(zip(names, values_NQ.T, strict=True)) | ({} if odd_N is None else {ODD: odd_N})


@dataclass(frozen=True)
class QualityEncoder:
    """Zero median and unit deviation within each modality; 0, and an indicator, where a number is missing.

    The median and not the mean, so that a few spoilt scans do not move what is usual.

    Parameters
    ----------
    keys : tuple of str
        What the columns mean. Numbers of one name share a column whatever the modality; without names, those of one
        place do.
    columns : mapping of str to tuple of (str, float, float)
        Of each modality: name, median, deviation.
    """

    keys: tuple[str, ...]
    columns: Mapping[str, tuple[tuple[str, float, float], ...]]

    @classmethod
    def fit(cls, numbers: Mapping[str, Mapping[str, NDArray]]) -> Self:
        """Learn medians and deviations.

        Parameters
        ----------
        numbers : mapping of str to mapping of str to array (N present,)
            Of each modality and name, of the training people who have the modality, NaN where missing. Distance from
            the mean map is no quality by itself: how far it lies from the median, either way, is one.
        """
        columns, keys = {}, []
        for modality, values in numbers.items():
            found = [(key, *_spread(values[key])) for key in values]
            columns[modality] = tuple(column for column in found if column[2] > 0)
            missing = [f"{key} missing" for key in values if np.isnan(values[key]).any()]
            known = [column[0] for column in columns[modality]]
            keys += known + missing + [_EITHER] * (ODD in known)
        return cls(tuple(sorted(set(keys))), columns)

    def encode(self, modality: str, numbers: Mapping[str, NDArray], count: int) -> NDArray:
        """Return the numbers of `count` people (N, keys), zeros in columns that the modality does not have."""
        encoded = np.zeros((count, len(self.keys)))
        for key, center, scale in self.columns.get(modality, ()):
            values = np.asarray(numbers.get(key, np.full(count, np.nan)), float)
            known = np.isfinite(values)
            standard = np.clip((values[known] - center) / scale, -_LIMIT, _LIMIT)
            encoded[known, self.keys.index(key)] = standard
            if key == ODD:
                encoded[known, self.keys.index(_EITHER)] = np.abs(standard)
            if f"{key} missing" in self.keys:
                encoded[~known, self.keys.index(f"{key} missing")] = 1.0
        return encoded

    @property
    def most(self) -> NDArray:
        """The largest slope (Q,) that a gate may have on each column."""
        return np.where(np.isin(self.keys, [_EITHER]), 0.0, np.inf)

    def for_others(self, people: Mapping[str, int]) -> Self:
        """Return the encoder of those who were not trained on, which these were, so many of each modality.

        Whoever is part of the mean map is nearer to it, by n / (n - 1).
        """
        columns = {}
        for modality, found in self.columns.items():
            shift = 2 * np.log(people[modality] / max(people[modality] - 1, 1))
            columns[modality] = tuple((key, center + shift * (key == ODD), scale) for key, center, scale in found)
        return replace(self, columns=columns)

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
