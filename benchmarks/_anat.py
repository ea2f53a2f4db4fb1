"""Brain masks and registrations of T1-weighted images: ours and ANTs', against phantoms' truth and reference masks."""

import statistics
from pathlib import Path
from typing import Any

import numpy as np
from _cases import Case, clock, peak_mb

PHANTOMS = ["plain"]
REAL = ["sub-ms01", "sub-forrest02"]
TARGET_MM = 2.0


def _one(folder: Path, pattern: str) -> Path | None:
    return next(iter(sorted(folder.rglob(pattern))), None)


def _t1w(case: Case):
    from neuromoe.anat._head import correct_bias
    from neuromoe.core.images import load_image

    return correct_bias(load_image(_one(case.bids / case.person, "*_T1w.nii.gz"), ndim=3))


def _true_mask(case: Case) -> np.ndarray | None:
    from neuromoe.core.images import load_image

    folder = case.bids / "derivatives/reference" / case.person if case.real else case.truth / "anat"
    path = _one(folder, "*_desc-brain_mask.nii.gz") if folder.is_dir() else None
    return None if path is None else load_image(path, ndim=3).data > 0.5


def _dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / max(1, a.sum() + b.sum()))


def _mask_numbers(case: Case, mask: np.ndarray, cpu_s: float) -> dict[str, float]:
    truth = _true_mask(case)
    numbers = {"cpu_s": cpu_s, "peak_mb": peak_mb(), "voxels": int(mask.sum())}
    return numbers if truth is None else numbers | {"mask_dice": _dice(mask, truth)}


def mask_ours(case: Case) -> dict[str, float]:
    from neuromoe.anat._brain import find_brain
    from neuromoe.core.template import Template

    head, template = _t1w(case), Template.load(case.template)
    with clock() as spent:
        mask = find_brain(head, template).mask
    return _mask_numbers(case, mask, spent.cpu_s)


def mask_ants(case: Case) -> dict[str, float]:
    import ants

    from neuromoe.core.ants import to_ants

    image = to_ants(_t1w(case))
    with clock() as spent:
        mask = ants.get_mask(image).numpy() > 0.5
    return _mask_numbers(case, mask, spent.cpu_s)


def _brains(case: Case) -> tuple[Any, Any]:
    """Return the person's brain, by the true mask where there is one, and the template."""
    from neuromoe.anat._brain import find_brain
    from neuromoe.anat._register import brain_image
    from neuromoe.core.template import Template

    head, template = _t1w(case), Template.load(case.template)
    mask = _true_mask(case)
    mask = find_brain(head, template).mask if mask is None else mask
    return brain_image(head, head.like(mask.astype(np.float32))), template


def _registration_numbers(case: Case, chain, template, cpu_s: float) -> dict[str, float]:
    """Return the mean distance from the true place, mm, for phantoms."""
    from neuromoe.core.geometry import map_points
    from neuromoe.core.transforms import read_transform

    numbers = {"cpu_s": cpu_s, "peak_mb": peak_mb()}
    if case.real:
        return numbers
    truth = read_transform(_one(case.truth / "anat", "*_from-MNI*_to-T1w_*.h5"))
    points = template.grid.world()[template.brain_mask.ravel()]
    back = map_points(truth, map_points(chain, points))
    return numbers | {"error_mm": float(np.linalg.norm(back - points, axis=1).mean())}


def register_greedy(case: Case) -> dict[str, float]:
    from neuromoe.anat._register import register

    brain, template = _brains(case)
    with clock() as spent:
        chain, _ = register(brain, template, voxel_mm=TARGET_MM, iterations="100x50x10", seed=0)
    return _registration_numbers(case, chain, template, spent.cpu_s)


def _register_ants(case: Case, kind: str) -> dict[str, float]:
    import ants

    from neuromoe.anat._head import at_voxel_mm
    from neuromoe.core.ants import to_ants

    brain, template = _brains(case)
    fixed, moving = to_ants(template.brain), to_ants(at_voxel_mm(brain, TARGET_MM))
    with clock() as spent:
        done = ants.registration(fixed, moving, type_of_transform=kind)
    return _registration_numbers(case, (_AntsPoints(done["fwdtransforms"]),), template, spent.cpu_s)


class _AntsPoints:
    """Send world points (N, 3) through ANTs' forward transforms."""

    def __init__(self, files: list[str]) -> None:
        self.files = files

    def __call__(self, points: np.ndarray) -> np.ndarray:
        import ants
        import pandas as pd

        lps = pd.DataFrame(points * [-1, -1, 1], columns=["x", "y", "z"])
        moved = ants.apply_transforms_to_points(3, lps, self.files)
        return moved[["x", "y", "z"]].to_numpy() * [-1, -1, 1]


METHODS = {
    "mask_ours": mask_ours,
    "mask_ants": mask_ants,
    "register_greedy": register_greedy,
    "register_SyN": lambda case: _register_ants(case, "SyN"),
    "register_SyNQuick": lambda case: _register_ants(case, "antsRegistrationSyNQuick[s]"),
    "register_SyN[s]": lambda case: _register_ants(case, "antsRegistrationSyN[s]"),
}


def table(rows: list[dict]) -> tuple[str, dict[str, float]]:
    """Return medians over the cases as a table, and the ratios of CPU seconds to the peers'."""
    columns = ("cpu_s", "peak_mb", "mask_dice", "error_mm")
    lines = ["| method | cases | " + " | ".join(columns) + " |", "|" + "---|" * (len(columns) + 2)]
    cpu = {}
    for method in METHODS:
        mine = [row for row in rows if row["method"] == method]
        medians = {c: statistics.median(v) for c in columns if (v := [row[c] for row in mine if c in row])}
        cpu |= {method: medians["cpu_s"]} if mine else {}
        cells = [f"{medians[c]:.3f}" if c in medians else "" for c in columns]
        lines.append(f"| {method} | {len(mine)} | " + " | ".join(cells) + " |")
    pairs = [("register_greedy", other) for other in METHODS if other.startswith("register_S")]
    ratios = {f"{a}/{b}": round(cpu[a] / cpu[b], 3) for a, b in pairs if a in cpu and b in cpu}
    return "\n".join(lines), ratios
