"""Brain masks of heads that are made worse, and the verdicts on them.

    python benchmarks/masks.py --real ../shared/real_bids --templates ../shared/templates
    python benchmarks/masks.py --seeds 1 --changes plain "snr 10" half
    python benchmarks/masks.py --heads <folder>                 # <name>_T1w.nii.gz and <name>_mask.nii.gz
    python benchmarks/masks.py --table                          # the tables alone

A cell is one head with one change (`_heads.py`) and one template: the file is written, read, its bias field corrected,
its brain found and judged, as `anat extract` does. The Dice is that with the head's reference, which went through the
same change. Rows go to benchmarks/results/masks.jsonl; cells that are there are not measured again. Prints a table per
template and the cells below 0.85 that passed, which must be none, then one line of JSON.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from _cases import clock, prepared_template, read_cells  # noqa: E402
from _heads import CHANGES, Head, find_heads  # noqa: E402

from neuromoe.imaging.header import check_header  # noqa: E402
from neuromoe.imaging.images import Image, dice, load_image, volume_ml  # noqa: E402

RESULTS = HERE / "results" / "masks.jsonl"
LOWEST = 0.85
KEY = ("head", "change", "template")


def as_read(head: Head, data: NDArray) -> tuple[Image, list[str]]:
    """Write values on the head's grid as a file whose header says what it would; read it and what there is to doubt."""
    import nibabel as nib

    nifti = nib.Nifti1Image(data.astype(np.float32), head.image.affine if head.placed else None)
    nifti.header.set_zooms(head.image.voxel_mm)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "head.nii"
        nifti.to_filename(path)
        return load_image(path, ndim=3), check_header(path)


def measure(head: Head, templates: dict[str, Path]) -> dict[str, dict]:
    """Find and judge the brain by each template."""
    from neuromoe.anat._brain import find_brain
    from neuromoe.anat._head import correct_bias
    from neuromoe.anat._plausible import judge
    from neuromoe.core.quality import worst
    from neuromoe.imaging.template import Template

    image, doubts = as_read(head, head.image.data)
    truth = as_read(head, head.brain)[0].data > 0.5
    rows = {}
    with clock() as bias:
        corrected = correct_bias(image)
    for name, template in templates.items():
        with clock() as spent:
            found = find_brain(corrected, Template.load(template))
        verdict, reasons = judge(found, corrected)
        verdict = worst([verdict, "warn"]) if doubts else verdict
        rows[name] = {
            "dice": round(dice(found.mask, truth), 4),
            "ml": round(volume_ml(found.mask, image.affine)),
            "true_ml": round(volume_ml(truth, image.affine)),
            "verdict": verdict,
            "reasons": [*reasons, *doubts],
            "start": found.start,
            "tried": len(found.scores),
            "correlation": round(found.scores[found.start], 3),
            **{key: round(value, 3) for key, value in found.numbers.items()},
            "cpu_s": round(bias.cpu_s + spent.cpu_s, 1),
        }
    return rows


def table(rows: list[dict]) -> tuple[str, dict]:
    """Return, per template, the Dice of each change in each head with a mark for warn (?) and fail (!)."""
    lines, summary = [], {}
    heads = list(dict.fromkeys(row["head"] for row in rows))
    for template in dict.fromkeys(row["template"] for row in rows):
        some = {(row["change"], row["head"]): row for row in rows if row["template"] == template}
        lines += [f"\n## {template}\n", f"| change | {' | '.join(heads)} |", "|" + "---|" * (len(heads) + 1)]
        for change in CHANGES:
            if any((change, head) in some for head in heads):
                lines.append(f"| {change} | {' | '.join(_shown(some.get((change, head))) for head in heads)} |")
        dice = [row["dice"] for row in some.values()]
        silent = [row for row in some.values() if row["dice"] < LOWEST and row["verdict"] == "pass"]
        lines += [f"silent: {row['head']}, {row['change']}: {row['dice']:.3f}" for row in silent]
        summary[template] = {
            "cells": len(dice),
            "median": statistics.median(dice),
            "lowest": min(dice),
            "below .85": sum(value < LOWEST for value in dice),
            "of these pass": len(silent),
            "warned or failed at .93 or more": sum(
                row["dice"] >= 0.93 and row["verdict"] != "pass" for row in some.values()
            ),
        }
    return "\n".join(lines), summary


def _shown(row: dict | None) -> str:
    return "" if row is None else f"{row['dice']:.3f}" + {"pass": "", "warn": " ?", "fail": " !"}[row["verdict"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=Path, help="a BIDS dataset; people with a mask in derivatives/reference count")
    parser.add_argument("--heads", type=Path, help="a folder of other heads with masks")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0], help="of the phantoms")
    parser.add_argument("--only", nargs="+", help="names of heads")
    parser.add_argument("--changes", nargs="+", default=list(CHANGES), choices=CHANGES, metavar="CHANGE")
    parser.add_argument("--templates", type=Path, help="folder of a whole-head template, used beside the bundled one")
    parser.add_argument("--no-bundled", action="store_true", help="use the template of --templates alone")
    parser.add_argument("--work", type=Path, default=HERE / "results" / "work", help="phantoms and templates")
    parser.add_argument("--again", action="store_true", help="measure cells that are there, too")
    parser.add_argument("--table", action="store_true", help="print the tables alone")
    asked = parser.parse_args()
    if not asked.table:
        _measure_all(asked)
    text, summary = table(list(read_cells(RESULTS, KEY).values()))
    print(text)
    print(json.dumps({"benchmark": "masks", "ratios": summary}))


def _measure_all(asked: argparse.Namespace) -> None:
    from neuromoe.registration.ants import single_threaded

    single_threaded(0)
    templates = {} if asked.no_bundled else {"bundled": prepared_template(asked.work, None)}
    if asked.templates:
        templates["whole head"] = prepared_template(asked.work, asked.templates)
    heads = find_heads(real=asked.real, folder=asked.heads, seeds=asked.seeds, work=asked.work)
    RESULTS.parent.mkdir(exist_ok=True)
    for name in asked.only or heads:
        base = None
        for change in asked.changes:
            done = {} if asked.again else read_cells(RESULTS, KEY)
            left = {key: path for key, path in templates.items() if (name, change, key) not in done}
            if not left:
                continue
            base = base or heads[name]()
            for template, numbers in measure(CHANGES[change](base), left).items():
                row = {"head": name, "change": change, "template": template, **numbers}
                print(json.dumps(row), flush=True)
                with RESULTS.open("a") as file:
                    file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
