"""The steps of T1-weighted images: ours and ANTs', against phantoms' truth, reference masks and one segmenter."""

import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from _cases import Case, clock, peak_mb
from _segment import tissue_overlap

from neuromoe.imaging.images import dice

PHANTOMS = ["plain"]
REAL = ["sub-ms01", "sub-forrest02"]
TARGET_MM = 2.0
# How a phantom's truth is labelled.
CSF_GM_WM = (3, 1, 2)


def _one(folder: Path, pattern: str) -> Path | None:
    return next(iter(sorted(folder.rglob(pattern))), None)


def _raw(case: Case):
    from neuromoe.imaging.images import load_image

    return load_image(_one(case.bids / case.person, "*_T1w.nii.gz"), ndim=3)


def _t1w(case: Case):
    from neuromoe.anat._head import correct_bias

    return correct_bias(_raw(case))


def _true_mask(case: Case) -> np.ndarray | None:
    from neuromoe.imaging.images import load_image

    folder = case.bids / "derivatives/reference" / case.person if case.real else case.truth / "anat"
    path = _one(folder, "*_desc-brain_mask.nii.gz") if folder.is_dir() else None
    return None if path is None else load_image(path, ndim=3).data > 0.5


def _mask_numbers(case: Case, mask: np.ndarray, cpu_s: float) -> dict[str, float]:
    truth = _true_mask(case)
    numbers = {"cpu_s": cpu_s, "peak_mb": peak_mb(), "voxels": int(mask.sum())}
    return numbers if truth is None else numbers | {"mask_dice": dice(mask, truth)}


def mask_ours(case: Case) -> dict[str, float]:
    from neuromoe.anat._brain import find_brain
    from neuromoe.imaging.template import Template

    head, template = _t1w(case), Template.load(case.template)
    with clock() as spent:
        mask = find_brain(head, template).mask
    return _mask_numbers(case, mask, spent.cpu_s)


def mask_ants(case: Case) -> dict[str, float]:
    import ants

    from neuromoe.registration.ants import to_ants

    image = to_ants(_t1w(case))
    with clock() as spent:
        mask = ants.get_mask(image).numpy() > 0.5
    return _mask_numbers(case, mask, spent.cpu_s)


def bias_ours(case: Case) -> dict[str, float]:
    from neuromoe.anat._head import correct_bias

    raw = _raw(case)
    with clock() as spent:
        corrected = correct_bias(raw)
    return _bias_numbers(case, raw, corrected.data, spent.cpu_s)


def bias_n4(case: Case) -> dict[str, float]:
    import ants

    from neuromoe.registration.ants import to_ants

    raw = _raw(case)
    image = to_ants(raw)
    with clock() as spent:
        corrected = ants.n4_bias_field_correction(image)
    return _bias_numbers(case, raw, corrected.numpy(), spent.cpu_s)


def _bias_numbers(case: Case, raw, corrected: np.ndarray, cpu_s: float) -> dict[str, float]:
    """Return the spread of what is left of the true field in the true brain, as a share, for phantoms."""
    from neuromoe.anat._head import stretch
    from neuromoe.imaging.images import load_image

    numbers = {"cpu_s": cpu_s, "peak_mb": peak_mb()}
    if case.real:
        return numbers
    true = stretch(load_image(_one(case.truth / "anat", "*_desc-bias_T1w.nii.gz"), ndim=3), raw)
    inside = _true_mask(case) & (raw.data > 0) & (corrected > 0)
    left = corrected[inside] * true[inside] / raw.data[inside]
    return numbers | {"bias_sd": float(np.log(left).std())}


def _tissues(case: Case, backend: str) -> dict[str, float]:
    from neuromoe.anat._brain import find_brain
    from neuromoe.anat._tissues import segment
    from neuromoe.imaging.template import Template

    head, template = _t1w(case), Template.load(case.template)
    brain = find_brain(head, template)
    mask = _true_mask(case)
    mask = brain.mask if mask is None else mask
    with clock() as spent:
        parts = segment(head, mask, template, brain.to_template, backend=backend)
    return _tissue_numbers(case, parts, mask, spent.cpu_s)


def tissues_atropos(case: Case) -> dict[str, float]:
    import ants

    from neuromoe.imaging.images import Image
    from neuromoe.registration.ants import to_ants

    head = _t1w(case)
    mask = _mask_or_found(case, head)
    # The header's rounding is called another space where several images are given.
    plain = Image(head.data, np.diag([*head.voxel_mm.round(3), 1.0]))
    image, inside = to_ants(plain), to_ants(plain.like(mask.astype(np.float32)))
    with clock() as spent:
        found = ants.atropos(a=image, x=inside, i="kmeans[3]", m="[0.2,1x1x1]", c="[5,0]")
    parts = np.stack([part.numpy() for part in found["probabilityimages"]])
    return _tissue_numbers(case, parts, mask, spent.cpu_s)


def _tissue_numbers(case: Case, parts: np.ndarray, mask: np.ndarray, cpu_s: float) -> dict[str, float]:
    """Compare probabilities of CSF, GM and WM (3, X, Y, Z) with the true labels, for phantoms."""
    from neuromoe.imaging.images import load_image

    numbers = {"cpu_s": cpu_s, "peak_mb": peak_mb()}
    if case.real:
        return numbers
    true = load_image(_one(case.truth / "anat", "*_dseg.nii.gz"), ndim=3).data
    found = np.where(mask, np.array(CSF_GM_WM)[parts.argmax(axis=0)], 0)
    return numbers | {f"{name}_dice": dice(found == label, true == label) for name, label in (("gm", 1), ("wm", 2))}


def _mask_or_found(case: Case, head) -> np.ndarray:
    from neuromoe.anat._brain import find_brain
    from neuromoe.imaging.template import Template

    mask = _true_mask(case)
    return find_brain(head, Template.load(case.template)).mask if mask is None else mask


def _brains(case: Case) -> tuple[Any, Any, Any]:
    """Return the person's head, the brain, by the true mask where there is one, and the template."""
    from neuromoe.anat._register import brain_image
    from neuromoe.imaging.template import Template

    head, template = _t1w(case), Template.load(case.template)
    mask = _mask_or_found(case, head)
    return head, brain_image(head, head.like(mask.astype(np.float32))), template


def _registration_numbers(case: Case, chain, head, template, cpu_s: float) -> dict[str, float]:
    """Return tissue overlap, share of folded voxels and, for phantoms, overlap of the true labels and distance, mm."""
    from neuromoe.anat._jacobian import determinants
    from neuromoe.imaging.geometry import map_points
    from neuromoe.imaging.transforms import read_transform

    points = map_points(chain, template.grid.world())
    inside = template.brain_mask
    numbers = {"cpu_s": cpu_s, "peak_mb": peak_mb(), **tissue_overlap(head, template, points)}
    numbers["folded"] = float((determinants(points, template.grid)[inside] <= 0).mean())
    if case.real:
        return numbers
    truth = read_transform(_one(case.truth / "anat", "*_from-MNI*_to-T1w_*.h5"))
    back = map_points(truth, points[inside.ravel()])
    away = np.linalg.norm(back - template.grid.world()[inside.ravel()], axis=1)
    return numbers | _label_overlap(case, template, points) | {"error_mm": float(away.mean())}


def _label_overlap(case: Case, template, points: np.ndarray) -> dict[str, float]:
    """Compare a phantom's true labels, brought by the map, with those of the template: no noise takes part."""
    from neuromoe.imaging.images import load_image, sample

    true = load_image(_one(case.truth / "anat", "*_dseg.nii.gz"), ndim=3)
    inside = template.brain_mask.ravel()
    shares = np.stack(
        [sample(true.like((true.data == label).astype(np.float32)), points[inside]) for label in CSF_GM_WM]
    )
    found = np.where(shares.any(axis=0), shares.argmax(axis=0), -1)
    tissues = (template.csf, template.gm, template.wm)
    expected = np.stack([tissue.data.ravel()[inside] for tissue in tissues]).argmax(axis=0)
    return {f"{name}_true_dice": dice(found == label, expected == label) for name, label in (("gm", 1), ("wm", 2))}


def _register_greedy(case: Case, preset: str) -> dict[str, float]:
    from neuromoe.anat._register import register

    head, brain, template = _brains(case)
    with clock() as spent:
        chain, *_ = register(brain, template, voxel_mm=TARGET_MM, preset=preset)
    return _registration_numbers(case, chain, head, template, spent.cpu_s)


def _register_ants(case: Case, kind: str) -> dict[str, float]:
    import ants

    from neuromoe.anat._head import at_voxel_mm
    from neuromoe.registration.ants import chains, to_ants

    head, brain, template = _brains(case)
    fixed, moving = to_ants(template.brain), to_ants(at_voxel_mm(brain, TARGET_MM))
    with clock() as spent, tempfile.TemporaryDirectory() as folder:
        found = ants.registration(fixed, moving, type_of_transform=kind, outprefix=f"{folder}/t1w_")
        chain, _ = chains(found)
    return _registration_numbers(case, chain, head, template, spent.cpu_s)


METHODS = {
    "bias_ours": bias_ours,
    "bias_N4": bias_n4,
    "mask_ours": mask_ours,
    "mask_ants": mask_ants,
    "tissues_ours": lambda case: _tissues(case, "ants"),
    "tissues_torch": lambda case: _tissues(case, "torch"),
    "tissues_Atropos": tissues_atropos,
    "register_greedy": lambda case: _register_greedy(case, "fast"),
    "register_greedy_sloppy": lambda case: _register_greedy(case, "sloppy"),
    "register_greedy_precise": lambda case: _register_greedy(case, "precise"),
    "register_SyN": lambda case: _register_ants(case, "SyN"),
    "register_SyNQuick": lambda case: _register_ants(case, "antsRegistrationSyNQuick[s]"),
    "register_SyN[s]": lambda case: _register_ants(case, "antsRegistrationSyN[s]"),
}
# What is set in relation to what: CPU seconds as a ratio, errors and overlaps as differences of medians.
PEERS = {
    "bias_ours": ("bias_N4",),
    "mask_ours": ("mask_ants",),
    "tissues_ours": ("tissues_Atropos",),
    "tissues_torch": ("tissues_ours", "tissues_Atropos"),
    "register_greedy": ("register_SyN", "register_SyNQuick", "register_SyN[s]"),
}
COLUMNS = ("cpu_s", "peak_mb", "mask_dice", "bias_sd", "error_mm", "gm_dice", "wm_dice", "gm_true_dice", "folded")
KINDS = {"phantoms": "", "real people": "real "}


def table(rows: list[dict]) -> tuple[str, dict[str, float]]:
    """Return medians over phantoms and over real people, and the relations to the peers on the same cases."""
    lines = ["| method | cases | " + " | ".join(COLUMNS) + " |", "|" + "---|" * (len(COLUMNS) + 2)]
    ratios: dict[str, float] = {}
    for kind, prefix in KINDS.items():
        some = [row for row in rows if row["case"].startswith("real-") == bool(prefix)]
        by_method = {method: {row["case"]: row for row in some if row["method"] == method} for method in METHODS}
        for method, mine in by_method.items():
            if mine:
                cells = [_cell(_median(mine.values(), name)) for name in COLUMNS]
                lines.append(f"| {method} | {len(mine)} {kind} | " + " | ".join(cells) + " |")
        for ours, peers in PEERS.items():
            for peer in peers:
                ratios |= _relation(f"{prefix}{ours}/{peer}", by_method[ours], by_method[peer])
    return "\n".join(lines), ratios


def _median(rows, name: str) -> float | None:
    values = [row[name] for row in rows if row.get(name) is not None]
    return statistics.median(values) if values else None


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _relation(name: str, ours: dict[str, dict], peer: dict[str, dict]) -> dict[str, float]:
    """Compare two methods on the cases that both did: CPU seconds by ratio, the others by difference."""
    both = sorted(set(ours) & set(peer))
    found = {}
    for column in COLUMNS:
        one, other = (_median([rows[case] for case in both], column) for rows in (ours, peer))
        if one is None or other is None or column in ("peak_mb", "folded"):
            continue
        if column == "cpu_s":
            found[name] = round(one / other, 3) if other else float("nan")
        else:
            found[f"{name} {column} difference"] = round(one - other, 4)
    return found
