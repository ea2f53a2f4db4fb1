"""How far probabilities can be taken at their word.

Axis letters: B resample, N prediction, K class, Q calibration bin.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromoe.evaluate._intervals import draw_people, percentile_interval
from neuromoe.evaluate._metrics import BINS, Predictions, confidence_bins


def reliability(
    repeats: Sequence[Predictions], owners: Sequence[NDArray], *, resamples: int, confidence: float, seed: int
) -> list[dict[str, Any]]:
    """Compare confidence and hits in each of ten bins, over all repeats.

    Parameters
    ----------
    repeats, owners : sequence
        As in `_intervals.bootstrap`.
    resamples, seed : int
        Draws of participants for the interval.
    confidence : float
        Of the interval, as 0.95.

    Returns
    -------
    list of dict
        Per bin that is not empty: its edges, the mean largest probability, the share of hits with its
        interval, and the number of predictions per repeat.
    """
    bins_N = np.concatenate([confidence_bins(one) for one in repeats])
    hits_N = np.concatenate([one.chosen == one.targets for one in repeats]).astype(float)
    sure_N = np.concatenate([one.probabilities.max(axis=1) for one in repeats])
    owner_N = np.concatenate(owners)
    counts_BP = draw_people(owner_N.max() + 1, resamples, np.random.default_rng(seed))
    bins = []
    for number in range(BINS):
        inside = bins_N == number
        if inside.any():
            low, high = _share(hits_N[inside], owner_N[inside], counts_BP, confidence)
            edges = {"from": number / BINS, "to": (number + 1) / BINS}
            means = {
                "confidence": sure_N[inside].mean(),
                "hits": hits_N[inside].mean(),
                "low": low,
                "high": high,
            }
            bins.append({**edges, **means, "predictions": inside.sum() / len(repeats)})
    return bins


def _share(hits_N: NDArray, owner_N: NDArray, counts_BP: NDArray, confidence: float) -> tuple[float, float]:
    people = counts_BP.shape[1]
    hits_P, all_P = np.bincount(owner_N, hits_N, people), np.bincount(owner_N, minlength=people)
    over_B, under_B = counts_BP @ hits_P, counts_BP @ all_P
    share_B = np.divide(over_B, under_B, out=np.full(len(over_B), np.nan), where=under_B > 0)
    low, high = percentile_interval(share_B, confidence)
    return float(low), float(high)


def fit_temperature(predictions: Predictions) -> float:
    """Find the most likely temperature: above 1 the predictions were too sure, below 1 not enough.

    References
    ----------
    Guo C et al. 2017, doi:10.48550/arXiv.1706.04599.
    """
    from scipy.optimize import minimize_scalar

    log_NK = np.log(np.maximum(predictions.probabilities, np.finfo(float).tiny))
    rows = np.arange(len(log_NK))

    def loss(log_temperature: float) -> float:
        scaled_NK = log_NK / np.exp(log_temperature)
        top_N = scaled_NK.max(axis=1)
        total_N = top_N + np.log(np.exp(scaled_NK - top_N[:, None]).sum(axis=1))
        return float((total_N - scaled_NK[rows, predictions.targets]).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))
