"""Local volume change of a transform."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.geometry import Grid, Transform, map_points


def log_jacobian(chain: Sequence[Transform], grid: Grid) -> NDArray:
    """Return the logarithm of the Jacobian determinant of a chain.

    Parameters
    ----------
    chain : sequence of transforms
        World points of `grid` to world points of the image.
    grid : Grid
        Where it is computed, by central differences.

    Returns
    -------
    array (X, Y, Z), float32
        Above zero where the image is larger than the template; a fold is the logarithm of .01.

    Examples
    --------
    >>> twice = lambda points: 2 * points
    >>> float(log_jacobian([twice], Grid((3, 3, 3), np.eye(4)))[1, 1, 1].round(3))
    2.079
    """
    mapped = map_points(chain, grid.world()).reshape(*grid.shape, 3)
    steps = np.stack([np.gradient(mapped, axis=axis) for axis in range(3)], axis=-1)
    determinant = np.linalg.det(steps) / np.linalg.det(grid.affine[:3, :3])
    return np.log(np.clip(determinant, 0.01, None)).astype(np.float32)
