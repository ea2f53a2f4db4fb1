"""The T1w scan."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuromoe.imaging.geometry import Grid, apply_affine, rigid_matrix
from neuromoe.simulate._motion import mix_poses
from neuromoe.simulate._person import Anatomy, tissue_at
from neuromoe.simulate._plan import ImagePlan, site_of
from neuromoe.simulate._sampling import CHUNK_POINTS, scan_grid
from neuromoe.simulate._signal import as_stored, rician, shading

WHITE_MATTER = 222 / 255


@dataclass(frozen=True, eq=False)
class T1wScan:
    """A T1w image as it is stored, and what is true about it.

    Parameters
    ----------
    stored : array (X, Y, Z), int16
        The image.
    mask : array (X, Y, Z), bool
        Brain.
    labels : array (X, Y, Z), uint8
        Tissue with the largest share in the brain: 1 GM, 2 WM, 3 CSF; 0 outside.
    bias : array (X, Y, Z), float32
        The multiplicative field.
    """

    grid: Grid
    stored: NDArray
    mask: NDArray
    labels: NDArray
    bias: NDArray


def scan_t1w(anatomy: Anatomy, image: ImagePlan) -> T1wScan:
    """Take the T1w image of a person."""
    site, grid = site_of(anatomy.person), scan_grid(image)
    head, labels = _render(anatomy, grid, np.eye(4))
    if "anat" in anatomy.person.corrupted:
        rng = anatomy.rng("anat motion")
        pose = rigid_matrix([*rng.normal(0, 2.0, 3), *np.deg2rad(rng.normal(0, 2.5, 3))], image.center_mm)
        head = mix_poses(head, _render(anatomy, grid, np.linalg.inv(pose))[0], rng)
    contrast = WHITE_MATTER * (head / np.float32(WHITE_MATTER)) ** np.float32(site.contrast)
    bias = shading(anatomy.rng("anat bias"), grid, site.bias)
    noisy = rician(contrast * bias, site.noise * WHITE_MATTER, anatomy.rng("anat noise"))
    return T1wScan(grid, as_stored(noisy, WHITE_MATTER), labels > 0, labels, bias)


def _render(anatomy: Anatomy, grid: Grid, pose: NDArray) -> tuple[NDArray, NDArray]:
    """Return T1 intensity and labels on a grid; `pose` maps scanner points to T1w world points."""
    voxels = int(np.prod(grid.shape))
    head, labels = np.empty(voxels, np.float32), np.empty(voxels, np.uint8)
    for start in range(0, voxels, CHUNK_POINTS):
        chunk = slice(start, min(start + CHUNK_POINTS, voxels))
        index = np.stack(np.unravel_index(np.arange(chunk.start, chunk.stop), grid.shape), axis=-1)
        points = apply_affine(pose @ grid.affine, index)
        tissue = tissue_at(anatomy, anatomy.shape.to_template(points))
        head[chunk] = tissue.t1 + (1 - tissue.brain) * tissue.body[:, 0]
        largest = 1 + np.argmax([tissue.gm, tissue.wm, tissue.csf], axis=0)
        labels[chunk] = np.where(tissue.brain > 0.5, largest, 0)
    return head.reshape(grid.shape), labels.reshape(grid.shape)
