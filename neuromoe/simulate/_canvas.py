"""A head in template space that is painted material over material."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuromoe.imaging.geometry import Grid

Part = tuple[slice, slice, slice]
EVERYWHERE: Part = (slice(None), slice(None), slice(None))


@dataclass(frozen=True)
class Material:
    """What a tissue looks like.

    Parameters
    ----------
    t1, t2 : float
        Intensity in T1w, and in b0 and BOLD images (white matter: 0.87 and 0.6). Fat is suppressed in the
        latter.
    diffusivity : float
        1e-3 mm^2/s.
    variation : float
        Standard deviation of the intensity by texture, as a share.
    """

    t1: float
    t2: float
    diffusivity: float
    variation: float = 0.0


AIR = Material(0.0, 0.0, 0.0)
SKIN = Material(0.50, 0.10, 1.0)
FAT = Material(0.98, 0.10, 0.3, 0.06)
MUSCLE = Material(0.40, 0.16, 1.3, 0.16)
BONE = Material(0.05, 0.02, 0.5)
MARROW = Material(0.55, 0.06, 0.4, 0.25)
DURA = Material(0.42, 0.20, 1.0, 0.3)
FLUID = Material(0.24, 1.00, 3.0, 0.10)
MUCOSA = Material(0.50, 0.70, 1.6, 0.2)
VITREOUS = Material(0.20, 1.20, 2.9)
LENS = Material(0.45, 0.20, 1.0)
VESSEL = Material(0.75, 0.05, 1.5)
CORD = Material(0.80, 0.55, 0.9)
DISC = Material(0.32, 0.25, 1.2)
SPONGY_BONE = Material(0.48, 0.12, 0.4, 0.15)


class Canvas:
    """Three arrays (T1, T2, diffusivity) on an axis-aligned grid, filled with air."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.voxel_mm = float(grid.affine[0, 0])
        self._layers = [np.zeros(grid.shape, np.float32) for _ in range(3)]
        self._axes = [
            (grid.affine[axis, 3] + self.voxel_mm * np.arange(grid.shape[axis])).astype(np.float32) for axis in range(3)
        ]

    def points(self, part: Part = EVERYWHERE) -> tuple[NDArray, NDArray, NDArray]:
        """Return the x, y and z of a part, mm, shaped to broadcast."""
        x, y, z = (values[piece] for values, piece in zip(self._axes, part, strict=True))
        return x[:, None, None], y[:, None], z

    def box(self, low_mm: ArrayLike, high_mm: ArrayLike) -> Part:
        """Return the part between two corners."""
        x, y, z = (
            slice(*np.searchsorted(values, (low, high)).tolist())
            for values, low, high in zip(self._axes, np.asarray(low_mm), np.asarray(high_mm), strict=True)
        )
        return x, y, z

    def paint(
        self, depth_mm: NDArray, material: Material, part: Part = EVERYWHERE, texture: NDArray | None = None
    ) -> None:
        """Lay a material where `depth_mm` (the part's shape) is positive, with an edge one voxel soft."""
        cover = np.clip(depth_mm * np.float32(1 / self.voxel_mm) + np.float32(0.5), 0, 1)
        varied = 1.0 if texture is None else np.maximum(1 + material.variation * texture[part], 0.1)
        for layer, value in zip(self._layers, (material.t1, material.t2, material.diffusivity), strict=True):
            layer[part] += cover * (np.float32(value) * varied - layer[part])

    def ellipsoid(
        self,
        center_mm: tuple[float, float, float],
        radii_mm: tuple[float, float, float],
        material: Material,
        texture: NDArray | None = None,
        roughness_mm: float = 0.0,
    ) -> None:
        """Paint an ellipsoid; `texture` roughens its surface by `roughness_mm` too."""
        reach = 1.3 * (np.array(radii_mm) + 2)
        part = self.box(np.array(center_mm) - reach, np.array(center_mm) + reach)
        offsets = [
            (values - middle) / radius
            for values, middle, radius in zip(self.points(part), center_mm, radii_mm, strict=True)
        ]
        depth = (1 - np.sqrt(sum(offset**2 for offset in offsets))) * min(radii_mm)
        if texture is not None:
            depth = depth + roughness_mm * texture[part]
        self.paint(depth, material, part, texture)

    def values(self) -> NDArray:
        """Return the painted channels (X, Y, Z, 3)."""
        return np.stack(self._layers, axis=-1)
