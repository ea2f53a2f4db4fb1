"""Whether encoders that start from unlabeled scans predict better: with and without, on the same made cohorts.

    python benchmarks/pretraining.py                                  # everything not yet measured, then the table
    python benchmarks/pretraining.py --kinds deformed --people 113 --seeds 0
    python benchmarks/pretraining.py --table                          # the table alone

Of each cohort the first people are labeled, 400 others are the external test, 800 more are unlabeled and pretrained on
once. A method is `model/start`: `random`; `scaled`, random as well, but maps scaled as for pretrained encoders (the
paper's network reads them as they are otherwise); `pretrained`. All on one thread; numbers go to
benchmarks/results/pretraining.jsonl, and cells that are there are not run again. Seeds 0 to 9 are for choosing
settings; without --seeds 100 to 102. Prints a table of means and of paired differences, then a line of JSON.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from _cases import ONE_THREAD, clock, read_cells  # noqa: E402

RESULTS = HERE / "results" / "pretraining.jsonl"
PEOPLE, UNLABELED = (56, 113, 400), 800
KEY = ("kind", "people", "seed", "method")
MODELS = {
    "neuromoe-paper": ("neuromoe-paper", {}, ("random", "scaled", "pretrained")),
    "neuromoe-networks": ("neuromoe", {"linear": False}, ("random", "pretrained")),
    "neuromoe": ("neuromoe", {}, ("random", "pretrained")),
}
METHODS = [f"{name}/{start}" for name, (_, _, starts) in MODELS.items() for start in starts]


def measure(kind: str, seed: int, cells: list[tuple[int, str]], results: Path) -> None:
    """Run cells of one cohort here and now; all share the pretrained encoders."""
    import numpy as np
    from _scores import scores
    from _simulators import EXTERNAL, Simulated, simulate

    from neuromoe.model import build_model
    from neuromoe.model.pretraining import pretrain

    whole = simulate(kind, seed, max(PEOPLE), EXTERNAL + UNLABELED)
    external, unlabeled = np.split(whole.external, [EXTERNAL])
    starts = {"random": ""}
    results.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for people, method in cells:
            name, start = method.split("/")
            model, settings, _ = MODELS[name]
            if start not in starts:
                starts[start] = f"{folder}/{start}"
                how = {} if start == "pretrained" else {"epochs": 1, "learning_rate": 0.0}
                with clock() as spent:
                    found = pretrain(whole.cohort, unlabeled, seed=seed, **how)
                found.save(starts[start])
                told = {"explained": {key: round(value, 4) for key, value in found.explained.items()}}
                _keep({"kind": kind, "people": 0, "seed": seed, "method": start, **told, "cpu_s": spent.cpu_s}, results)
            one = Simulated(whole.cohort, np.arange(people), external, whole.corrupted)
            with clock() as spent:
                fitted = build_model(model, seed=seed, pretrained=starts[start], **settings).fit(one.cohort, one.train)
                said, weights = fitted.predict_proba(one.cohort, external), fitted.gate(one.cohort, external)
            cell = {"kind": kind, "people": people, "seed": seed, "method": method}
            _keep({**cell, **scores(one, said, weights), "cpu_s": spent.cpu_s}, results)


def _keep(row: dict, results: Path) -> None:
    with results.open("a") as file:
        file.write(json.dumps(row) + "\n")
    print(json.dumps(row), flush=True)


def table(rows: list[dict], seeds: list[int] | None) -> tuple[str, dict[str, float]]:
    """Write means of each method, and what pretraining adds cohort by cohort; returns these gains too."""
    rows = [row for row in rows if row["people"] and (row["seed"] in seeds if seeds else row["seed"] >= 100)]
    lines, gains = [], {}
    for kind, people, name in sorted({(row["kind"], row["people"], row["method"].split("/")[0]) for row in rows}):
        mine = [row for row in rows if (row["kind"], row["people"]) == (kind, people)]
        by_start = {
            start: {row["seed"]: row for row in mine if row["method"] == f"{name}/{start}"} for start in MODELS[name][2]
        }
        for start, cells in by_start.items():
            both = [(cells[seed], by_start["pretrained"][seed]) for seed in cells if seed in by_start["pretrained"]]
            words = f"| {kind} | {people} | {name} | {start} | {len(cells)} "
            for key in ("balanced_accuracy", "nll"):
                gained = [new[key] - old[key] for old, new in both]
                change = sum(gained) / len(gained) if gained else float("nan")
                mean = sum(cell[key] for cell in cells.values()) / max(len(cells), 1)
                words += f"| {mean:.3f} | {change:+.3f} "
                if key == "balanced_accuracy" and start != "pretrained":
                    gains[f"{kind} {people} {name} over {start}"] = round(change, 4)
            lines.append(f"{words}|")
    head = "| kind | people | model | start | cohorts | balanced accuracy | pretraining adds | NLL | pretraining adds |"
    return "\n".join([head, "|---|---|---|---|---|---|---|---|---|", *lines]), gains


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", default=["additive", "deformed"])
    parser.add_argument("--people", type=int, nargs="+", default=list(PEOPLE), choices=PEOPLE, help="labeled")
    parser.add_argument("--seeds", type=int, nargs="+", help="of the cohorts; 0 to 9 are for choosing settings")
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the numbers are kept")
    parser.add_argument("--table", action="store_true", help="print the table alone")
    parser.add_argument("--here", action="store_true", help="measure in this process")
    asked = parser.parse_args()
    done = read_cells(asked.results, KEY)
    for seed in [] if asked.table else asked.seeds or range(100, 103):
        for kind in asked.kinds:
            cells = [(people, method) for people in asked.people for method in asked.methods]
            left = [cell for cell in cells if (kind, cell[0], seed, cell[1]) not in done]
            if left and asked.here:
                measure(kind, seed, left, asked.results)
            elif left:
                words = [sys.executable, __file__, "--here", "--kinds", kind, "--seeds", str(seed), "--people"]
                words += [*map(str, asked.people), "--results", str(asked.results), "--methods", *asked.methods]
                subprocess.run(words, env=os.environ | ONE_THREAD, check=False)
    if not asked.here:
        text, gains = table(list(read_cells(asked.results, KEY).values()), asked.seeds)
        print(text)
        print(json.dumps({"benchmark": "pretraining", "gains": gains}))


if __name__ == "__main__":
    main()
