"""People, with their maps, quality numbers and clinical data: what models are fitted on."""

from neuromoe.cohort.cohort import Cohort

__all__ = ["Cohort"]
