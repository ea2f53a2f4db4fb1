"""What a model says of training people that it did not see.

Axis letters: N people, K class.
"""

from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from neuromoe.cohort.cohort import Cohort
from neuromoe.cohort.inner import inner_parts
from neuromoe.model.shared.base import LEAST, Model


def held_out_log_proba(model: Model, cohort: Cohort, rows: NDArray, *, folds: int) -> NDArray:
    """Predict each training person by parts of the model, or by models of its kind, that did not see the person.

    Parameters
    ----------
    model : Model
        Fitted on the people at `rows`.
    cohort : Cohort
    rows : array (N,), int
        Positions.
    folds : int
        Inner parts, for a model that is not cross-fitted by itself.

    Returns
    -------
    array (N, K)
        Log probabilities; the class prior's where nothing could be fitted or read.
    """
    if model.held_out_ is None:
        return refit_log_proba(model, cohort, rows, folds=folds)
    said_NK = np.tile(np.log(np.maximum(model.prior_, LEAST)), (len(rows), 1))
    known, log_proba = model.held_out_
    place = {row: number for number, row in enumerate(rows.tolist())}
    said_NK[[place[row] for row in known.tolist()]] = np.maximum(log_proba, np.log(LEAST))
    return said_NK


def refit_log_proba(model: Model, cohort: Cohort, rows: NDArray, *, folds: int) -> NDArray:
    """Predict each training person by a model of the same kind and settings, fitted without the person's part.

    Parameters
    ----------
    model : Model
        Of known classes; it is not changed.
    cohort : Cohort
    rows : array (N,), int
        Positions.
    folds : int
        Parts.

    Returns
    -------
    array (N, K)
        Log probabilities; the class prior's where a class is missing without the part.
    """
    said_NK = np.tile(model.prior_, (len(rows), 1))
    parts = inner_parts(cohort.groups[rows], model._targets(cohort, rows), folds, model.seed)
    for part in np.unique(parts):
        inside, outside = parts != part, parts == part
        if len(set(cohort.labels[rows[inside]])) == len(model.classes_):
            fold = type(model)(seed=model.seed, **asdict(model.settings)).fit(cohort, rows[inside])
            said_NK[outside] = fold.predict_proba(cohort, rows[outside])
    return np.log(np.maximum(said_NK, LEAST))
