"""Time courses at given places: every volume is interpolated once, at the places its own motion asks for."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates, spline_filter

from neuromoe.imaging.geometry import Transform, apply_affine, map_points
from neuromoe.imaging.images import Image


class Sampler:
    """Give time courses at world points, in chunks that fit into memory.

    Parameters
    ----------
    image : Image (X, Y, Z, V)
        The run, not moved.
    motion : array (V, 4, 4)
        Reference world to each volume's world, mm.
    order : int, default=3
        Spline order of the interpolation.
    """

    def __init__(self, image: Image, motion: NDArray, *, order: int = 3) -> None:
        self.order = order
        self.to_voxels = np.linalg.inv(image.affine) @ motion
        self.shape = image.data.shape[:3]
        # Splines need coefficients; they are made once per volume, and volumes lie together in memory.
        self.coefficients = np.empty((image.data.shape[3], *self.shape), np.float32)
        for index in range(len(self.coefficients)):
            volume = np.ascontiguousarray(image.data[..., index])
            filtered = spline_filter(volume, order, output=np.float32, mode="mirror") if order > 1 else volume
            self.coefficients[index] = filtered

    def courses(self, points: NDArray) -> NDArray[np.float32]:
        """Return the time courses (N, V) at world points (N, 3) of the reference; 0 outside the volume."""
        found = np.empty((len(self.coefficients), len(points)), np.float32)
        for volume, matrix, row in zip(self.coefficients, self.to_voxels, found, strict=True):
            voxels = apply_affine(matrix, points).T
            map_coordinates(volume, voxels, order=self.order, mode="mirror", prefilter=False, output=row)
            row[~self._inside(voxels)] = 0
        return np.ascontiguousarray(found.T)

    def _inside(self, voxels: NDArray) -> NDArray[np.bool_]:
        last = np.array(self.shape)[:, None] - 0.5
        return np.all((voxels >= -0.5) & (voxels <= last), axis=0)


def aligned(image: Image, motion: NDArray, mask: NDArray) -> NDArray[np.float32]:
    """Return the motion-corrected time courses (N, V) of the voxels in `mask`, linearly interpolated."""
    points = apply_affine(image.affine, np.argwhere(mask))
    return Sampler(image, motion, order=1).courses(points)


def chunks_of_points(
    points: NDArray, chain: Sequence[Transform], size: int = 20_000
) -> Iterator[tuple[slice, NDArray]]:
    """Yield parts of the points with where the chain sends them."""
    for start in range(0, len(points), size):
        part = slice(start, min(start + size, len(points)))
        yield part, map_points(chain, points[part])
