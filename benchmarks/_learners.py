"""What the models are measured against: scikit-learn's classifiers with settings from inner cross-validation.

Axis letters: N people, F features, K class.
"""

import ast
from functools import partial

import numpy as np
from _cases import clock
from _deep_peers import DEEP, learn_deep
from _simulators import MODALITIES, Simulated
from numpy.typing import NDArray

from neuromoe.cohort.clinical import ClinicalEncoder
from neuromoe.model import Cohort, build_model
from neuromoe.model.auto import NeuroMoEAuto
from neuromoe.model.shared.base import Model
from neuromoe.model.shared.maps import Frame, reader_of

# `neuromoe-auto` first: it fits those that it chooses from, which are then not fitted again.
OURS = (
    "neuromoe-auto",
    "majority",
    "clinical-logistic",
    "late-fusion",
    "kernel-moe",
    "early-fusion",
    "neuromoe",
    "neuromoe-paper",
)
PEERS = (*(f"svm-{name}" for name in MODALITIES), "early-svm-linear", "early-svm-rbf", "random-forest", *DEEP)


class _Remembering(NeuroMoEAuto):
    """Keeps all candidates, and the CPU seconds that each took."""

    def _fit_candidate(self, name: str, cohort: Cohort, rows: NDArray) -> Model:
        with clock() as spent:
            model = super()._fit_candidate(name, cohort, rows)
        fits = self.fits = {**getattr(self, "fits", {}), name: (model, spent.cpu_s)}
        return fits[name][0]


Fits = dict[str, tuple[Model, float]]


def learn(method: str, simulated: Simulated, seed: int, fits: Fits) -> tuple[NDArray, NDArray | None, float]:
    """Fit one method on the training people.

    Parameters
    ----------
    method : str
        Name of a model, its settings after it if any, as `neuromoe(noise=0.5;flip=True)`; or of a peer.
    simulated : Simulated
    seed : int
    fits : dict
        Models that are fitted on these people already, and their CPU seconds; added to.

    Returns
    -------
    probabilities : array (n, K)
        Of the external people.
    weights : array (n, M) or None
        The gate's.
    spent : float
        CPU seconds.
    """
    if method.split("(")[0] not in OURS:
        with clock() as spent:
            probabilities = learn_peer(method, simulated, seed)
        return probabilities, None, spent.cpu_s
    cohort, external = simulated.cohort, simulated.external
    if method not in fits:
        with clock() as spent:
            model = _build(method, seed).fit(cohort, simulated.train)
        fits[method] = model, spent.cpu_s
        if isinstance(model, _Remembering):
            fits |= model.fits
    model, cpu_s = fits[method]
    return model.predict_proba(cohort, external), model.gate(cohort, external), cpu_s


def _build(method: str, seed: int) -> Model:
    name, _, rest = method.rstrip(")").partition("(")
    settings = {key: ast.literal_eval(value) for key, value in (part.split("=") for part in rest.split(";") if part)}
    return (_Remembering if name == "neuromoe-auto" else partial(build_model, name))(seed=seed, **settings)


def learn_peer(method: str, simulated: Simulated, seed: int) -> NDArray:
    """Fit a peer on the training people; return the external people's probabilities (n, K)."""
    cohort, train, external = simulated.cohort, simulated.train, simulated.external
    if method in DEEP:
        return learn_deep(method, simulated, seed)
    names = [method.removeprefix("svm-")] if method.startswith("svm-") else [*MODALITIES, "clinical"]
    features = np.hstack([_filled(simulated, name) for name in names])
    targets = np.unique(cohort.labels[train].astype(str), return_inverse=True)[1]
    if method == "random-forest":
        return _forest(features[train], targets, seed).predict_proba(features[external])
    return _support_vectors(features @ features.T, train, external, targets, "rbf" in method, seed)


def _filled(simulated: Simulated, name: str) -> NDArray:
    """Return features (N, F) of unit size per modality and channel, the training people's mean where absent."""
    cohort, train = simulated.cohort, simulated.train
    if name == "clinical":
        features = ClinicalEncoder.fit(cohort.clinical.iloc[train], cohort.clinical_types).encode(
            cohort.clinical, len(cohort)
        )
        return _sized(features, train)
    there = np.flatnonzero(cohort.rows[name] >= 0)
    features = np.zeros((len(cohort), int(np.prod(cohort.tokens[name].shape[1:]))), np.float32)
    features[there] = scaled(simulated, name, there).reshape(len(there), -1)
    return _sized(features, train)


def scaled(simulated: Simulated, name: str, rows: NDArray) -> NDArray:
    """Return maps (n, C, P) of people who have the modality, each channel scaled as our models scale it."""
    cohort = simulated.cohort
    known = simulated.train[cohort.rows[name][simulated.train] >= 0]
    frame = Frame.fit(reader_of(cohort, name, known, ClinicalEncoder()), len(known))
    return frame.scaled(reader_of(cohort, name, rows, ClinicalEncoder()), np.arange(len(rows))).transpose(1, 0, 2)


def _sized(features: NDArray, train: NDArray) -> NDArray:
    return features / np.sqrt((features[train] ** 2).sum(axis=1).mean())


def _forest(features: NDArray, targets: NDArray, seed: int):
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(300, class_weight="balanced_subsample", random_state=seed)
    return forest.fit(features, targets)


def _support_vectors(
    inner: NDArray, train: NDArray, external: NDArray, targets: NDArray, rbf: bool, seed: int
) -> NDArray:
    """Choose penalty and width by inner cross-validation, calibrate by another, predict the external people."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.svm import SVC

    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    lengths = np.diag(inner)
    apart = np.maximum(lengths[:, None] + lengths - 2 * inner, 0)
    # Features have unit size per modality, so that the grid means the same for all.
    kernels = [np.exp(-width * apart) for width in (0.05, 0.2, 1.0)] if rbf else [inner]
    svm, grid = SVC(kernel="precomputed", class_weight="balanced"), {"C": [0.1, 1, 10, 100]}
    tried = []
    for kernel in kernels:
        search = GridSearchCV(svm, grid, cv=folds, scoring="balanced_accuracy")
        tried.append((search.fit(kernel[np.ix_(train, train)], targets), kernel))
    search, kernel = max(tried, key=lambda trial: trial[0].best_score_)
    calibrated = CalibratedClassifierCV(search.best_estimator_, cv=folds, ensemble=False)
    calibrated.fit(kernel[np.ix_(train, train)], targets)
    return calibrated.predict_proba(kernel[np.ix_(external, train)])
