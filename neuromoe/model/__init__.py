"""One interface for every model: `fit(cohort, train, val)`, `predict_proba(cohort, positions)`."""

from neuromoe.cohort.cohort import Cohort
from neuromoe.model.registry import available, build_model, load
from neuromoe.model.shared.base import LongFit, Model

__all__ = ["Cohort", "LongFit", "Model", "available", "build_model", "load"]
