"""Bring the template of the configuration onto the grid of the maps."""

import json
from collections.abc import Mapping
from pathlib import Path

from neuromoe.core.atomic import write_json
from neuromoe.core.errors import InputError
from neuromoe.imaging.images import Image, save_image
from neuromoe.imaging.template import PARTS, digest
from neuromoe.registration.ants import single_threaded, tissue_probabilities


def prepare(*, template: str, prepared: Path, voxel_mm: float = 2.0) -> None:
    """Write head, brain mask and tissues of a template on one grid.

    Parameters
    ----------
    template : str
        A TemplateFlow identifier (fetched once, whole head), a folder with a `template.json`, or `nilearn`: the
        bundled, offline template of the brain alone, around which a head is made.
    prepared : path
        The `template.json` to write; the images `head`, `mask`, `gm`, `wm` and `csf` lie beside it.
    voxel_mm : float, default=2.0
        Edge of the cubic voxels of the grid, mm.

    Raises
    ------
    InputError
        The template is not there, its description lacks a part, or its files changed since they were first fetched.
    """
    from neuromoe.template._sources import mni_tissues, open_source

    single_threaded()
    source = open_source(template)
    fetched = prepared.with_name("fetched.json")
    _check_unchanged(source.name, source.sha256, fetched)
    grid = source.head.grid
    if abs(grid.voxel_mm - voxel_mm).max() > 1e-3:
        grid = grid.at_voxel_mm(voxel_mm)
    parts = source.on(grid)
    if "gm" not in parts:
        print("no tissue maps in the template: segmenting it", flush=True)
        brain = Image(parts["head"], grid.affine)
        csf, gm, wm = tissue_probabilities(brain, parts["mask"] > 0.5, priors=mni_tissues(grid, source.label))
        parts.update(csf=csf, gm=gm, wm=wm)
    for part in PARTS:
        save_image(parts[part], prepared.with_name(f"{part}.nii.gz"), grid.affine)
    record = {
        "label": source.label,
        "source": source.name,
        "whole_head": source.whole_head,
        "voxel_mm": voxel_mm,
        "sha256": source.sha256,
        "prepared_sha256": {part: digest(prepared.with_name(f"{part}.nii.gz")) for part in PARTS},
    }
    write_json(fetched, {"source": source.name, "sha256": source.sha256})
    write_json(prepared, record)


def _check_unchanged(name: str, sha256: Mapping[str, str], fetched: Path) -> None:
    """Refuse a template whose files are not those that this output was made with; another template is no matter."""
    before = json.loads(fetched.read_text()) if fetched.is_file() else {}
    if before.get("source") != name:
        return
    changed = sorted(file for file, value in before["sha256"].items() if sha256.get(file) != value)
    if changed:
        raise InputError(
            expected="the template's files as they were when they were first fetched",
            found=f"others: {', '.join(changed)}",
            where=fetched,
            fix="take another output_dir, or delete this file to have everybody made again with the new template",
        )
