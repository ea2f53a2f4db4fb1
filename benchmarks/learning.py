"""The models against named peers, on made cohorts of five kinds and an external test of 400 people.

    python benchmarks/learning.py                                # everything that is not yet measured, then the tables
    python benchmarks/learning.py --kinds additive --people 56 113 --methods kernel-moe late-fusion
    python benchmarks/learning.py --seeds 0 1 2                  # development seeds, 0 to 9, for choosing settings
    python benchmarks/learning.py --table                        # the tables alone
    python benchmarks/learning.py --summary                      # those of docs/benchmarks.md alone

A cell is one method on one cohort. All cells of a cohort run in a process of its own, on one thread, the methods in
turn; their numbers go to benchmarks/results/learning.jsonl. Cells that are there are not run again, so that a stopped
run goes on. Without --seeds there are 5 cohorts of 113 people and 3 of 400, seeds from 300, which no setting was chosen
on. The rows that docs/benchmarks.md shows are in the repository; those of `learning_one_channel.jsonl` are of older
simulators, whose maps had one channel and no anatomy in common.
Prints a table per kind and size, then one line of JSON: by how much `neuromoe-auto` is ahead of its nearest rivals.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from _cases import ONE_THREAD, read_cells  # noqa: E402

RESULTS = HERE / "results" / "learning.jsonl"
COHORTS = {113: 5, 400: 3}
FRESH = 300
KINDS = ("additive", "corrupted", "deformed", "interacting", "gated")

KEY = ("kind", "people", "seed", "method")


def run_cohort(kind: str, people: int, seed: int, methods: list[str], results: Path) -> None:
    """Measure methods on one cohort in a process of its own; it writes each as soon as it is done."""
    command = [sys.executable, __file__, "--cohort", kind, str(people), str(seed), "--methods", *methods]
    command += ["--results", str(results)]
    done = subprocess.run(command, env=os.environ | ONE_THREAD, capture_output=True, text=True, check=False)
    print(done.stdout, end="", flush=True)
    if done.returncode:
        print(f"{kind} {people} {seed}: failed\n{done.stderr[-2000:]}", flush=True)


def measure(kind: str, people: int, seed: int, methods: list[str], results: Path) -> None:
    """Run methods on one cohort here and now."""
    from _learners import learn
    from _scores import scores
    from _simulators import simulate

    simulated, fits = simulate(kind, seed, people), {}
    results.parent.mkdir(parents=True, exist_ok=True)
    for method in methods:
        probabilities, weights, cpu_s = learn(method, simulated, seed, fits)
        cell = {"kind": kind, "people": people, "seed": seed, "method": method}
        row = {**cell, **scores(simulated, probabilities, weights), "cpu_s": round(cpu_s, 3)}
        with results.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--people", type=int, nargs="+", default=list(COHORTS), help="to train on")
    parser.add_argument("--seeds", type=int, nargs="+", help="of the cohorts; 0 to 9 are for choosing settings")
    parser.add_argument("--methods", nargs="+", help="by default all")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the numbers are kept")
    parser.add_argument("--again", action="store_true", help="measure cells that are there, too")
    parser.add_argument("--table", action="store_true", help="print the tables alone")
    parser.add_argument("--summary", action="store_true", help="print the tables of docs/benchmarks.md alone")
    parser.add_argument("--cohort", nargs=3, metavar=("KIND", "PEOPLE", "SEED"), help="measure one here and now")
    return parser.parse_args()


def main() -> None:
    from _learners import OURS, PEERS
    from _scores import summary, table

    asked = _arguments()
    methods = asked.methods or [*OURS, *PEERS]
    if asked.cohort:
        measure(asked.cohort[0], int(asked.cohort[1]), int(asked.cohort[2]), methods, asked.results)
        return
    done = read_cells(asked.results, KEY)
    for people in [] if asked.table or asked.summary else asked.people:
        for seed in asked.seeds or range(FRESH, FRESH + COHORTS.get(people, 10)):
            for kind in asked.kinds:
                left = [name for name in methods if asked.again or (kind, people, seed, name) not in done]
                if left:
                    run_cohort(kind, people, seed, left, asked.results)
    rows = read_cells(asked.results, KEY).values()
    rows = [row for row in rows if (row["seed"] in asked.seeds if asked.seeds else row["seed"] >= FRESH)]
    if asked.summary:
        print(summary(rows))
        return
    text, gains = table(rows)
    print(text)
    print(json.dumps({"benchmark": "learning", "gains": gains}))


if __name__ == "__main__":
    main()
