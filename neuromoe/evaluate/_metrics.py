"""Metrics of many resamples at once: each resample is a weight per prediction.

Axis letters: B resample, N prediction (one session in one repeat), K class, M modality, Q calibration bin.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 10
# A probability of 0 for what happened would make the mean infinite; scikit-learn's limit for float64.
_LEAST = np.finfo(float).eps


@dataclass(frozen=True, eq=False)
class Predictions:
    """Out-of-fold predictions of one repeat.

    Parameters
    ----------
    probabilities : array (N, K)
        Rows sum to 1.
    targets : array (N,), int
        Column of the true class.
    gates : array (N, M)
        Weights of the modalities.
    """

    probabilities: NDArray
    targets: NDArray
    gates: NDArray

    @property
    def chosen(self) -> NDArray:
        """Column of the most probable class (N,)."""
        return self.probabilities.argmax(axis=1)


def compute(predictions: Predictions, weights_BN: NDArray) -> dict[str, NDArray]:
    """Compute all metrics of each resample.

    Parameters
    ----------
    predictions : Predictions
        N of them.
    weights_BN : array (B, N)
        How often each prediction is in each resample; ones for the predictions as they are.

    Returns
    -------
    dict of str to array (B,) or (B, K) or (B, K, M)
        `accuracy`, `balanced_accuracy`, `macro_auc` (one-vs-rest), `macro_f1`, `nll` (nats), `brier` (sum
        over classes, 0 to 2), `ece`; `recall`, `precision`, `auc`, `f1` per class; `gate` per class and
        modality; `majority_accuracy`, the share of the largest class. NaN where a resample lacks a class that
        it needs.

    References
    ----------
    Brier score: Brier GW 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.
    Calibration error: Guo C et al. 2017, doi:10.48550/arXiv.1706.04599, with ten bins of equal width.
    """
    weights_BN = np.asarray(weights_BN, float)
    total_B = weights_BN.sum(axis=1)
    p_NK, targets_N = predictions.probabilities, predictions.targets
    truth_NK = np.eye(p_NK.shape[1])[targets_N]
    losses_N2 = np.stack([-np.log(np.maximum(p_NK[truth_NK > 0], _LEAST)), ((p_NK - truth_NK) ** 2).sum(axis=1)], 1)
    nll_B, brier_B = (weights_BN @ losses_N2 / total_B[:, None]).T
    by_class = _confusion_metrics(predictions, truth_NK, weights_BN, total_B)
    auc_BK = np.stack([weighted_auc(p_NK[:, k], targets_N == k, weights_BN) for k in range(p_NK.shape[1])], axis=1)
    return {
        **by_class,
        "auc": auc_BK,
        "macro_auc": auc_BK.mean(axis=1),
        "nll": nll_B,
        "brier": brier_B,
        "ece": calibration_error(predictions, weights_BN),
        "gate": _mean_gate(predictions.gates, truth_NK, weights_BN),
    }


def _ratio(over: NDArray, under: NDArray) -> NDArray:
    return np.divide(over, under, out=np.full(np.broadcast(over, under).shape, np.nan), where=under > 0)


def _confusion_metrics(
    predictions: Predictions, truth_NK: NDArray, weights_BN: NDArray, total_B: NDArray
) -> dict[str, NDArray]:
    chosen_NK = np.eye(truth_NK.shape[1])[predictions.chosen]
    hit_BK = weights_BN @ (truth_NK * chosen_NK)
    truth_BK, chosen_BK = weights_BN @ truth_NK, weights_BN @ chosen_NK
    recall_BK = _ratio(hit_BK, truth_BK)
    f1_BK = _ratio(2 * hit_BK, truth_BK + chosen_BK)
    return {
        "accuracy": hit_BK.sum(axis=1) / total_B,
        "balanced_accuracy": recall_BK.mean(axis=1),
        "macro_f1": f1_BK.mean(axis=1),
        "recall": recall_BK,
        "precision": _ratio(hit_BK, chosen_BK),
        "f1": f1_BK,
        "majority_accuracy": truth_BK[:, truth_NK.sum(axis=0).argmax()] / total_B,
    }


def weighted_auc(scores_N: NDArray, positive_N: NDArray, weights_BN: NDArray) -> NDArray:
    """Compute the area under the ROC curve of each resample, ties counted half.

    Parameters
    ----------
    scores_N : array (N,)
        Higher for the positive.
    positive_N : array (N,), bool
        The truth.
    weights_BN : array (B, N)
        How often each is in each resample.

    Returns
    -------
    array (B,)
        NaN where a resample lacks positives or negatives.

    Examples
    --------
    >>> weighted_auc(np.array([0.1, 0.4, 0.4, 0.8]), np.array([False, False, True, True]), np.ones((1, 4)))
    array([0.875])
    """
    order = np.argsort(scores_N, kind="stable")
    starts = np.flatnonzero(np.diff(scores_N[order], prepend=-np.inf) > 0)
    ordered_BN = weights_BN[:, order]
    positive_BT = np.add.reduceat(ordered_BN * positive_N[order], starts, axis=1)
    negative_BT = np.add.reduceat(ordered_BN * ~positive_N[order], starts, axis=1)
    below_BT = negative_BT.cumsum(axis=1) - negative_BT / 2
    wins_B = (positive_BT * below_BT).sum(axis=1)
    return _ratio(wins_B, positive_BT.sum(axis=1) * negative_BT.sum(axis=1))


def confidence_bins(predictions: Predictions) -> NDArray:
    """Sort predictions by their largest probability into ten bins of equal width (N,)."""
    return np.minimum((predictions.probabilities.max(axis=1) * BINS).astype(int), BINS - 1)


def calibration_error(predictions: Predictions, weights_BN: NDArray) -> NDArray:
    """Compute the expected calibration error of each resample (B,), its bins weighed by their size."""
    bins_NQ = np.eye(BINS)[confidence_bins(predictions)]
    gap_N = (predictions.chosen == predictions.targets) - predictions.probabilities.max(axis=1)
    return np.abs(weights_BN @ (bins_NQ * gap_N[:, None])).sum(axis=1) / weights_BN.sum(axis=1)


def _mean_gate(gates_NM: NDArray, truth_NK: NDArray, weights_BN: NDArray) -> NDArray:
    classes, modalities = truth_NK.shape[1], gates_NM.shape[1]
    pairs_NKM = truth_NK[:, :, None] * gates_NM[:, None, :]
    sums_BKM = (weights_BN @ pairs_NKM.reshape(len(gates_NM), -1)).reshape(len(weights_BN), classes, modalities)
    return _ratio(sums_BKM, (weights_BN @ truth_NK)[:, :, None])
