"""Fibre directions in template space: named tracts as mirrored curves over a radial background.

Every tract adds the dyads of its tangents, weighted by the distance to its curve. The mean dyad is smooth by
construction, has trace 1, and is less anisotropic where tracts cross.
"""

import numpy as np
from numpy.typing import NDArray

from neuromoe.imaging.images import Image
from neuromoe.simulate._sampling import regular_grid

# Right side, template world mm; the left side mirrors it.
TRACTS = {
    "corticospinal": (
        (
            (36, -24, 62),
            (27, -20, 40),
            (24, -16, 22),
            (21, -13, 8),
            (14, -16, -8),
            (8, -20, -22),
            (5, -30, -40),
            (3, -44, -72),
        ),
        7.0,
    ),
    "callosal body": (((0, -6, 27), (14, -6, 29), (24, -8, 36), (30, -10, 56)), 7.0),
    "callosal genu": (((0, 30, 8), (12, 34, 10), (20, 46, 14), (24, 60, 16)), 8.0),
    "callosal splenium": (((0, -40, 16), (14, -46, 18), (24, -62, 20), (24, -86, 16)), 8.0),
    "cingulum": (((8, 40, 6), (8, 24, 28), (8, 0, 38), (8, -30, 38), (9, -50, 24), (18, -38, 0)), 5.0),
    "superior longitudinal": (((38, 34, 20), (38, 4, 28), (37, -28, 30), (40, -52, 18), (50, -38, -2)), 7.0),
    "inferior longitudinal": (((34, 8, -26), (42, -20, -16), (38, -56, -6), (26, -88, 0)), 7.0),
    "fronto-occipital": (((24, 54, 4), (29, 26, -2), (32, -8, -4), (35, -46, 4), (24, -84, 8)), 6.0),
    "anterior thalamic": (((7, -14, 8), (15, 6, 8), (20, 24, 6), (22, 48, 10)), 5.0),
    "optic radiation": (((22, -26, -2), (34, -30, -2), (34, -58, 4), (14, -88, 4)), 5.0),
    "fornix": (((4, 2, -6), (3, -4, 16), (8, -30, 16), (26, -32, -4)), 3.0),
    "middle cerebellar peduncle": (((0, -20, -32), (16, -30, -34), (24, -46, -36), (22, -62, -34)), 6.0),
    "superior cerebellar peduncle": (((3, -26, -12), (6, -40, -24), (14, -54, -32)), 4.0),
}
BACKGROUND = 0.08
GRID_MM = 4.0


def dyad_field() -> Image:
    """Return the fibre dyads on a coarse grid over the template's brain.

    Returns
    -------
    Image (X, Y, Z, 6), float32
        Elements xx, yy, zz, xy, xz, yz; trace 1.
    """
    grid = regular_grid((-78.0, -114.0, -78.0), (78.0, 82.0, 90.0), GRID_MM)
    points = grid.world().astype(np.float32)
    side = np.where(points[:, :1] < 0, -1, 1).astype(np.float32) * np.array([1, 0, 0], np.float32) + [0, 1, 1]
    right = (points * side).astype(np.float32)
    matrices = BACKGROUND * _dyads(_radial(right))
    for curve, width_mm in TRACTS.values():
        matrices += _tract(right, np.array(curve, np.float32), width_mm)
    # A power sharpens the mixture without the jumps that its first eigenvector alone would have.
    matrices = matrices @ matrices
    matrices /= np.trace(matrices, axis1=1, axis2=2)[:, None, None]
    matrices *= side[:, :, None] * side[:, None, :]
    return Image(pack(matrices).reshape(*grid.shape, 6).astype(np.float32), grid.affine)


def pack(matrices: NDArray) -> NDArray:
    """Return the elements xx, yy, zz, xy, xz, yz (..., 6) of symmetric matrices (..., 3, 3)."""
    return matrices[..., [0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]


def unpack(elements: NDArray) -> NDArray:
    """Return the symmetric matrices (..., 3, 3) of packed elements (..., 6)."""
    return elements[..., [[0, 3, 4], [3, 1, 5], [4, 5, 2]]]


def _tract(points: NDArray, curve: NDArray, width_mm: float) -> NDArray:
    """Sum the dyads of a curve's pieces, weighted by a Gaussian of the distance to each."""
    total = np.zeros((len(points), 3, 3), np.float32)
    for start, end in zip(curve[:-1], curve[1:], strict=True):
        along = end - start
        length = np.sqrt((along**2).sum())
        share = np.clip((points - start) @ along / length**2, 0, 1)
        squared = ((points - start - share[:, None] * along) ** 2).sum(axis=1)
        direction = along / length
        total += np.exp(-squared / (2 * width_mm**2))[:, None, None] * np.outer(direction, direction)
    return total


def _radial(points: NDArray) -> NDArray:
    """Return directions away from the depth of the hemisphere, for the fibres that enter the cortex."""
    offset = points - np.array([14, -18, 8], np.float32)
    return offset / np.sqrt((offset**2).sum(axis=1, keepdims=True) + 4.0)


def _dyads(directions: NDArray) -> NDArray:
    return directions[:, :, None] * directions[:, None, :]
