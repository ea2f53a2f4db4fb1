"""The images of a registration at several scales: points of the fixed one, the smoothed moving one."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neuromoe.imaging.geometry import apply_affine
from neuromoe.imaging.images import Image
from neuromoe.registration._mutual_information import Sample, bin_intensities, mutual_information

_BINS = 32
_RIM_MM = 8.0
LEAST_OVERLAP = 0.3
# Distance of the points and smoothing (standard deviation), coarse to fine.
SCALES_MM = ((8.0, 4.0), (5.0, 2.0), (3.5, 1.5))


@dataclass(frozen=True)
class Level:
    """One scale: fixed points with their bins, and the moving volume as bin positions.

    Parameters
    ----------
    sample : Sample
    volume : array (X, Y, Z)
    affine : array (4, 4)
        Of the moving volume, mm.
    entropy : float
        Of the fixed bins, nats; turns information into a share.
    spacing_mm : float
        Distance of the points.
    """

    sample: Sample
    volume: NDArray
    affine: NDArray
    entropy: float
    spacing_mm: float

    def score(self, matrix: NDArray) -> tuple[float, NDArray, float]:
        """Return the share of information, its gradient (3, 4) and the overlap; see `mutual_information`."""
        information, gradient, overlap = mutual_information(matrix, self.sample, self.volume, self.affine)
        return information / self.entropy, gradient / self.entropy, overlap

    def held(self, matrix: NDArray) -> "Level":
        """Keep points well inside the moving field of view: no climb may gain by pushing points out."""
        voxels = apply_affine(np.linalg.inv(self.affine) @ matrix, self.sample.points)
        margin = self.spacing_mm / np.linalg.norm(self.affine[:3, :3], axis=0)
        keep = ((voxels >= margin) & (voxels <= np.array(self.volume.shape) - 1 - margin)).all(axis=1)
        if keep.mean() < LEAST_OVERLAP:
            return self
        return replace(self, sample=replace(self.sample, points=self.sample.points[keep], bins=self.sample.bins[keep]))


def make_levels(
    moving: Image, moving_brain: Image, fixed: Image, fixed_brain: Image, scales_mm: tuple, seed: int
) -> list[Level]:
    """Prepare each of `scales_mm` (distance of the points, smoothing), drawing the points with `seed`."""
    rng = np.random.default_rng(seed)
    fixed, moving = thin(fixed, 1.5), thin(moving, 1.5)
    low, high = _range(moving, moving_brain)
    levels = []
    for spacing_mm, sigma_mm in scales_mm:
        points = _points(fixed_brain, fixed, spacing_mm, rng)
        values = _values_at(_smooth(fixed, sigma_mm), points)
        edges = np.quantile(values, [0.005, 0.995])
        bins = np.rint(bin_intensities(values, edges[0], edges[1], _BINS)).astype(np.intp)
        volume = bin_intensities(_smooth(moving, sigma_mm).data, low, high, _BINS)
        share = np.bincount(bins, minlength=_BINS) / max(len(bins), 1)
        entropy = float(-(share[share > 0] * np.log(share[share > 0])).sum())
        levels.append(Level(Sample(points, bins, _BINS), volume, moving.affine, max(entropy, 1e-6), spacing_mm))
    return levels


def thin(image: Image, target_mm: float) -> Image:
    """Shrink an image by means of whole blocks, as near to voxels of `target_mm` as they come."""
    # A T1w is finer than needed, and smoothing it whole would cost more than the search.
    factors = np.maximum((target_mm / image.voxel_mm + 1e-3).astype(int), 1)
    shape = np.maximum(np.array(image.data.shape) // factors, 1)
    data = image.data[tuple(slice(0, n * f) for n, f in zip(shape, factors, strict=True))]
    blocks = [n for pair in zip(shape, factors, strict=True) for n in pair]
    affine = image.affine @ np.diag([*factors, 1.0])
    affine[:3, 3] = apply_affine(image.affine, (factors - 1) / 2)
    return Image(data.reshape(blocks).mean(axis=(1, 3, 5), dtype=np.float32), affine)


def _smooth(image: Image, sigma_mm: float) -> Image:
    from scipy.ndimage import gaussian_filter

    return image.like(gaussian_filter(image.data, sigma_mm / image.voxel_mm, truncate=3, mode="nearest"))


def _range(image: Image, mask: Image) -> tuple[float, float]:
    points = apply_affine(mask.affine, np.argwhere(mask.data > 0.5))
    values = _values_at(image, points) if len(points) else image.data
    return float(image.data.min()), float(np.quantile(values, 0.99))


def _points(mask: Image, image: Image, spacing_mm: float, rng: np.random.Generator) -> NDArray:
    # Jittered, because points that fall on voxels of the moving image favour that position. Only where the
    # image was seen: what lies beyond a cut field of view is no background.
    inside = apply_affine(mask.affine, np.argwhere(mask.data > 0.5)) if (mask.data > 0.5).any() else mask.grid.world()
    low, high = inside.min(axis=0) - _RIM_MM, inside.max(axis=0) + _RIM_MM
    axes = [np.arange(a, b + spacing_mm, spacing_mm) for a, b in zip(low, high, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    points = points + rng.uniform(-0.5, 0.5, points.shape) * spacing_mm
    voxels = apply_affine(np.linalg.inv(image.affine), points)
    seen = ((voxels >= 0) & (voxels <= np.array(image.data.shape) - 1)).all(axis=1)
    return points[seen & _near(mask, points)]


def _near(mask: Image, points: NDArray) -> NDArray:
    from scipy.ndimage import distance_transform_edt

    pad = np.ceil(_RIM_MM / mask.voxel_mm).astype(int) + 1
    data = np.pad(mask.data > 0.5, [(p, p) for p in pad])
    affine = mask.affine.copy()
    affine[:3, 3] = apply_affine(mask.affine, -pad)
    distance = distance_transform_edt(~data, sampling=mask.voxel_mm)
    voxels = np.rint(apply_affine(np.linalg.inv(affine), points)).astype(int)
    inside = ((voxels >= 0) & (voxels < data.shape)).all(axis=1)
    voxels = np.clip(voxels, 0, np.array(data.shape) - 1)
    return inside & (distance[tuple(voxels.T)] <= _RIM_MM)


def _values_at(image: Image, points: NDArray) -> NDArray:
    from neuromoe.imaging.images import sample

    return sample(image, points)
