"""FSL's coordinates, turned into world points here and nowhere else.

FLIRT, MCFLIRT and FNIRT speak of FSL millimetres: voxel index times voxel size, with x counted from the last voxel
where the stored axes are right-handed (a positive determinant). A `.mat` maps the moving image's to the fixed image's,
the other way round than the transforms of this package; a FNIRT field lies on the fixed image and leads to the moving.

References
----------
.. [1] Jenkinson et al. (2002), Improved optimization for the robust and accurate linear registration and motion
   correction of brain images, NeuroImage 17, doi:10.1006/nimg.2002.1132.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromoe.imaging.geometry import Grid, apply_affine
from neuromoe.imaging.images import Image
from neuromoe.imaging.transforms import Affine, Chain, Displacement


def voxels_to_fsl(grid: Grid) -> NDArray:
    """Return the map from voxel index to FSL millimetres (4, 4).

    Examples
    --------
    >>> grid = Grid((10, 10, 10), np.diag([2.0, 2, 2, 1]))
    >>> apply_affine(voxels_to_fsl(grid), [0, 0, 1])
    array([18.,  0.,  2.])
    """
    matrix = np.diag([*grid.voxel_mm, 1.0])
    if np.linalg.det(grid.affine[:3, :3]) > 0:
        matrix[0, 0] *= -1
        matrix[0, 3] = (grid.shape[0] - 1) * grid.voxel_mm[0]
    return matrix


def world_to_fsl_mm(grid: Grid) -> NDArray:
    """Return the map from RAS+ world points to FSL millimetres of an image (4, 4)."""
    return voxels_to_fsl(grid) @ np.linalg.inv(grid.affine)


def flirt_to_world(matrix: NDArray, fixed: Grid, moving: Grid) -> Affine:
    """Turn FLIRT's matrix into the map from fixed to moving world points.

    Parameters
    ----------
    matrix : array (4, 4)
        FSL millimetres of the moving image (`-in`) to those of the fixed (`-ref`).
    fixed, moving : Grid
        Of the two images.
    """
    back = np.linalg.inv(np.asarray(matrix, float))
    return Affine(np.linalg.inv(world_to_fsl_mm(moving)) @ back @ world_to_fsl_mm(fixed))


def world_to_flirt(affine: Affine, fixed: Grid, moving: Grid) -> NDArray:
    """Turn a map from fixed to moving world points into FLIRT's matrix; the inverse of :func:`flirt_to_world`."""
    return world_to_fsl_mm(fixed) @ np.linalg.inv(affine.matrix) @ np.linalg.inv(world_to_fsl_mm(moving))


def matrix_text(matrix: NDArray) -> str:
    """Write a matrix as FLIRT reads it."""
    return "".join(" ".join(f"{value:.10f}" for value in row) + "\n" for row in matrix)


def warp_to_chain(warp: Image, moving: Grid, linear: Affine, *, absolute: bool = False) -> Chain:
    """Turn a field of FNIRT or invwarp into a chain from fixed to moving world points.

    The affine part, which the field contains, is taken out of it and follows as an affine: beyond the field's grid it
    alone holds.

    Parameters
    ----------
    warp : Image (X, Y, Z, 3)
        On the fixed image's grid, FSL millimetres.
    moving : Grid
        Of the moving image.
    linear : Affine
        Fixed to moving world points.
    absolute : bool, default=False
        The field holds places, not displacements.
    """
    world = warp.grid.world()
    places = warp.data.reshape(-1, 3).astype(float)
    if not absolute:
        places = places + apply_affine(world_to_fsl_mm(warp.grid), world)
    sources = apply_affine(np.linalg.inv(world_to_fsl_mm(moving)), places)
    shift = linear.inverse()(sources) - world
    field = shift.reshape(*warp.grid.shape, 3).astype(np.float32)
    return Displacement(field, warp.affine), linear


@dataclass(frozen=True)
class PhaseEncoding:
    """How an echo-planar image was read out.

    Parameters
    ----------
    axis : int
        Axis of the image in RAS+ order.
    sign : int
        1 where phase encoding runs towards higher indices, else -1.
    readout_s : float
        Total readout time, s.
    """

    axis: int
    sign: int
    readout_s: float

    def opposes(self, other: "PhaseEncoding") -> bool:
        """Tell whether two images were read out along one axis in opposite directions."""
        return self.axis == other.axis and self.sign == -other.sign

    def row(self) -> str:
        """Return topup's line for an image that is written with x turned round.

        Examples
        --------
        >>> PhaseEncoding(1, -1, 0.05).row(), PhaseEncoding(0, 1, 0.05).row()
        ('0 -1 0 0.050000', '-1 0 0 0.050000')
        """
        vector = [0, 0, 0]
        vector[self.axis] = -self.sign if self.axis == 0 else self.sign
        return f"{vector[0]} {vector[1]} {vector[2]} {self.readout_s:.6f}"


def phase_encoding(metadata: Mapping[str, Any], stored_affine: NDArray, shape: tuple[int, ...]) -> PhaseEncoding | None:
    """Read the phase encoding from a sidecar; None where it does not say enough.

    Parameters
    ----------
    metadata : mapping
        BIDS: PhaseEncodingDirection, and TotalReadoutTime or EffectiveEchoSpacing (s).
    stored_affine : array (4, 4)
        Voxel to world as the file has it: the direction names its axes.
    shape : tuple of int
        Of the image in RAS+ order.
    """
    import nibabel as nib

    direction = str(metadata.get("PhaseEncodingDirection", ""))
    if direction[:1] not in ("i", "j", "k") or direction[1:] not in ("", "-"):
        return None
    axis, turned = nib.io_orientation(stored_affine)["ijk".index(direction[0])]
    sign = -1 if direction.endswith("-") != (turned < 0) else 1
    lines = int(metadata.get("ReconMatrixPE", shape[int(axis)]))
    readout_s = metadata.get("TotalReadoutTime")
    if readout_s is None and metadata.get("EffectiveEchoSpacing"):
        readout_s = float(metadata["EffectiveEchoSpacing"]) * (lines - 1)
    return PhaseEncoding(int(axis), sign, float(readout_s)) if readout_s else None


def field_to_displacement(field_hz: Image, encoding: PhaseEncoding) -> Displacement:
    """Turn an off-resonance field into the way from an undistorted to the distorted image.

    Parameters
    ----------
    field_hz : Image (X, Y, Z)
        Hz.
    encoding : PhaseEncoding
        Of the distorted image, whose axes the field's grid has.

    Returns
    -------
    Displacement
        A frequency of 1 / readout time moves the signal by one voxel along phase encoding.
    """
    voxels = field_hz.data * (encoding.readout_s * encoding.sign)
    direction = field_hz.affine[:3, encoding.axis]
    return Displacement((voxels[..., None] * direction).astype(np.float32), field_hz.affine)


def path_of_matrices(folder: Path, volumes: int) -> list[Path]:
    """Return the names that MCFLIRT gives to the matrices of a series."""
    return [folder / f"MAT_{index:04d}" for index in range(volumes)]
