"""The cohort on disk: everybody's in-brain patches, memory-mapped."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuromoe.core.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


def store(
    *,
    sessions: Path,
    tensors: Path,
    template: Path,
    index: Path,
    patch: int = 4,
) -> None:
    """Gather all tensor files into one store for training.

    Beside the index the folder gets `<modality>.npy` float16 (people with it, T, C * patch**3),
    `quality_<modality>.npy` float32 (N, Q), `tokens.npy` (T, 3) places on the patch grid, `mask.npy` (D, H,
    W) and `store.json`. One session is in memory at a time.

    Parameters
    ----------
    sessions : path
        index/sessions.tsv: participant_id, session_id.
    tensors : path
        The folder with one `<session>.safetensors` each.
    template : path
        `template.json`, whose brain says which patches are kept.
    index : path
        index.tsv to write: one row per session with its row in each modality's array, -1 where absent, its
        verdicts and reasons.
    patch : int, default=4
        Side of a patch, voxels.

    Raises
    ------
    InputError
        Tensor files are missing, or differ in grid, channels or template.
    """
    import pandas as pd

    from neuromoe.cohort.patches import brain_patches
    from neuromoe.tensors._gather import check_alike, read_headers, write_store

    table = pd.read_csv(sessions, sep="\t", dtype=str, keep_default_na=False)
    headers = read_headers(table, tensors)
    check_alike(headers, tensors)
    grid, facts = _grid_of(template, headers, patch)
    places = brain_patches(grid, patch)
    folder = index.parent
    write_store(folder, table, headers, tensors, grid, places, facts, patch)
    _report(table, headers, len(places), folder)


def _grid_of(template: Path, headers: list[dict[str, Any]], patch: int) -> tuple[Any, dict[str, Any]]:
    """Return the brain on the tensor grid and what the headers say of it."""
    import numpy as np

    from neuromoe.imaging.template import Template
    from neuromoe.tensors._grid import tensor_grid

    facts, space = headers[0], Template.load(template)
    grid = tensor_grid(space.brain_mask, space.mask.affine, voxel_mm=facts["voxel_mm"], patch=facts["patch"])
    agrees = list(grid.shape) == facts["shape"] and np.allclose(grid.affine, facts["affine"], atol=1e-3)
    if not agrees or facts["template"] != space.label or facts["patch"] % patch:
        raise InputError(
            expected=f"tensors of {space.label}, shape {list(grid.shape)}, a multiple of patches of {patch}",
            found=f"{facts['template']}, shape {facts['shape']}, packed for patches of {facts['patch']}",
            where=facts["session"],
            fix="run `tensors pack` again with this template and patch",
        )
    return grid.brain(space.brain_mask), facts


def _report(table: "pd.DataFrame", headers: list[dict[str, Any]], tokens: int, folder: Path) -> None:
    counts = {name: sum(header["present"][name] for header in headers) for name in headers[0]["present"]}
    print(f"{len(table)} sessions, {tokens} patches each: {counts}; {folder}", flush=True)
