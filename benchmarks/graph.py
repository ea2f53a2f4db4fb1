"""CPU seconds of `snakemake -n` over the number of sessions, against starting Snakemake on an empty Snakefile.

    python benchmarks/graph.py --sessions 1 50 200 --repeats 3

Prints a table, then one line of JSON with the ratios. Medians; both are run in turn.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))
from made_bids import made_dataset  # noqa: E402


def cpu_seconds(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 50, 200])
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    snakemake = [sys.executable, "-m", "snakemake", "-n"]
    ratios = {}
    print("sessions  plan s  empty s  ratio")
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "Snakefile"
        empty.write_text("rule all:\n    output: 'x'\n    shell: 'touch x'\n")
        for sessions in asked.sessions:
            bids = made_dataset(Path(folder) / f"bids{sessions}", sessions)
            config = ["--config", f"bids_dir={bids}", f"output_dir={folder}/out{sessions}"]
            plan = [*snakemake, "-s", str(REPOSITORY / "Snakefile"), "--directory", folder, *config]
            peer = [*snakemake, "-s", str(empty), "--directory", folder]
            pairs = [(cpu_seconds(plan), cpu_seconds(peer)) for _ in range(asked.repeats)]
            ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
            ratios[sessions] = round(ours / theirs, 2)
            print(f"{sessions:8}  {ours:6.2f}  {theirs:7.2f}  {ratios[sessions]:5.2f}")
    print(json.dumps({"benchmark": "graph", "ratio_to_empty_plan": ratios}))


if __name__ == "__main__":
    main()
