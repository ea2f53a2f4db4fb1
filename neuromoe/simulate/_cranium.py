"""The braincase as layers along rays from its middle.

Each layer's radius is a smooth function of direction: a rounded envelope of the brain, plus thicknesses from
noise on the sphere. The envelope does not follow the brain's folds, so the space under the bone has no
constant width.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuromoe.imaging.geometry import apply_affine
from neuromoe.imaging.images import Image
from neuromoe.simulate._sampling import smooth_noise, trilinear

CENTER_MM = np.array([0.0, -18.0, 8.0])
# Colatitude from the top and azimuth from the right; azimuth closes on itself, so its first column is
# repeated.
COLATITUDES, AZIMUTHS = 37, 74
LAYERS = ("cavity", "inner_table", "diploe", "outer_table", "scalp", "fat")
_CONCENTRATION, _POWER = 90.0, 6.0


@dataclass(frozen=True)
class Cranium:
    """Radii of the layers' outer ends.

    Parameters
    ----------
    radii_mm : array (COLATITUDES, AZIMUTHS + 1, 6)
        From the middle to the end of each of `LAYERS`, cumulative; the last is the thickness of the fat under
        the skin.
    """

    radii_mm: NDArray

    def at(self, points_mm: NDArray) -> tuple[NDArray, dict[str, NDArray]]:
        """Return each template point's distance from the middle, and each layer's radius along its ray.

        Parameters
        ----------
        points_mm : array (N, 3)
            Template world.
        """
        offset = points_mm - CENTER_MM.astype(np.float32)
        radius = np.sqrt((offset**2).sum(axis=1))
        colatitude = np.arccos(np.clip(offset[:, 2] / np.maximum(radius, 1e-3), -1, 1))
        azimuth = np.arctan2(offset[:, 1], offset[:, 0]) % (2 * np.pi)
        place = np.stack(
            [
                colatitude * ((COLATITUDES - 1) / np.pi),
                azimuth * (AZIMUTHS / (2 * np.pi)),
                np.zeros_like(radius),
            ],
            axis=1,
        )
        doubled = np.repeat(self.radii_mm[:, :, None], 2, axis=2)
        values = trilinear(doubled, place)
        return radius, {name: values[:, index] for index, name in enumerate(LAYERS)}


def draw_cranium(rng: np.random.Generator, brain_mask: Image, age_years: float) -> Cranium:
    """Draw a person's braincase about the template's brain.

    Parameters
    ----------
    brain_mask : Image (X, Y, Z)
        The template's brain, 0 to 1.
    age_years : float
        Old people have more fluid over the brain.
    """
    directions = _directions()
    noise = _sphere_noise(rng, directions, len(LAYERS))
    x, y, z = directions[..., 0], directions[..., 1], directions[..., 2]
    temple = np.exp(-(((np.abs(x) - 0.9) / 0.35) ** 2) - ((z + 0.1) / 0.45) ** 2 - ((y - 0.25) / 0.5) ** 2)
    fluid = 1.6 + 0.05 * max(age_years - 50, 0) + 1.6 * np.maximum(z, 0) + 1.3 * np.abs(noise[..., 0])
    spongy = np.maximum(2.2 + 1.6 * noise[..., 2] + 1.5 * (y < -0.5) - 2.5 * temple, 0.2)
    thicknesses = [
        fluid,
        np.maximum(1.7 + 0.3 * noise[..., 1], 1.0),
        spongy,
        np.maximum(1.9 + 0.3 * noise[..., 3], 1.1),
        np.maximum(5.5 + 1.3 * noise[..., 4] + 8.0 * temple + 2.5 * (y < -0.6), 3.5),
    ]
    radii = _envelope(directions, brain_mask)[..., None] + np.cumsum(thicknesses, axis=0).transpose(1, 2, 0)
    fat = np.maximum(2.6 + rng.normal(0, 0.5) + 0.9 * noise[..., 5], 0.8)
    stacked = np.concatenate([radii, fat[..., None]], axis=-1).astype(np.float32)
    return Cranium(np.concatenate([stacked, stacked[:, :1]], axis=1))


def _directions() -> NDArray:
    """Return unit vectors (COLATITUDES, AZIMUTHS, 3)."""
    colatitude = np.linspace(0, np.pi, COLATITUDES)[:, None]
    azimuth = np.arange(AZIMUTHS)[None] * (2 * np.pi / AZIMUTHS)
    parts = (
        np.sin(colatitude) * np.cos(azimuth),
        np.sin(colatitude) * np.sin(azimuth),
        np.cos(colatitude) + 0 * azimuth,
    )
    return np.stack(parts, axis=-1)


def _envelope(directions: NDArray, brain_mask: Image) -> NDArray:
    """Return a rounded outer radius of the brain, its stem left out, along each direction.

    A power mean over the brain's surface, weighted by the angle to the direction (von Mises-Fisher): it
    follows the outermost parts and bridges what lies between them.
    """
    inside = brain_mask.data > 0.5
    inner = inside.copy()
    for axis in range(3):
        inner &= np.roll(inside, 1, axis) & np.roll(inside, -1, axis)
    points = apply_affine(brain_mask.affine, np.argwhere(inside & ~inner))
    stem = (points[:, 2] < -50) & (np.hypot(points[:, 0], points[:, 1] + 44) < 20)
    offset = (points[~stem] - CENTER_MM)[:: max(len(points) // 4500, 1)].astype(np.float32)
    radius = np.sqrt((offset**2).sum(axis=1))
    flat = directions.reshape(-1, 3).astype(np.float32)
    weights = np.exp(np.float32(_CONCENTRATION) * (flat @ (offset / radius[:, None]).T - 1)) + np.float32(1e-12)
    mean = (weights @ (radius / 80) ** _POWER) / weights.sum(axis=1)
    return 80 * mean.reshape(directions.shape[:2]) ** (1 / _POWER)


def _sphere_noise(rng: np.random.Generator, directions: NDArray, kinds: int) -> NDArray:
    """Evaluate smooth 3-D noise on the sphere, which is free of poles."""
    cube = np.stack([smooth_noise(rng, (14, 14, 14), 1.3) for _ in range(kinds)], axis=-1)
    return trilinear(cube, 6.5 + 6.0 * directions.reshape(-1, 3)).reshape(*directions.shape[:2], kinds)
