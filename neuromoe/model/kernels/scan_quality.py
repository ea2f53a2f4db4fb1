"""How far each scan can be trusted: its quality numbers, and how unlike the training people's maps its maps are.

Axis letters: N people, M modality, Q quality number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuromoe.cohort.clinical import ClinicalEncoder
from neuromoe.cohort.cohort import CLINICAL, Cohort
from neuromoe.cohort.quality import QualityEncoder, quality_numbers
from neuromoe.model.shared.maps import Frame, reader_of


def of_experts(numbers_NMQ: NDArray, there_NM: NDArray, reads: ArrayLike) -> NDArray:
    """Return the numbers that experts are weighed by (N, E, Q): the mean of the scans that each reads.

    Parameters
    ----------
    numbers_NMQ : array (N, M, Q)
        Zeros where absent.
    there_NM : array (N, M), bool
        Who has which scan.
    reads : array (E, M), bool
        Which modalities an expert reads.
    """
    reads_EM = np.asarray(reads, float)
    count_NE = np.maximum(there_NM @ reads_EM.T, 1)
    return np.einsum("nmq,em->neq", numbers_NMQ, reads_EM) / count_NE[:, :, None]


@dataclass(frozen=True, eq=False)
class ScanQuality:
    """Quality numbers of scans on one scale.

    Parameters
    ----------
    encoder : QualityEncoder
    frames : mapping of str to Frame
        Of each imaging modality.
    oddness : bool
        Whether distance from the mean map is one of the numbers.
    """

    encoder: QualityEncoder
    frames: Mapping[str, Frame]
    oddness: bool = True

    @classmethod
    def fit(cls, cohort: Cohort, rows: NDArray, frames: Mapping[str, Frame], *, oddness: bool = True) -> Self:
        """Learn from the training people at `rows` what is usual."""
        scans = {name: frame for name, frame in frames.items() if name != CLINICAL}
        start = cls(QualityEncoder((), {}), scans, oddness)
        there = {name: rows[cohort.rows[name][rows] >= 0] for name in scans}
        encoder = QualityEncoder.fit({name: start._numbers(cohort, mine, name) for name, mine in there.items()})
        return replace(start, encoder=encoder)

    def encode(self, cohort: Cohort, rows: NDArray, names: Sequence[str]) -> NDArray:
        """Return the numbers (N, M, Q) of these modalities, zeros where absent or clinical; reads the maps."""
        encoded_NMQ = np.zeros((len(rows), len(names), len(self.encoder.keys)))
        for column, name in enumerate(names):
            known = name in self.frames and name in cohort.rows
            there = np.flatnonzero(cohort.rows[name][rows] >= 0) if known else np.zeros(0, int)
            if len(there):
                numbers = self._numbers(cohort, rows[there], name)
                encoded_NMQ[there, column] = self.encoder.encode(name, numbers, len(there))
        return encoded_NMQ

    def for_others(self, people: Mapping[str, int]) -> Self:
        """Return that of those who were not trained on; so many of each modality were."""
        return replace(self, encoder=self.encoder.for_others(people))

    def facts(self) -> dict[str, Any]:
        """Describe all but the frames in JSON's types."""
        return {"oddness": self.oddness, **self.encoder.facts()}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any], frames: Mapping[str, Frame]) -> Self:
        """Rebuild."""
        scans = {name: frame for name, frame in frames.items() if name != CLINICAL}
        return cls(QualityEncoder.from_facts(facts), scans, facts["oddness"])

    def _numbers(self, cohort: Cohort, rows: NDArray, name: str) -> dict[str, NDArray]:
        odd_N = None
        if self.oddness:
            odd_N = self.frames[name].oddness(reader_of(cohort, name, rows, ClinicalEncoder()), len(rows))
        return quality_numbers(cohort, rows, name, odd_N)
