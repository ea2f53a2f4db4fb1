"""Grids, rigid matrices and resampling, in RAS+ world millimetres."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Transform = Callable[[NDArray], NDArray]


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the voxels of an image lie.

    Parameters
    ----------
    shape : tuple of 3 int
        Voxels along each axis.
    affine : array (4, 4)
        Voxel index to RAS+ world, mm.
    """

    shape: tuple[int, int, int]
    affine: NDArray

    @property
    def voxel_mm(self) -> NDArray:
        """Edge lengths of a voxel, mm (3,)."""
        return np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))

    @property
    def center_mm(self) -> NDArray:
        """World point of the grid's middle, mm (3,)."""
        return apply_affine(self.affine, (np.array(self.shape) - 1) / 2)

    def indices(self) -> NDArray:
        """Return the index of every voxel (X*Y*Z, 3), in C order."""
        return np.indices(self.shape).reshape(3, -1).T

    def world(self) -> NDArray:
        """Return the world point of every voxel, mm (X*Y*Z, 3), in C order."""
        return apply_affine(self.affine, self.indices())

    def same_as(self, other: "Grid", tolerance_mm: float = 1e-2) -> bool:
        """Tell whether two grids have the same voxels."""
        return self.shape == other.shape and bool(np.allclose(self.affine, other.affine, atol=tolerance_mm))

    def at_voxel_mm(self, voxel_mm: float) -> "Grid":
        """Cover the same field of view with cubic voxels of `voxel_mm`."""
        extent_mm = np.array(self.shape) * self.voxel_mm
        shape = np.maximum(np.ceil(extent_mm / voxel_mm - 1e-3).astype(int), 1)
        directions = self.affine[:3, :3] / self.voxel_mm
        affine = np.eye(4)
        affine[:3, :3] = directions * voxel_mm
        affine[:3, 3] = self.center_mm - affine[:3, :3] @ ((shape - 1) / 2)
        return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def apply_affine(matrix: NDArray, points: ArrayLike) -> NDArray:
    """Map points (..., 3) through a 4x4 matrix."""
    return np.asarray(points, float) @ matrix[:3, :3].T + matrix[:3, 3]


def rotation_matrix(angles_rad: ArrayLike) -> NDArray:
    """Return Rz @ Ry @ Rx (3, 3) for rotations about x, y and z.

    Examples
    --------
    >>> rotation_matrix([0, 0, np.pi / 2]).round(3) @ [1, 0, 0]
    array([0., 1., 0.])
    """
    x, y, z = np.asarray(angles_rad, float)
    rx = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    ry = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    rz = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    return rz @ ry @ rx


def rigid_matrix(parameters: ArrayLike, center_mm: ArrayLike = (0, 0, 0)) -> NDArray:
    """Build a rigid 4x4 matrix that rotates about `center_mm`.

    Parameters
    ----------
    parameters : array (6,)
        Translations x y z in mm, then rotations about x y z in radians.
    center_mm : array (3,), default=(0, 0, 0)
        The fixed point of the rotation, mm.
    """
    parameters = np.asarray(parameters, float)
    center = np.asarray(center_mm, float)
    matrix = np.eye(4)
    matrix[:3, :3] = rotation_matrix(parameters[3:])
    matrix[:3, 3] = parameters[:3] + center - matrix[:3, :3] @ center
    return matrix


def rigid_parameters(matrix: NDArray, center_mm: ArrayLike = (0, 0, 0)) -> NDArray:
    """Take the six parameters out of a rigid matrix; the inverse of :func:`rigid_matrix`."""
    rotation, center = matrix[:3, :3], np.asarray(center_mm, float)
    angles = [
        np.arctan2(rotation[2, 1], rotation[2, 2]),
        np.arcsin(np.clip(-rotation[2, 0], -1, 1)),
        np.arctan2(rotation[1, 0], rotation[0, 0]),
    ]
    shift = matrix[:3, 3] - center + rotation @ center
    return np.concatenate([shift, angles])


def map_points(chain: Sequence[Transform], points: NDArray) -> NDArray:
    """Send world points (N, 3) through each transform of `chain` in turn."""
    for transform in chain:
        points = transform(points)
    return points
