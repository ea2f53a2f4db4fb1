"""One interface for every model: `fit(cohort, train, val)`, `predict_proba(cohort, positions)`."""

from neuromoe.model.base import Model
from neuromoe.model.cohort import Cohort
from neuromoe.model.registry import available, build_model, load

__all__ = ["Cohort", "Model", "available", "build_model", "load"]
