"""An experiment's out-of-fold predictions, pooled and scored."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from neuromoe.evaluate._pool import Pooled

# Of a fold alone, these have a value worth comparing between folds.
_PER_FOLD = ("accuracy", "balanced_accuracy", "macro_auc", "nll", "brier")
_SCALARS = (*_PER_FOLD, "macro_f1", "ece")
_PER_CLASS = ("recall", "precision", "f1", "auc")

_METHODS = {
    "value": "computed on the pooled out-of-fold predictions of each repeat, averaged over repeats",
    "interval": "percentile bootstrap over participants, each with all sessions and repeats, "
    "doi:10.1111/j.1467-9868.2007.00593.x; it holds the fitted models fixed",
    "folds": "mean over folds, variance corrected for shared training people, doi:10.1023/A:1024068626366",
    "ece": "ten bins of equal width on the largest probability, doi:10.48550/arXiv.1706.04599; "
    "biased upwards in small samples",
    "brier": "sum over classes, 0 to 2, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2",
    "chance": "the share of the largest class; 1 / classes; 0.5; the entropy of the class shares",
}


def score(
    *,
    experiment: str,
    models: Path,
    predictions: Path,
    metrics: Path,
    folds: list[str] | None = None,
    bootstrap: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> None:
    """Pool an experiment's out-of-fold predictions and compute every metric with its interval.

    Parameters
    ----------
    experiment : str
        Its name.
    models : path
        The folder of all experiments' fits, or of this one's.
    predictions : path
        Table to write: all folds' predictions.
    metrics : path
        JSON file to write: `metrics` (value, low, high, and over folds where that is defined), `classes`
        (recall, precision, F1, AUC and mean gate weights of each), `chance`, `confusion` (mean count per
        repeat, rows are the truth), `reliability`, `patterns`, counts and methods.
    folds : list of str, optional
        The fits that belong to it, as `repeat-0_fold-1`; default all that are there.
    bootstrap : int, default=2000
        Resamples of the participants.
    confidence : float, default=0.95
        Of all intervals.
    seed : int, default=0
        Of the resamples.

    Raises
    ------
    InputError
        There are no predictions, or they do not fit together.

    References
    ----------
    Field CA, Welsh AH 2007, doi:10.1111/j.1467-9868.2007.00593.x.
    Nadeau C, Bengio Y 2003, doi:10.1023/A:1024068626366.
    """
    from neuromoe.core.atomic import write_json, write_text
    from neuromoe.evaluate._calibrate import fit_temperature, reliability
    from neuromoe.evaluate._pool import arrays_of, gather

    table = gather(models, experiment, folds)
    pooled = arrays_of(table)
    record = {
        "experiment": experiment,
        "people": pooled.people,
        "sessions": len(table.drop_duplicates(["participant_id", "session_id"])),
        "repeats": len(pooled.repeats),
        "folds": len(table.drop_duplicates(["repeat", "fold"])),
        "bootstrap": bootstrap,
        "confidence": confidence,
        "methods": _METHODS,
        "patterns": table[table["repeat"] == table["repeat"].min()]["pattern"].value_counts().to_dict(),
        "confusion": {"classes": pooled.classes, "counts": _confusion(pooled)},
        "reliability": reliability(
            pooled.repeats, pooled.owners, resamples=bootstrap, confidence=confidence, seed=seed
        ),
        "temperature": sum(map(fit_temperature, pooled.repeats)) / len(pooled.repeats),
        **_scored(pooled, bootstrap, confidence, seed),
    }
    write_text(predictions, table.to_csv(sep="\t", index=False, float_format="%.9g", lineterminator="\n"))
    write_json(metrics, record)
    for name in ("balanced_accuracy", "macro_auc", "nll"):
        one = record["metrics"][name]
        print(f"{experiment}: {name} {one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f})", flush=True)


def _scored(pooled: "Pooled", resamples: int, confidence: float, seed: int) -> dict[str, Any]:
    import numpy as np

    from neuromoe.evaluate._intervals import bootstrap, percentile_interval

    values, drawn = bootstrap(pooled.repeats, pooled.owners, resamples=resamples, seed=seed)
    bounds = {name: percentile_interval(sample, confidence) for name, sample in drawn.items()}

    def one(name: str, *place: int) -> dict[str, float]:
        low, high = bounds[name]
        return {"value": float(values[name][place]), "low": float(low[place]), "high": float(high[place])}

    truth = np.concatenate([repeat.targets for repeat in pooled.repeats])
    return {
        "metrics": {name: one(name) | _over_folds(pooled, name, confidence) for name in _SCALARS},
        "classes": {
            label: {
                "sessions": int((truth == k).sum() // len(pooled.repeats)),
                **{name: one(name, k) for name in _PER_CLASS},
                "gate": {modality: one("gate", k, m) for m, modality in enumerate(pooled.modalities)},
            }
            for k, label in enumerate(pooled.classes)
        },
        "chance": _chance(truth, len(pooled.classes), one("majority_accuracy")),
    }


def _over_folds(pooled: "Pooled", name: str, confidence: float) -> dict[str, Any]:
    """Return the mean over folds with its corrected interval, for metrics that a fold alone can have."""
    import numpy as np

    from neuromoe.evaluate._intervals import corrected_interval
    from neuromoe.evaluate._metrics import Predictions, compute

    if name not in _PER_FOLD:
        return {}
    values, tested, known = [], [], []
    for one, folds in zip(pooled.repeats, pooled.folds, strict=True):
        for fold in np.unique(folds):
            mine = np.flatnonzero(folds == fold)
            part = Predictions(one.probabilities[mine], one.targets[mine], one.gates[mine])
            values.append(compute(part, np.ones((1, len(mine))))[name][0])
            tested.append(len(mine))
            known.append(len(folds))
    # Where everybody is tested once per repeat, the rest of the repeat was there to fit on.
    train = np.mean(known) - np.mean(tested)
    ratio = np.mean(tested) / train if train > 0 else np.nan
    mean, low, high = corrected_interval(np.array(values), float(ratio), confidence)
    return {"folds": {"mean": mean, "low": low, "high": high}}


def _chance(truth: "np.ndarray", classes: int, majority: dict[str, float]) -> dict[str, Any]:
    import numpy as np

    shares = np.bincount(truth, minlength=classes) / len(truth)
    entropy = -float((shares[shares > 0] * np.log(shares[shares > 0])).sum())
    return {
        "accuracy": majority,
        "balanced_accuracy": {"value": 1 / classes},
        "macro_auc": {"value": 0.5},
        "nll": {"value": entropy},
        "brier": {"value": 1 - float((shares**2).sum())},
    }


def _confusion(pooled: "Pooled") -> list[list[float]]:
    import numpy as np

    size = len(pooled.classes)
    counts = np.zeros((size, size))
    for one in pooled.repeats:
        np.add.at(counts, (one.targets, one.chosen), 1 / len(pooled.repeats))
    return counts.round(6).tolist()
