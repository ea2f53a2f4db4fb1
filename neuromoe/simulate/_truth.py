"""Writes a person's images and what is true about them."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.atomic import write_text
from neuromoe.imaging.images import save_image
from neuromoe.imaging.transforms import Affine, write_affines, write_transform
from neuromoe.simulate._anat import T1wScan
from neuromoe.simulate._dwi import DwiScan, fsl_directions
from neuromoe.simulate._effects import PLACES
from neuromoe.simulate._func import BoldScan
from neuromoe.simulate._places import NETWORKS, weights
from neuromoe.simulate._plan import ImagePlan
from neuromoe.simulate._shape import Shape
from neuromoe.simulate._template import LABEL

BIAS_STEP = 4


def write_places(truth: Path) -> None:
    """Write the places of the effects and the networks; every person's job writes the same bytes."""
    for kind, places in (("label", PLACES), ("desc", NETWORKS)):
        for name, place in places.items():
            path = truth / f"space-{LABEL}_{kind}-{name}_probseg.nii.gz"
            save_image(weights({name: place}).volume(0), path)


def write_shape(stem: Path, shape: Shape) -> None:
    """Write the map from T1w world to template world; `stem` is the path up to the participant's name."""
    write_transform(_named(stem, f"_from-{LABEL}_to-T1w_mode-image_xfm.h5"), (shape.displacement,))


def write_t1w(path: Path, stem: Path, scan: T1wScan, image: ImagePlan) -> None:
    """Write the T1w image, its sidecar, and its mask, tissue labels and bias field."""
    save_image(scan.stored, path, scan.grid.affine, dtype=np.int16)
    _write_sidecar(path, image)
    save_image(scan.mask, _named(stem, "_desc-brain_mask.nii.gz"), scan.grid.affine, dtype=np.uint8)
    save_image(scan.labels, _named(stem, "_dseg.nii.gz"), scan.grid.affine, dtype=np.uint8)
    coarse = scan.grid.affine @ np.diag([BIAS_STEP, BIAS_STEP, BIAS_STEP, 1.0])
    save_image(scan.bias[::BIAS_STEP, ::BIAS_STEP, ::BIAS_STEP], _named(stem, "_desc-bias_T1w.nii.gz"), coarse)


def write_dwi(path: Path, stem: Path, scan: DwiScan, image: ImagePlan) -> None:
    """Write the diffusion image with gradients and sidecar, and its motion, mask and tensor maps."""
    save_image(scan.stored, path, scan.grid.affine, np.int16, image.repetition_time_s)
    _write_sidecar(path, image)
    base = path.with_name(path.name.removesuffix(".nii.gz"))
    write_text(base.with_suffix(".bval"), " ".join(str(value) for value in scan.b_values) + "\n")
    rows = fsl_directions(scan.directions, scan.grid.affine).T
    write_text(base.with_suffix(".bvec"), "".join(" ".join(f"{v:.6f}" for v in row) + "\n" for row in rows))
    _write_motion(stem, "dwi", scan.motion, scan.parameters, scan.to_reference, image)
    save_image(scan.mask, _named(stem, "_desc-brain_mask.nii.gz"), scan.grid.affine, dtype=np.uint8)
    for name, values in tensor_maps(scan.tensors, scan.mask).items():
        save_image(values, _named(stem, f"_param-{name}_dwimap.nii.gz"), scan.grid.affine)
    _write_table(_named(stem, "_desc-dropout_timeseries.tsv"), ["slices_lost"], scan.dropouts[:, None])


def write_bold(path: Path, stem: Path, scan: BoldScan, image: ImagePlan) -> None:
    """Write the resting run and its sidecar, and its motion, mask and time courses."""
    save_image(scan.stored, path, scan.grid.affine, np.int16, image.repetition_time_s)
    _write_sidecar(path, image)
    _write_motion(stem, "boldref", scan.motion, scan.parameters, scan.to_reference, image)
    save_image(scan.mask, _named(stem, "_desc-brain_mask.nii.gz"), scan.grid.affine, dtype=np.uint8)
    courses = np.concatenate([scan.courses, scan.drift[:, None]], axis=1)
    _write_table(_named(stem, "_desc-networks_timeseries.tsv"), [*NETWORKS, "drift"], courses)


def tensor_maps(tensors: NDArray, mask: NDArray) -> dict[str, NDArray]:
    """Return fa, md (mm^2/s) and v1 of the mask's tensors (N, 3, 3) in 1e-3 mm^2/s; zero outside the mask.

    Rounded to what an estimate could not tell, so that the files stay small.
    """
    values, vectors = np.linalg.eigh(tensors)
    mean = values.mean(axis=1, keepdims=True)
    fa = np.sqrt(1.5 * ((values - mean) ** 2).sum(axis=1) / np.maximum((values**2).sum(axis=1), 1e-9))
    first = vectors[..., -1]
    maps = {"fa": (fa, 4096), "md": (mean[:, 0] / 1000, 2**22), "v1": (first, 512)}
    return {name: _unmasked(np.round(kept * scale) / scale, mask) for name, (kept, scale) in maps.items()}


def _unmasked(kept: NDArray, mask: NDArray) -> NDArray:
    full = np.zeros((*mask.shape, *kept.shape[1:]), np.float32)
    full[mask] = kept
    return full


def _write_motion(
    stem: Path, scan: str, motion: NDArray, parameters: NDArray, to_reference: NDArray, image: ImagePlan
) -> None:
    write_affines(_named(stem, f"_from-orig_to-{'dwiref' if scan == 'dwi' else scan}_mode-image_xfm.txt"), motion)
    write_transform(_named(stem, f"_from-{scan}_to-T1w_mode-image_xfm.txt"), (Affine(to_reference),))
    columns = ["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"]
    path = _named(stem, "_desc-motion_timeseries.tsv")
    _write_table(path, columns, parameters)
    described = {
        "RotationCenterMM": list(image.center_mm),
        "Units": "mm and radians, reference to volume, RAS+ world",
    }
    write_text(path.with_suffix(".json"), json.dumps(described, indent=1, sort_keys=True) + "\n")


def _write_table(path: Path, columns: Sequence[str], rows: NDArray) -> None:
    lines = ["\t".join(columns)] + ["\t".join(f"{value:.6g}" for value in row) for row in rows]
    write_text(path, "\n".join(lines) + "\n")


def _write_sidecar(path: Path, image: ImagePlan) -> None:
    text = json.dumps(image.metadata, indent=1, sort_keys=True) + "\n"
    write_text(path.with_name(path.name.removesuffix(".nii.gz") + ".json"), text)


def _named(stem: Path, ending: str) -> Path:
    return stem.with_name(stem.name + ending)
