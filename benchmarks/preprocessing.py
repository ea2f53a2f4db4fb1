"""Errors and CPU seconds of the preprocessing against named peers, on phantoms of full size and on real people.

    python benchmarks/preprocessing.py                          # everything that is not yet measured, then the tables
    python benchmarks/preprocessing.py --parts bold dwi --seeds 101 102
    python benchmarks/preprocessing.py --real ../shared/real_bids --templates ../shared/templates
    python benchmarks/preprocessing.py --table                  # the tables alone

A cell is one method on one case. It runs in a process of its own, on one thread, and its numbers go to
benchmarks/results/preprocessing.jsonl; cells that are there are not run again, so that a stopped run goes on. Methods
take turns within a case. Prints a table per part, then one line of JSON with the ratios of medians.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from _cases import ONE_THREAD, Case, make_phantom, prepared_template, read_cells  # noqa: E402

PARTS = ("anat", "bold", "dwi", "session")
RESULTS = HERE / "results" / "preprocessing.jsonl"
KEY = ("part", "case", "method")


def part(name: str):
    """Import the methods of a part: `METHODS`, `PHANTOMS` (variants), `REAL` (people) and `table(rows)`."""
    return __import__(f"_{name}")


def wanted(asked: argparse.Namespace) -> list[tuple[str, str, str]]:
    """List the cells, the methods of a case one after the other."""
    cells = []
    for name in asked.parts:
        module = part(name)
        cases = [f"{seed}-{variant}" for seed in asked.seeds for variant in module.PHANTOMS]
        cases += [f"real-{person}" for person in module.REAL] if asked.real else []
        cells += [(name, case, method) for case in cases for method in asked.methods or module.METHODS]
    return [(name, case, method) for name, case, method in cells if method in part(name).METHODS]


def run(cell: tuple[str, str, str], asked: argparse.Namespace) -> None:
    """Measure one cell in a process of its own and keep what it says."""
    command = [sys.executable, __file__, "--cell", *cell, "--work", str(asked.work)]
    command += ["--real", str(asked.real)] if asked.real else []
    command += ["--templates", str(asked.templates)] if asked.templates else []
    done = subprocess.run(command, env=os.environ | ONE_THREAD, capture_output=True, text=True, check=False)
    name, case, method = cell
    if done.returncode:
        print(f"{name} {case} {method}: failed\n{done.stderr[-2000:]}", flush=True)
        return
    # Libraries write to the same line, some of them at the very end.
    numbers = json.loads(re.findall(r"\{.*\}", done.stdout)[-1])
    print(f"{name} {case} {method}: {numbers}", flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a") as file:
        file.write(json.dumps({"part": name, "case": case, "method": method, **numbers}) + "\n")


def measure(name: str, case: str, method: str, asked: argparse.Namespace) -> dict[str, float]:
    """Run one method here and now."""
    source, _, variant = case.partition("-")
    if source == "real":
        bids, person = asked.real, variant
        template = prepared_template(asked.work, asked.templates)
    else:
        bids, person = make_phantom(asked.work, int(source)), "sub-01"
        template = prepared_template(asked.work, None)
    seed = 0 if source == "real" else int(source)
    return part(name).METHODS[method](Case(case, variant, seed, Path(bids), person, template, source == "real"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--seeds", type=int, nargs="*", default=[101, 102, 103, 104, 105], help="of the phantoms")
    parser.add_argument("--methods", nargs="+", help="of the parts; by default all")
    parser.add_argument("--real", type=Path, help="a BIDS dataset of real people")
    parser.add_argument("--templates", type=Path, help="folder of a whole-head template, for the real people")
    parser.add_argument(
        "--work", type=Path, default=HERE / "results" / "work", help="phantoms and templates are kept here"
    )
    parser.add_argument("--again", action="store_true", help="measure cells that are there, too")
    parser.add_argument("--table", action="store_true", help="print the tables alone")
    parser.add_argument("--cell", nargs=3, metavar=("PART", "CASE", "METHOD"), help="measure one and print it")
    asked = parser.parse_args()
    if asked.cell:
        print(json.dumps(measure(*asked.cell, asked)))
        return
    done = read_cells(RESULTS, KEY)
    for cell in [] if asked.table else wanted(asked):
        if asked.again or cell not in done:
            run(cell, asked)
    rows = list(read_cells(RESULTS, KEY).values())
    ratios = {}
    for name in asked.parts:
        text, ratios[name] = part(name).table([row for row in rows if row["part"] == name])
        print(f"\n## {name}\n\n{text}")
    print(json.dumps({"benchmark": "preprocessing", "ratios": ratios}))


if __name__ == "__main__":
    main()
