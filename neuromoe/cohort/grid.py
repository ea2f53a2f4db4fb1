"""What a model knows of the maps that it was fitted on, which those that it predicts from must match.

Axis letters: T token.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from neuromoe.cohort.cohort import Cohort
from neuromoe.core.errors import InputError


@dataclass(frozen=True, eq=False)
class Layout:
    """Patches and channels.

    Parameters
    ----------
    features : mapping of str to int
        Values of a patch over all channels, of each imaging modality.
    channels : mapping of str to list of str
        Their names; no entry where the cohort has none.
    places : array (T, 3), int
        Where the patches lie: those that touch the brain, or all of the grid.
    full : bool
        Whether they are all of the grid.
    """

    features: Mapping[str, int]
    channels: Mapping[str, list[str]]
    places: NDArray
    full: bool = False

    @classmethod
    def of(cls, cohort: Cohort, *, full: bool = False) -> Self:
        """Describe a cohort."""
        places = np.argwhere(np.ones(cohort.grid, bool)) if full else np.asarray(cohort.places, np.int64)
        features = {name: int(tokens.shape[2]) for name, tokens in cohort.tokens.items()}
        named = {name: list(names) for name, names in cohort.channels.items() if names}
        return cls(features, named, places, full)

    def check(self, cohort: Cohort) -> None:
        """Raise InputError unless the cohort's patches and channels are those of the model, by name where named."""
        found = Layout.of(cohort, full=self.full)
        known = [name for name in found.features if name in self.features]
        same = np.array_equal(self.places, found.places) or not known
        if not same or any(self.features[name] != found.features[name] for name in known):
            elsewhere = " in other places" if len(found.places) == len(self.places) else ""
            raise InputError(
                expected=f"the model's {len(self.places)} patches and values per patch {dict(self.features)}",
                found=f"{len(found.places)} patches{elsewhere} and {found.features}",
                where="the cohort",
                fix="pack the maps with the template and the settings that the model was fitted with",
            )
        both = [name for name in known if name in self.channels and name in found.channels]
        wrong = [name for name in both if self.channels[name] != found.channels[name]]
        if wrong:
            raise InputError(
                expected="; ".join(f"{name} channels {', '.join(self.channels[name])}" for name in wrong),
                found="; ".join(f"{name} {', '.join(found.channels[name])}" for name in wrong),
                where="the cohort",
                fix="pack the channels that the model was fitted on, in the same order",
            )

    def facts(self) -> dict[str, Any]:
        """Describe all but the places in JSON's types."""
        return {"features": dict(self.features), "channels": dict(self.channels), "full": self.full}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any], places: NDArray, order: tuple[str, ...]) -> Self:
        """Rebuild the layout, the modalities in a given order: JSON sorts keys."""
        features = {name: facts["features"][name] for name in order if name in facts["features"]}
        return cls(features, facts["channels"], places, facts["full"])
