"""One interface for every model: `fit(cohort, train, val)`, `predict_proba(cohort, positions)`."""

from neuromoe.model.base import LongFit, Model
from neuromoe.model.cohort import Cohort
from neuromoe.model.registry import available, build_model, load

__all__ = ["Cohort", "LongFit", "Model", "available", "build_model", "load"]
