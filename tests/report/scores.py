"""Metrics as the step `evaluate score` writes them."""

CLASSES = ["CN", "MCI", "AD"]


def score(value: float | None, low: float | None, high: float | None) -> dict:
    return {"value": value, "low": low, "high": high}


def record(name: str = "neuromoe", people: int = 24, bounds: tuple = (0.2, 0.6), **changed) -> dict:
    """Metrics as `evaluate score` writes them."""
    low, high = bounds
    value = None if low is None else (low + high) / 2
    metrics = {m: score(value, low, high) for m in ("accuracy", "balanced_accuracy", "macro_auc", "macro_f1")}
    metrics |= {m: score(1.0, 0.9, 1.2) for m in ("nll", "brier", "ece")}
    gate = {m: score(w, w - 0.1, w + 0.1) for m, w in (("anat", 0.5), ("clinical", 0.3), ("func", 0.2))}
    return {
        "experiment": name,
        "people": people,
        "repeats": 2,
        "folds": 10,
        "bootstrap": 2000,
        "confidence": 0.95,
        "methods": {"interval": "bootstrap over participants"},
        "confusion": {"classes": CLASSES, "counts": [[6, 1, 1], [2, 4, 2], [0, 3, 5]]},
        "reliability": [
            {"confidence": 0.45, "hits": 0.4, "low": 0.2, "high": 0.6, "predictions": 14},
            {"confidence": 0.9, "hits": 1.0, "low": None, "high": None, "predictions": 10},
        ],
        "temperature": 1.5,
        "metrics": metrics,
        "classes": {label: {"gate": gate} for label in sorted(CLASSES)},
        "chance": {
            "accuracy": {"value": 0.4},
            "balanced_accuracy": {"value": 1 / 3},
            "macro_auc": {"value": 0.5},
            "nll": {"value": 1.1},
            "brier": {"value": 0.66},
        },
        **changed,
    }
