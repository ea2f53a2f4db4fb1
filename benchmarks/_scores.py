"""Numbers of one fitted method on the external people, and the tables of many.

Axis letters: N people, K class.
"""

import numpy as np
from _simulators import MODALITIES, Simulated
from numpy.typing import NDArray

HEADLINE = "neuromoe-auto"
SIMPLE = ("late-fusion", "clinical-logistic", "majority")
GROUPS = {
    "of all": lambda name: True,
    "single modality or late fusion": lambda name: name.startswith("svm-") or name in SIMPLE,
    "early fusion": lambda name: name.startswith("early-") or name == "random-forest",
}
SHOWN = ("balanced_accuracy", "nll", "ece", "gate_auc", "cpu_s")


def scores(simulated: Simulated, probabilities_NK: NDArray, weights: NDArray | None) -> dict[str, float | None]:
    """Score external predictions; `gate_auc` tells spoilt from good scans by one minus their weight."""
    from sklearn.metrics import balanced_accuracy_score

    targets = simulated.cohort.labels[simulated.external].astype(int)
    picked = probabilities_NK[np.arange(len(targets)), targets]
    found = {
        "balanced_accuracy": balanced_accuracy_score(targets, probabilities_NK.argmax(axis=1)),
        "nll": -np.log(np.maximum(picked, 1e-12)).mean(),
        "ece": calibration_error(probabilities_NK, targets),
    }
    return {
        **{name: round(float(value), 5) for name, value in found.items()},
        "gate_auc": _gate_auc(simulated, weights),
    }


def calibration_error(probabilities_NK: NDArray, targets: NDArray) -> float:
    """Return the expected calibration error as the step `evaluate score` counts it."""
    from neuromoe.evaluate import _metrics

    predictions = _metrics.Predictions(probabilities_NK, targets, np.zeros((len(targets), 0)))
    return float(_metrics.calibration_error(predictions, np.ones((1, len(targets))))[0])


def _gate_auc(simulated: Simulated, weights: NDArray | None) -> float | None:
    from sklearn.metrics import roc_auc_score

    rows, columns = simulated.external, len(MODALITIES)
    there = simulated.cohort.present(rows)[:, :columns]
    spoilt = simulated.corrupted[rows][there]
    if weights is None or not spoilt.any() or not weights.any():
        return None
    return round(float(roc_auc_score(spoilt, 1 - weights[:, :columns][there])), 5)


def table(rows: list[dict]) -> tuple[str, dict[str, dict]]:
    """Write a table per kind and size; methods are compared with `neuromoe-auto` cohort by cohort.

    Returns
    -------
    text : str
    gains : dict
        Of each kind and size: balanced accuracy of `neuromoe-auto` less that of the best other method, of the best
        single modality or late fusion, and of the best early fusion, on the cohorts that both have.
    """
    parts, gains = [], {}
    for kind, people in sorted({(row["kind"], row["people"]) for row in rows}):
        cells = _cells(rows, kind, people)
        lines = [_line(cells, method) for method in dict.fromkeys(name for name, _ in cells)]
        head = "| method | cohorts | " + " | ".join(SHOWN) + f" | {HEADLINE} ahead by (95 %) |"
        parts.append("\n".join([f"\n## {kind}, {people} people\n", head, "|---" * (len(SHOWN) + 3) + "|", *lines]))
        gains[f"{kind}-{people}"] = _gains(cells)
    return "\n".join(parts), gains


def summary(rows: list[dict]) -> str:
    """Write the tables of docs/benchmarks.md: a table per kind with a column per size, then the headline's gains."""
    parts = []
    for kind in sorted({row["kind"] for row in rows}):
        sizes = sorted({row["people"] for row in rows if row["kind"] == kind})
        cells = {size: _cells(rows, kind, size) for size in sizes}
        counts = [len({seed for _, seed in cells[size]}) for size in sizes]
        heads = [f"{size} people ({count})" for size, count in zip(sizes, counts, strict=True)]
        parts += [f"\n`{kind}`:\n", "| method | " + " | ".join(heads) + " |", "|---" * (len(sizes) + 1) + "|"]
        for method in dict.fromkeys(name for size in sizes for name, _ in cells[size]):
            shown = [_pair(cells[size], method, count) for size, count in zip(sizes, counts, strict=True)]
            parts.append(f"| {method} | " + " | ".join(shown) + " |")
    parts += ["\n| cohorts | " + " | ".join(f"nearest {name}" for name in GROUPS) + " | ECE | AUC |"]
    parts += ["|---" * (len(GROUPS) + 3) + "|"]
    for kind, size in sorted({(row["kind"], row["people"]) for row in rows}):
        cells = _cells(rows, kind, size)
        gains = [str(gain) for gain in _gains(cells).values()]
        own = [f"{_mean(cells, HEADLINE, number):.3f}".replace("nan", "") for number in ("ece", "gate_auc")]
        parts.append(f"| {kind}, {size} | " + " | ".join([*gains, *own]) + " |")
    return "\n".join(parts)


def _cells(rows: list[dict], kind: str, people: int) -> dict:
    return {(row["method"], row["seed"]): row for row in rows if (row["kind"], row["people"]) == (kind, people)}


def _pair(cells: dict, method: str, cohorts: int) -> str:
    count = len([seed for name, seed in cells if name == method])
    if not count:
        return ""
    accuracy, loss = (_mean(cells, method, number) for number in ("balanced_accuracy", "nll"))
    return f"{accuracy:.3f} / {loss:.2f}".removeprefix("0") + (f" ({count})" if count < cohorts else "")


def _gains(cells: dict) -> dict[str, str | None]:
    methods = {name for name, _ in cells} - {HEADLINE}
    return {group: _least_gain(cells, sorted(filter(among, methods))) for group, among in GROUPS.items()}


def _least_gain(cells: dict, methods: list[str]) -> str | None:
    """Say how far the headline is ahead of that method which it is least ahead of."""
    gains = {method: _ahead(cells, method) for method in methods}
    gains = {method: values for method, values in gains.items() if values}
    if not gains:
        return None
    nearest = min(gains, key=lambda method: np.mean(gains[method]))
    return f"{nearest} {_interval(gains[nearest])}"


def _ahead(cells: dict, method: str) -> list[float]:
    """Return the headline's balanced accuracy less the method's, of each cohort that both have."""
    shared = [seed for name, seed in cells if name == method and (HEADLINE, seed) in cells]
    return [cells[HEADLINE, seed]["balanced_accuracy"] - cells[method, seed]["balanced_accuracy"] for seed in shared]


def _mean(cells: dict, method: str, number: str) -> float:
    values = [row[number] for (name, _), row in cells.items() if name == method and row[number] is not None]
    return float(np.mean(values)) if values else float("nan")


def _line(cells: dict, method: str) -> str:
    seeds = [seed for name, seed in cells if name == method]
    numbers = [f"{_mean(cells, method, number):.3f}" for number in SHOWN]
    return f"| {method} | {len(seeds)} | " + " | ".join(numbers) + f" | {_interval(_ahead(cells, method))} |"


def _interval(differences: list[float]) -> str:
    from scipy.stats import t

    if not differences:
        return ""
    mean, count = np.mean(differences), len(differences)
    if count < 2:
        return f"{mean:+.3f}"
    half = t.ppf(0.975, count - 1) * np.std(differences, ddof=1) / np.sqrt(count)
    return f"{mean:+.3f} ({mean - half:+.3f} to {mean + half:+.3f})"
