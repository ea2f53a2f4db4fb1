"""Local volume change of a transform."""

import numpy as np
from numpy.typing import NDArray

from neuromoe.imaging.geometry import Grid


def determinants(points: NDArray, grid: Grid) -> NDArray:
    """Return the Jacobian determinant of a map, array (X, Y, Z); not above zero where the map folds.

    Parameters
    ----------
    points : array (N, 3)
        Where each voxel of `grid` is sent, mm.
    grid : Grid
        Where it is computed, by central differences.

    Examples
    --------
    >>> grid = Grid((3, 3, 3), np.eye(4))
    >>> float(determinants(grid.world() * [-1, 1, 1], grid)[1, 1, 1])
    -1.0
    """
    mapped = points.reshape(*grid.shape, 3)
    columns = [np.gradient(mapped, axis=axis) for axis in range(3)]
    return (np.cross(columns[0], columns[1]) * columns[2]).sum(axis=-1) / np.linalg.det(grid.affine[:3, :3])


def log_jacobian(determinants: NDArray) -> NDArray:
    """Return the logarithm of the Jacobian determinants of a map.

    Parameters
    ----------
    determinants : array (X, Y, Z)
        As :func:`determinants` returns them.

    Returns
    -------
    array (X, Y, Z), float32
        Above zero where the image is larger than the template; a fold is the logarithm of .01.

    Examples
    --------
    >>> grid = Grid((3, 3, 3), np.eye(4))
    >>> round(float(log_jacobian(determinants(2 * grid.world(), grid))[1, 1, 1]), 3)
    2.079
    """
    return np.log(np.clip(determinants, 0.01, None)).astype(np.float32)
