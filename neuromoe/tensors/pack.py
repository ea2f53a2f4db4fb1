"""One session's maps and quality numbers in one file."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from neuromoe.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from neuromoe.imaging.template import Template
    from neuromoe.tensors._grid import TensorGrid

ANAT_CHANNELS = ["T1w", "GM", "logjacobian"]
DWI_CHANNELS = ["fa", "md"]
FUNC_CHANNELS = ["alff", "falff", "reho"]


def pack(
    *,
    template: Path,
    tensor: Path,
    anat: list[Path] | None = None,
    dwi: list[Path] | None = None,
    func: list[Path] | None = None,
    anat_quality: list[Path] | None = None,
    dwi_quality: list[Path] | None = None,
    func_quality: list[Path] | None = None,
    anat_channels: list[str] | None = None,
    dwi_channels: list[str] | None = None,
    func_channels: list[str] | None = None,
    voxel_mm: float = 4.0,
    patch: int = 4,
    tail: float = 0.01,
    limit: float = 5.0,
    keep_failed: bool = False,
) -> None:
    """Pack a session's maps on the template grid into one tensor file.

    The grid is a crop of the template grid around its brain, coarsened by block means. Each channel is
    brought to mean 0 and standard deviation 1 over this session's own brain; nothing of another person
    enters. Outside the brain, and where the images do not reach, the value is 0.

    Parameters
    ----------
    template : path
        `template.json` of the step `template prepare`.
    tensor : path
        The safetensors file to write: `anat`, `dwi`, `func` float16 (C, D, H, W), absent where missing, and
        `quality/<modality>` float32 (Q,). Its metadata, JSON each, name channels, quality numbers, verdict,
        reasons, affine, voxel size, patch, template and session.
    anat, dwi, func : list of path, optional
        Maps on the template grid; absent where the session has no such image.
    anat_quality, dwi_quality, func_quality : list of path, optional
        Quality files of the steps before.
    anat_channels, dwi_channels, func_channels : list of str, optional
        What to take, in this order, each named by an entity's value or the suffix of its file. Default `T1w
        GM logjacobian`, `fa md`, `alff falff reho`.
    voxel_mm : float, default=4
        Edge of a tensor voxel; a whole multiple of the template's.
    patch : int, default=4
        The grid's shape is filled up to a multiple of this.
    tail : float, default=0.01
        Share of voxels at either end pulled in before mean and standard deviation are taken.
    limit : float, default=5
        Largest value, in standard deviations.
    keep_failed : bool, default=False
        Keep a modality whose quality verdict is `fail`, which otherwise counts as absent.

    Raises
    ------
    InputError
        A channel has no file, a map lies on another grid, or `voxel_mm` is no multiple of the template's.
    """
    from neuromoe.core.saving import write_arrays
    from neuromoe.imaging.template import Template
    from neuromoe.tensors._grid import tensor_grid

    space = Template.load(template)
    grid = tensor_grid(space.brain_mask, space.mask.affine, voxel_mm=voxel_mm, patch=patch)
    parts = {
        "anat": _Part("anat", anat or [], anat_quality or [], anat_channels or ANAT_CHANNELS),
        "dwi": _Part("dwi", dwi or [], dwi_quality or [], dwi_channels or DWI_CHANNELS),
        "func": _Part("func", func or [], func_quality or [], func_channels or FUNC_CHANNELS),
    }
    arrays: dict[str, np.ndarray] = {}
    for name, part in parts.items():
        arrays.update(_pack_modality(part, space, grid, tail=tail, limit=limit, keep_failed=keep_failed))
        print(f"{name}: {part.verdict}" + "".join(f"; {reason}" for reason in part.reasons), flush=True)
    if not any(name in arrays for name in parts):
        print("no usable modality: the file holds quality numbers alone", flush=True)
    about = {
        "affine": grid.affine.tolist(),
        "channels": {name: part.channels for name, part in parts.items()},
        "patch": patch,
        "present": {name: name in arrays for name in parts},
        "quality": {name: part.quality_names for name, part in parts.items()},
        "reasons": {name: part.reasons for name, part in parts.items()},
        "shape": list(grid.shape),
        "verdict": {name: part.verdict for name, part in parts.items()},
        "voxel_mm": voxel_mm,
    }
    texts = {key: json.dumps(value, sort_keys=True) for key, value in about.items()}
    write_arrays(tensor, arrays, {**texts, "session": tensor.name.split(".")[0], "template": space.label})


@dataclass
class _Part:
    """One modality on its way into the file."""

    name: str
    maps: list[Path]
    quality_files: list[Path]
    channels: list[str]
    verdict: str = "missing"
    reasons: list[str] = field(default_factory=list)
    quality_names: list[str] = field(default_factory=list)


def _pack_modality(
    part: _Part, space: "Template", grid: "TensorGrid", *, tail: float, limit: float, keep_failed: bool
) -> dict[str, "np.ndarray"]:
    if not part.maps:
        return {}
    import numpy as np

    from neuromoe.imaging.images import load_image
    from neuromoe.tensors._channels import channel_files, coarsen, reached, standardize

    arrays = {f"quality/{part.name}": _read_quality(part)}
    if part.verdict == "fail" and not keep_failed:
        return arrays
    paths = channel_files(part.maps, part.channels, part.name)
    images = [load_image(path, ndim=3) for path in paths]
    for image, path in zip(images, paths, strict=True):
        if not image.grid.same_as(space.grid):
            raise InputError(
                expected=f"the template's grid, {space.grid.shape}",
                found=f"another, {image.grid.shape}",
                where=path,
                fix="run the normalisation with this template again",
            )
    volumes = [image.data for image in images]
    values, known = coarsen(volumes, reached(volumes, paths), space.brain_mask, grid)
    share = known.sum() / max(int(grid.brain(space.brain_mask).sum()), 1)
    if not known.any():
        part.verdict = "fail"
        part.reasons.append("the images reach no part of the brain")
        return arrays
    print(f"{part.name}: {len(paths)} channels, {share:.0%} of the brain in view", flush=True)
    arrays[part.name] = standardize(np.asarray(values), known, tail=tail, limit=limit)
    return arrays


def _read_quality(part: _Part) -> "np.ndarray":
    """Gather verdicts, reasons and numbers of all quality files, numbers as `<step>.<name>`, sorted."""
    import numpy as np

    from neuromoe.core.quality import read_quality, worst

    numbers, verdicts = {}, []
    for path in part.quality_files:
        record = read_quality(path)
        step = _step_of(path)
        numbers.update({f"{step}.{name}": value for name, value in record["numbers"].items()})
        verdicts.append(record["verdict"])
        part.reasons += [f"{step}: {reason}" for reason in record.get("reasons", [])]
    part.verdict, part.quality_names = worst(verdicts), sorted(numbers)
    values = [numbers[name] for name in part.quality_names]
    return np.array([np.nan if value is None else value for value in values], np.float32)


def _step_of(path: Path) -> str:
    entities = dict(pair.split("-", 1) for pair in path.name.split(".")[0].split("_") if "-" in pair)
    return entities.get("desc", "quality")
