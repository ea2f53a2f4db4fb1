"""The diffusion scan: one tensor in each voxel, moved with the head."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuromoe.imaging.geometry import Grid
from neuromoe.imaging.images import Image
from neuromoe.simulate._motion import draw_motion, draw_scan_position, matrices, reach_mm
from neuromoe.simulate._person import Anatomy
from neuromoe.simulate._plan import ImagePlan, site_of
from neuromoe.simulate._properties import Properties
from neuromoe.simulate._protocol import b_values
from neuromoe.simulate._sampling import Voxels, reached, sample_voxels, scan_grid
from neuromoe.simulate._signal import as_stored, rician, shading
from neuromoe.simulate._tracts import unpack

WHITE_MATTER = 0.62
DROPOUT_MM = 1.5


@dataclass(frozen=True, eq=False)
class DwiScan:
    """A diffusion image as it is stored, and what is true about it.

    Parameters
    ----------
    stored : array (X, Y, Z, V), int16
        The image.
    directions : array (V, 3)
        Gradient directions in scanner (world) axes; zero where b = 0.
    motion : array (V, 4, 4)
        Reference world points to each volume's world points.
    parameters : array (V, 6)
        The same as mm and radians about the image's centre.
    to_reference : array (4, 4)
        T1w world points to reference world points.
    tensors : array (N, 3, 3)
        Noise-free tensors of the mask's voxels, 1e-3 mm^2/s, at the reference position, world axes.
    dropouts : array (V,)
        Slices whose signal was lost to motion.
    """

    grid: Grid
    stored: NDArray
    b_values: tuple[int, ...]
    directions: NDArray
    motion: NDArray
    parameters: NDArray
    to_reference: NDArray
    mask: NDArray
    tensors: NDArray
    dropouts: NDArray


def scan_dwi(anatomy: Anatomy, properties: Properties, image: ImagePlan) -> DwiScan:
    """Take the diffusion images of a person."""
    site, grid, values = site_of(anatomy.person), scan_grid(image), b_values(anatomy.size)
    strong = "dwi" in anatomy.person.corrupted
    parameters = draw_motion(anatomy.rng("dwi motion"), image.volumes, strong=strong)
    motion = matrices(parameters, image.center_mm)
    to_reference = draw_scan_position(anatomy.rng("dwi position"), image.center_mm)
    channels = properties.diffusion()
    head = reached(channels, grid, np.linalg.inv(to_reference), reach_mm(parameters))
    directions = np.zeros((len(values), 3))
    directions[np.array(values) > 0] = spread_directions(anatomy.size.directions)
    bias = shading(anatomy.rng("dwi bias"), grid, site.bias / 2, order=2)
    rng, lost = anatomy.rng("dwi noise"), anatomy.rng("dwi dropout")
    stored, dropouts = np.empty((*grid.shape, len(values)), np.int16), np.zeros(len(values), int)
    for volume, (b_value, direction) in enumerate(zip(values, directions, strict=True)):
        to_t1w = np.linalg.inv(motion[volume] @ to_reference)
        signal = bias * _volume(channels, head, to_t1w, b_value, direction)
        if strong:
            dropouts[volume] = _drop_slices(signal, _jump_mm(parameters, volume), lost)
        stored[..., volume] = as_stored(rician(signal, site.noise * WHITE_MATTER, rng), WHITE_MATTER)
    mask, tensors = _truth(channels, properties, grid, to_reference)
    return DwiScan(grid, stored, values, directions, motion, parameters, to_reference, mask, tensors, dropouts)


def spread_directions(count: int) -> NDArray:
    """Return unit vectors that lie far from each other and from each other's opposites.

    References
    ----------
    Jones DK, Horsfield MA, Simmons A. Optimal strategies for measuring diffusion in anisotropic systems by
    magnetic resonance imaging. Magn Reson Med 1999. doi:10.1002/(SICI)1522-2594(199909)42:3<515::AID-
    MRM14>3.0.CO;2-Q
    """
    turn = np.arange(count) * np.pi * (3 - np.sqrt(5))
    height = (np.arange(count) + 0.5) / count
    vectors = np.stack([np.sqrt(1 - height**2) * np.cos(turn), np.sqrt(1 - height**2) * np.sin(turn), height], axis=1)
    for _ in range(200):
        both = np.concatenate([vectors, -vectors])
        apart = vectors[:, None] - both[None]
        distance = np.sqrt((apart**2).sum(axis=-1))
        force = np.divide(apart, distance[..., None] ** 3, out=np.zeros_like(apart), where=distance[..., None] > 1e-9)
        vectors = vectors + 0.02 * force.sum(axis=1)
        vectors /= np.sqrt((vectors**2).sum(axis=1, keepdims=True))
    return vectors


def fsl_directions(directions: NDArray, affine: NDArray) -> NDArray:
    """Return directions (V, 3) in FSL's convention for an image with this affine.

    Voxel axes, and the first is reversed where the affine's determinant is positive.
    """
    axes = affine[:3, :3] / np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    flip = np.array([-1.0 if np.linalg.det(axes) > 0 else 1.0, 1.0, 1.0])
    return directions @ axes * flip + 0.0


def _volume(channels: Image, head: Voxels, to_t1w: NDArray, b_value: int, direction: NDArray) -> NDArray:
    """Return the noise-free signal of one volume.

    The gradient keeps its direction in the scanner, so in the head's axes it turns against the motion.
    """
    values = sample_voxels(channels, head, to_t1w)
    signal = values[:, 0]
    if b_value:
        x, y, z = to_t1w[:3, :3] @ direction
        along = values[:, 1:] @ np.array([x * x, y * y, z * z, 2 * x * y, 2 * x * z, 2 * y * z], np.float32)
        signal = signal * np.exp(np.float32(-b_value / 1000) * along)
    return head.spread(signal)


def _jump_mm(parameters: NDArray, volume: int) -> float:
    """Return how far the head went since the volume before, rotations taken at 50 mm."""
    step = np.abs(np.diff(parameters[max(volume - 1, 0) : volume + 1], axis=0)).sum(axis=0)
    return float(step[:3].sum() + 50 * step[3:].sum())


def _drop_slices(signal: NDArray, jump_mm: float, rng: np.random.Generator) -> int:
    """Weaken slices in place, in volumes before which the head jumped."""
    if jump_mm < DROPOUT_MM:
        return 0
    slices = rng.choice(signal.shape[2], size=max(signal.shape[2] // 6, 1), replace=False)
    signal[:, :, slices] *= rng.uniform(0.2, 0.7, len(slices)).astype(np.float32)
    return len(slices)


def _truth(channels: Image, properties: Properties, grid: Grid, to_reference: NDArray) -> tuple[NDArray, NDArray]:
    to_t1w = np.linalg.inv(to_reference)
    turn = to_t1w[:3, :3]
    mask = properties.brain_on(grid, to_t1w)
    tensors = unpack(sample_voxels(channels, Voxels.of(grid, mask), to_t1w)[:, 1:])
    return mask, turn.T @ tensors @ turn
