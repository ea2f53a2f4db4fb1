"""Random streams, smooth noise, and fast trilinear sampling of many channels at once."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuromoe.imaging.geometry import Grid, apply_affine, rotation_matrix
from neuromoe.imaging.images import Image
from neuromoe.simulate._plan import ImagePlan

CHUNK_POINTS = 400_000


def stream(seed: int, participant_id: str, name: str) -> np.random.Generator:
    """Return the random numbers of one person for one purpose; no other draw moves them."""
    digest = hashlib.sha256(f"{participant_id}/{name}".encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "little")])


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], sd_voxels: float) -> NDArray:
    """Return Gaussian noise smoothed by a Gaussian of `sd_voxels`, with expected standard deviation 1."""
    from scipy.ndimage import gaussian_filter

    margin = int(np.ceil(2 * sd_voxels))
    white = rng.standard_normal([length + 2 * margin for length in shape], dtype=np.float32)
    smooth = gaussian_filter(white, sd_voxels, truncate=3)
    kept = smooth[tuple(slice(margin, margin + length) for length in shape)]
    return kept * np.float32((2 * np.sqrt(np.pi) * sd_voxels) ** (len(shape) / 2))


def trilinear(channels: NDArray, voxels: NDArray) -> NDArray:
    """Interpolate all channels at once; outside the grid the nearest edge counts.

    Parameters
    ----------
    channels : array (X, Y, Z, C)
        Values, channels last so that one corner of a cell is one run of memory.
    voxels : array (N, 3)
        Voxel coordinates.

    Returns
    -------
    array (N, C), float32
    """
    parts = [
        _trilinear(channels, voxels[start : start + CHUNK_POINTS]) for start in range(0, len(voxels), CHUNK_POINTS)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, channels.shape[3]), np.float32)


def _trilinear(channels: NDArray, voxels: NDArray) -> NDArray:
    """Interpolate as the product of a sparse matrix (N, X*Y*Z), eight weights a row, with the channels."""
    from scipy.sparse import csr_array

    shape = np.array(channels.shape[:3], np.int32)
    inside = np.clip(voxels, 0, shape - 1)
    corner = np.minimum(inside.astype(np.int32), shape - 2)
    upper = (inside - corner).astype(np.float32)
    shares = (1 - upper, upper)
    strides = np.array([shape[1] * shape[2], shape[2], 1], np.int32)
    base = corner @ strides
    columns, weights = np.empty((len(voxels), 8), np.int32), np.empty((len(voxels), 8), np.float32)
    for corner_index, (dx, dy, dz) in enumerate(np.ndindex(2, 2, 2)):
        columns[:, corner_index] = base + np.int32(np.dot((dx, dy, dz), strides))
        weights[:, corner_index] = shares[dx][:, 0] * shares[dy][:, 1] * shares[dz][:, 2]
    rows = np.arange(0, 8 * len(voxels) + 1, 8, dtype=np.int32)
    matrix = csr_array((weights.ravel(), columns.ravel(), rows), shape=(len(voxels), int(shape.prod())))
    return matrix @ channels.reshape(-1, channels.shape[3])


def sample(channels: Image, points_mm: NDArray) -> NDArray:
    """Interpolate an image of channels (X, Y, Z, C) at world points (N, 3)."""
    return trilinear(channels.data, apply_affine(np.linalg.inv(channels.affine), points_mm))


@dataclass(frozen=True, eq=False)
class Voxels:
    """Some voxels of a grid.

    Parameters
    ----------
    flat : array (N,), int
        Their flat indices, in C order.
    index : array (N, 3), float32
        The same along the three axes.
    """

    grid: Grid
    flat: NDArray
    index: NDArray

    @classmethod
    def of(cls, grid: Grid, marked: NDArray | None = None) -> "Voxels":
        """Take the voxels that are marked (X, Y, Z), or all."""
        flat = np.arange(np.prod(grid.shape)) if marked is None else np.flatnonzero(marked)
        index = np.stack(np.unravel_index(flat, grid.shape), axis=-1)
        return cls(grid, flat, index.astype(np.float32))

    def spread(self, values: NDArray) -> NDArray:
        """Return values (N,) on the whole grid (X, Y, Z), zero elsewhere."""
        full = np.zeros(self.grid.shape, np.float32)
        full.flat[self.flat] = values
        return full


def sample_voxels(channels: Image, voxels: Voxels, to_channels: NDArray) -> NDArray:
    """Interpolate an image of channels at voxels of another grid.

    Parameters
    ----------
    channels : Image (X, Y, Z, C)
        What to sample.
    voxels : Voxels
        Where.
    to_channels : array (4, 4)
        World points of the voxels' grid to world points of `channels`.

    Returns
    -------
    array (N, C), float32
    """
    matrix = (np.linalg.inv(channels.affine) @ to_channels @ voxels.grid.affine).astype(np.float32)
    return trilinear(channels.data, voxels.index @ matrix[:3, :3].T + matrix[:3, 3])


def reached(channels: Image, grid: Grid, to_channels: NDArray, margin_mm: float) -> Voxels:
    """Return the voxels of a grid that lie within a margin of any signal, the first of the channels."""
    from scipy.ndimage import maximum_filter

    everywhere = Voxels.of(grid)
    signal = everywhere.spread(sample_voxels(channels, everywhere, to_channels)[:, 0]) > 1e-3
    return Voxels.of(grid, maximum_filter(signal, [2 * int(np.ceil(margin_mm / mm)) + 1 for mm in grid.voxel_mm]))


def regular_grid(low_mm: tuple[float, ...], high_mm: tuple[float, ...], voxel_mm: float) -> Grid:
    """Return the axis-aligned grid from one corner to at least the other."""
    x, y, z = (int(np.ceil((high - low) / voxel_mm)) + 1 for low, high in zip(low_mm, high_mm, strict=True))
    affine = np.diag([voxel_mm, voxel_mm, voxel_mm, 1.0])
    affine[:3, 3] = low_mm
    return Grid((x, y, z), affine)


def scan_grid(image: ImagePlan) -> Grid:
    """Return the grid of a planned image as it is stored."""
    affine = np.eye(4)
    tilt = rotation_matrix([np.deg2rad(image.tilt_deg), 0, 0])
    for axis, letter in enumerate(image.axes):
        world = "RAS".find(letter) if letter in "RAS" else "LPI".find(letter)
        affine[:3, axis] = tilt[:, world] * image.voxel_mm * (1 if letter in "RAS" else -1)
    affine[:3, 3] = np.array(image.center_mm) - affine[:3, :3] @ ((np.array(image.shape) - 1) / 2)
    return Grid(image.shape, affine)
