"""What a user gets: made people through the whole workflow to tensors, then every model on people of the same draw.

    python benchmarks/cohort.py FOLDER                           # 113 people to train on, 200 to test on
    python benchmarks/cohort.py FOLDER --train 40 --test 26      # fewer
    python benchmarks/cohort.py FOLDER --size tiny --cores 2     # coarse images, to try the script

The people are those of the embedded demo with another seed, three classes with the demo's effects, which were fixed
before the first run. FOLDER holds images, derivatives and tensors, some GB; a run that was stopped goes on, and a
change of the preprocessing runs again what hangs on it. Preprocessing takes about four CPU minutes a person at
`demo` size.
Then each model is fitted once on the first `--train` people and predicts the others. Rows go to
benchmarks/results/cohort.jsonl; models that have a row for the same tensors are not fitted again. Prints a table, with
95 % intervals of paired differences by people drawn anew, then one line of JSON.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from _cases import ONE_THREAD, clock, read_cells  # noqa: E402

RESULTS = HERE / "results" / "cohort.jsonl"
SEED, DRAWS = 2026, 2000
KEY = ("tensors", "train", "test", "method")
METHODS = (
    "neuromoe-auto",
    "neuromoe",
    "kernel-moe",
    "neuromoe-paper",
    "late-fusion",
    "early-fusion",
    "clinical-logistic",
    "svm-anat",
    "svm-dwi",
    "svm-func",
    "early-svm-linear",
    "random-forest",
    "majority",
)


def preprocess(folder: Path, people: int, size: str, cores: int) -> tuple[Path, Path]:
    """Run the workflow to the store of tensors; return it and the clinical table."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"output_dir": str(folder.resolve()), "seed": SEED}
    settings["simulate"] = {"cohort": {"sessions": people, "size": size}}
    (folder / "config.json").write_text(json.dumps(settings, indent=1))
    command = [sys.executable, "-m", "snakemake", "-s", str(HERE.parent / "Snakefile"), "tensors_all"]
    command += ["--cores", str(cores), "--configfile", str(folder / "config.json"), "--directory", str(folder)]
    subprocess.run([*command, "--rerun-incomplete"], env=os.environ | ONE_THREAD, check=True)
    return folder / "tensors" / "store", folder / "index" / "clinical.tsv"


def measure(store: Path, clinical: Path, train: int, test: int, methods: list[str], results: Path) -> list[dict]:
    """Fit and test each method; return their rows."""
    from _learners import learn
    from _simulators import Simulated

    from neuromoe.model import Cohort

    cohort = Cohort.open(store, clinical=clinical)
    rows = np.flatnonzero([label is not None for label in cohort.labels])[: train + test]
    nobody = np.zeros((len(cohort), len(cohort.tokens)), bool)
    simulated, fits = Simulated(cohort, rows[:train], rows[train:], nobody), {}
    known = hashlib.sha256((store / "index.tsv").read_bytes() + (store / "store.json").read_bytes())
    for name in cohort.tokens:
        known.update(np.ascontiguousarray(cohort.tokens[name][:8]).tobytes())
    about = {"tensors": known.hexdigest()[:12], "train": train, "test": len(rows) - train}
    done = read_cells(results, KEY)
    results.parent.mkdir(exist_ok=True)
    for method in methods:
        key = (*about.values(), method)
        if key in done:
            continue
        said, _, cpu_s = learn(method, simulated, 0, fits)
        row = {**about, "method": method, "cpu_s": round(cpu_s, 1), "said": np.round(said, 5).tolist()}
        done[key] = {**row, "labels": [str(label) for label in cohort.labels[simulated.external]]}
        with results.open("a") as file:
            file.write(json.dumps(done[key]) + "\n")
        print(f"{method}: {cpu_s:.1f} CPU s", flush=True)
    return [row for key, row in done.items() if key[:3] == tuple(about.values()) and key[3] in methods]


def table(rows: list[dict]) -> tuple[str, dict]:
    """Write balanced accuracy, log loss, and by how much the first method is ahead of each."""
    labels = np.array(rows[0]["labels"])
    classes, targets = np.unique(labels, return_inverse=True)
    right = {row["method"]: np.argmax(row["said"], axis=1) == targets for row in rows}
    losses = {row["method"]: -np.log(np.array(row["said"])[np.arange(len(targets)), targets] + 1e-9) for row in rows}
    first, lines, gains = rows[0]["method"], [], {}
    for row in rows:
        name = row["method"]
        value, gain = _balanced(right[name], targets), _interval(right[first], right[name], targets)
        gains[name] = gain
        shown = f"{gain[0]:+.3f} ({gain[1]:+.3f} to {gain[2]:+.3f})" if name != first else ""
        lines.append(f"| {name} | {value:.3f} | {losses[name].mean():.3f} | {row['cpu_s']:.0f} | {shown} |")
    head = f"{rows[0]['train']} people to train on, {len(targets)} to test on, {len(classes)} classes\n\n"
    head += f"| method | balanced accuracy | log loss | CPU s | {first} ahead by (95 %) |\n|---|---|---|---|---|\n"
    return head + "\n".join(lines), gains


def _balanced(right: NDArray, targets: NDArray) -> float:
    return float(np.mean([right[targets == one].mean() for one in np.unique(targets)]))


def _interval(one: NDArray, other: NDArray, targets: NDArray) -> list[float]:
    rng, drawn = np.random.default_rng(0), []
    places = [np.flatnonzero(targets == label) for label in np.unique(targets)]
    for _ in range(DRAWS):
        rows = np.concatenate([rng.choice(mine, len(mine)) for mine in places])
        drawn.append(_balanced(one[rows], targets[rows]) - _balanced(other[rows], targets[rows]))
    ahead = _balanced(one, targets) - _balanced(other, targets)
    return [round(float(value), 4) for value in (ahead, *np.quantile(drawn, [0.025, 0.975]))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=113)
    parser.add_argument("--test", type=int, default=200)
    parser.add_argument("--size", default="demo", choices=["tiny", "demo", "full"])
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--results", type=Path, default=RESULTS)
    asked = parser.parse_args()
    with clock() as spent:
        store, clinical = preprocess(asked.folder, asked.train + asked.test, asked.size, asked.cores)
    print(f"preprocessing: {spent.cpu_s / 60:.0f} CPU minutes", flush=True)
    text, gains = table(measure(store, clinical, asked.train, asked.test, asked.methods, asked.results))
    print(text)
    print(json.dumps({"benchmark": "cohort", "gains": gains}))


if __name__ == "__main__":
    main()
