"""A diffusion phantom with known tensors and motion, made from the tissues that nilearn bundles."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuromoe.imaging.geometry import Grid, apply_affine, rigid_matrix
from neuromoe.imaging.gradients import Gradients
from neuromoe.imaging.images import Image, resample


@dataclass(frozen=True, eq=False)
class Head:
    """Tissues and tensors on a fine grid."""

    affine: NDArray
    s0: NDArray
    t1w: NDArray
    tensors: NDArray
    wm: NDArray
    brain: NDArray

    @property
    def center_mm(self) -> NDArray:
        return apply_affine(self.affine, np.argwhere(self.brain > 0.5).mean(axis=0))


def make_head() -> Head:
    """Build white matter with a smooth field of fibres, grey matter, fluid and a faint scalp."""
    from nilearn.datasets import load_mni152_brain_mask, load_mni152_gm_template, load_mni152_wm_template
    from scipy.ndimage import binary_dilation, gaussian_filter

    loaded = [load(resolution=3) for load in (load_mni152_wm_template, load_mni152_gm_template, load_mni152_brain_mask)]
    affine = np.asarray(loaded[0].affine, float)
    wm, gm, brain = (np.pad(np.asarray(image.dataobj, np.float32), 5) for image in loaded)
    affine[:3, 3] = apply_affine(affine, [-5, -5, -5])
    wm, gm = wm / wm.max(), gm / gm.max()
    inside = brain > 0.5
    csf = np.where(inside, np.clip(1 - wm - gm, 0, 1), 0)
    scalp = binary_dilation(inside, iterations=4) & ~binary_dilation(inside, iterations=2)
    s0 = 800 * wm + 1000 * gm + 2200 * csf + 150 * gaussian_filter(scalp.astype(np.float32), 0.5)
    t1w = 1000 * wm + 650 * gm + 200 * csf + 500 * scalp
    return Head(
        affine,
        s0.astype(np.float32),
        t1w.astype(np.float32),
        _tensors(affine, wm, csf, inside),
        np.where(inside, wm, 0),
        brain,
    )


def _tensors(affine: NDArray, wm: NDArray, csf: NDArray, inside: NDArray) -> NDArray:
    points = Grid(wm.shape, affine).world().reshape(*wm.shape, 3) / 40.0
    x, y, z = np.moveaxis(points, -1, 0)
    fibers = np.stack([np.sin(y + 0.5 * z) + 0.3, np.cos(x * 1.3), np.sin(z * 0.9 - x) + 0.2], axis=-1)
    fibers /= np.linalg.norm(fibers, axis=-1, keepdims=True)
    along = fibers[..., :, None] * fibers[..., None, :]
    white = 0.35e-3 * np.eye(3) + 1.35e-3 * along
    share = (wm / np.maximum(wm + 1e-3, 0.5))[..., None, None].clip(0, 1)
    other = (0.8e-3 + 2.0e-3 * csf)[..., None, None] * np.eye(3)
    return np.where(inside[..., None, None], share * white + (1 - share) * other, 1e-3 * np.eye(3))


def directions(count: int) -> NDArray:
    """Spread axes over the half sphere by electrostatic repulsion."""
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(count, 3))
    for _ in range(300):
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        both = np.concatenate([vectors, -vectors])
        apart = vectors[:, None] - both[None]
        distance = np.maximum(np.linalg.norm(apart, axis=-1, keepdims=True), 0.1)
        vectors = vectors + 0.1 / max(count, 1) * (apart / distance**3).sum(axis=1)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def table(count: int, bval: float = 1000.0, b0s: int = 1) -> Gradients:
    """One shell after its b=0 volumes."""
    return Gradients(
        np.concatenate([np.zeros(b0s), np.full(count, bval)]),
        np.concatenate([np.zeros((b0s, 3)), directions(count)]),
    )


def random_motion(
    head: Head, volumes: int, rng: np.random.Generator, shift_mm: float = 1.5, turn_rad: float = 0.03
) -> NDArray:
    """A pose of the head for each volume; the first is at rest."""
    parameters = np.concatenate([rng.normal(0, shift_mm, (volumes, 3)), rng.normal(0, turn_rad, (volumes, 3))], axis=1)
    parameters[0] = 0
    return np.stack([rigid_matrix(row, head.center_mm) for row in parameters])


def acquire(
    head: Head,
    grid: Grid,
    gradients: Gradients,
    motion: NDArray,
    rng: np.random.Generator,
    noise: float = 0.0,
) -> NDArray:
    """Scan the head, moved by each volume's matrix, under gradients that stay with the scanner."""
    volumes = []
    for bval, direction, pose in zip(gradients.bvals_s_mm2, gradients.directions, motion, strict=True):
        seen = pose[:3, :3].T @ direction
        signal = head.s0 * np.exp(-bval * np.einsum("i,xyzij,j->xyz", seen, head.tensors, seen))
        volumes.append(_scan(Image(signal.astype(np.float32), head.affine), grid, np.linalg.inv(pose)))
    series = np.stack(volumes, axis=-1)
    real, imaginary = rng.normal(0, noise * 900, (2, *series.shape))
    return np.hypot(series + real, imaginary).astype(np.float32)


def _scan(image: Image, grid: Grid, to_head: NDArray) -> NDArray:
    # A voxel is the mean of eight points inside it.
    total = np.zeros(grid.shape, np.float32)
    for corner in np.indices((2, 2, 2)).reshape(3, -1).T * 0.5 - 0.25:
        shifted = Grid(
            grid.shape,
            grid.affine @ np.block([[np.eye(3), corner[:, None]], [np.zeros((1, 3)), np.ones((1, 1))]]),
        )
        total += resample(image, shifted, [lambda points: apply_affine(to_head, points)]) / 8
    return total


def axial_grid(head: Head, voxel_mm: float = 4.0, shape: tuple[int, int, int] = (48, 56, 42)) -> Grid:
    """A scanner's grid around the head."""
    affine = np.diag([voxel_mm, voxel_mm, voxel_mm, 1.0])
    affine[:3, 3] = head.center_mm - voxel_mm * (np.array(shape) - 1) / 2
    return Grid(shape, affine)


@dataclass(frozen=True, eq=False)
class Scan:
    """A series with motion, the same at rest, and the truth."""

    grid: Grid
    gradients: Gradients
    motion: NDArray
    moved: NDArray
    still: NDArray
    wm: NDArray
    brain: NDArray


def scan(head: Head, rng: np.random.Generator, *, count: int = 13, noise: float = 0.02) -> Scan:
    """Acquire one b=0 and `count` directions at 4 mm with a head that moves between volumes."""
    grid, gradients = axial_grid(head), table(count)
    motion = random_motion(head, len(gradients), rng)
    rest = np.tile(np.eye(4), (len(gradients), 1, 1))
    wm = resample(Image(head.wm, head.affine), grid) > 0.7
    brain = resample(Image(head.brain, head.affine), grid) > 0.5
    moved = acquire(head, grid, gradients, motion, rng, noise)
    return Scan(grid, gradients, motion, moved, acquire(head, grid, gradients, rest, rng, 0.0), wm, brain)
