"""Intervals: people drawn anew, and folds compared.

Axis letters: B resample, N prediction, P participant, R repeat.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neuromoe.evaluate._metrics import Predictions, compute

# Cells of a block of resamples: what a few arrays of float64 need stays near 100 MB.
_CELLS = 4_000_000


def draw_people(count: int, resamples: int, rng: np.random.Generator) -> NDArray:
    """Draw participants with replacement: how often each is in each resample (B, P)."""
    return rng.multinomial(count, np.full(count, 1 / count), size=resamples)


def bootstrap(
    repeats: Sequence[Predictions], owners: Sequence[NDArray], *, resamples: int, seed: int
) -> tuple[dict[str, NDArray], dict[str, NDArray]]:
    """Compute every metric as it is and of each resample of the participants.

    A participant comes with all sessions and in all repeats at once, and a metric is averaged over the
    repeats within a resample: repeats of the same people are no new people, and do not narrow the interval as
    if they were.

    Parameters
    ----------
    repeats : sequence of Predictions
        One per repeat.
    owners : sequence of array (N,), int
        The participant of each prediction, numbered alike in all repeats.
    resamples, seed : int
        How many; of the draws.

    Returns
    -------
    values : dict of str to array
        The metrics, averaged over repeats.
    drawn : dict of str to array (B, ...)
        The same of each resample.

    References
    ----------
    Field CA, Welsh AH 2007, doi:10.1111/j.1467-9868.2007.00593.x (the cluster bootstrap).
    """
    rng = np.random.default_rng(seed)
    count = max(int(owner.max()) for owner in owners) + 1
    block = max(1, _CELLS // max(len(owner) for owner in owners))
    values = _averaged(repeats, owners, np.ones((1, count)))
    blocks = [
        _averaged(repeats, owners, draw_people(count, min(block, resamples - start), rng))
        for start in range(0, resamples, block)
    ]
    drawn = {name: np.concatenate([one[name] for one in blocks]) for name in values}
    return {name: value[0] for name, value in values.items()}, drawn


def _averaged(repeats: Sequence[Predictions], owners: Sequence[NDArray], counts_BP: NDArray) -> dict[str, NDArray]:
    each = [compute(one, counts_BP[:, owner]) for one, owner in zip(repeats, owners, strict=True)]
    return {name: np.mean([metrics[name] for metrics in each], axis=0) for name in each[0]}


def percentile_interval(drawn: NDArray, confidence: float) -> tuple[NDArray, NDArray]:
    """Return the percentile interval over the first axis, of the resamples that have a value."""
    tail = (1 - confidence) / 2 * 100
    undefined = np.isnan(drawn).all(axis=0)
    filled = np.where(undefined, 0.0, drawn)
    low, high = np.nanpercentile(filled, [tail, 100 - tail], axis=0)
    return np.where(undefined, np.nan, low), np.where(undefined, np.nan, high)


def corrected_interval(values_J: NDArray, test_over_train: float, confidence: float) -> tuple[float, float, float]:
    """Compute the mean over folds with an interval corrected for their shared training people.

    Parameters
    ----------
    values_J : array (J,)
        A metric of each fold of each repeat.
    test_over_train : float
        People tested over people fitted on, in a fold.
    confidence : float
        As 0.95.

    Returns
    -------
    mean, low, high : float
        NaN for fewer than two folds or where a fold has no value.

    References
    ----------
    Nadeau C, Bengio Y 2003, doi:10.1023/A:1024068626366: variance (1/J + n_test/n_train) s^2, t with J - 1
    degrees of freedom.
    """
    from scipy.stats import t

    folds = len(values_J)
    if folds < 2 or not np.isfinite(values_J).all():
        return np.nan, np.nan, np.nan
    error = np.sqrt((1 / folds + test_over_train) * values_J.var(ddof=1))
    reach = t.ppf((1 + confidence) / 2, folds - 1) * error
    mean = float(values_J.mean())
    return mean, mean - float(reach), mean + float(reach)
