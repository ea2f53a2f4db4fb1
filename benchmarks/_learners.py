"""What the models are measured against: scikit-learn's classifiers with settings from inner cross-validation.

Axis letters: N people, F features, K class.
"""

import numpy as np
from _deep_peers import DEEP, learn_deep
from _simulators import MODALITIES, Simulated
from numpy.typing import NDArray

from neuromoe.model import build_model
from neuromoe.model._clinical import ClinicalEncoder

OURS = (
    "majority",
    "clinical-logistic",
    "late-fusion",
    "kernel-moe",
    "early-fusion",
    "neuromoe-paper",
    "neuromoe",
    "neuromoe-auto",
)
PEERS = (*(f"svm-{name}" for name in MODALITIES), "early-svm-linear", "early-svm-rbf", "random-forest", *DEEP)


def learn(method: str, simulated: Simulated, seed: int) -> tuple[NDArray, NDArray | None]:
    """Fit one method on the training people; return the external people's probabilities and gate weights."""
    cohort, train, external = simulated.cohort, simulated.train, simulated.external
    if method in OURS:
        model = build_model(method, seed=seed).fit(cohort, train)
        return model.predict_proba(cohort, external), model.gate(cohort, external)
    if method in DEEP:
        return learn_deep(method, simulated, seed), None
    names = [method.removeprefix("svm-")] if method.startswith("svm-") else [*MODALITIES, "clinical"]
    features = np.hstack([_filled(simulated, name) for name in names])
    targets = cohort.labels[train].astype(int)
    if method == "random-forest":
        return _forest(features[train], targets, seed).predict_proba(features[external]), None
    return _support_vectors(features @ features.T, train, external, targets, "rbf" in method, seed), None


def _filled(simulated: Simulated, name: str) -> NDArray:
    """Return features (N, F) of unit size per modality, the training people's mean where absent."""
    cohort, train = simulated.cohort, simulated.train
    if name == "clinical":
        features = ClinicalEncoder.fit(cohort.clinical.iloc[train], cohort.clinical_types).encode(
            cohort.clinical, len(cohort)
        )
        return _sized(features, train)
    there = np.flatnonzero(cohort.rows[name] >= 0)
    features = np.zeros((len(cohort), int(np.prod(cohort.tokens[name].shape[1:]))), np.float32)
    features[there] = cohort.patches(name, there).reshape(len(there), -1)
    features[there] -= features[np.intersect1d(there, train)].mean(axis=0)
    return _sized(features, train)


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
