"""Bring the template of the configuration onto the grid of the maps."""

from pathlib import Path

from neuromoe.core.ants import single_threaded, tissue_probabilities
from neuromoe.core.atomic import write_json
from neuromoe.core.images import Image, save_image
from neuromoe.core.template import PARTS


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
        The template is not there or its description lacks a part.
    """
    from neuromoe.template._sources import mni_tissues, open_source

    single_threaded()
    source = open_source(template)
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
    }
    write_json(prepared, record)
