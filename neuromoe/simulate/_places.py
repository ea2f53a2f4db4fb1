"""Named places and BOLD networks as soft weights in template space."""

import numpy as np
from numpy.typing import NDArray

from neuromoe.imaging.geometry import Grid
from neuromoe.imaging.images import Image
from neuromoe.simulate._effects import EFFECTS, PLACES, Place
from neuromoe.simulate._sampling import regular_grid

LOW_MM, HIGH_MM, SPACING_MM = (-98.0, -134.0, -72.0), (98.0, 98.0, 116.0), 4.0
NETWORKS = {
    "motor": Place(((38.0, -22.0, 58.0), (48.0, -12.0, 44.0), (0.0, -6.0, 62.0), (20.0, -52.0, -24.0)), 11.0),
    "striatal": Place(((26.0, 2.0, 1.0), (14.0, 12.0, 8.0)), 9.0),
    "default": Place(((0.0, -54.0, 28.0), (46.0, -64.0, 30.0), (0.0, 52.0, 2.0)), 12.0),
    "visual": Place(((10.0, -86.0, 2.0), (28.0, -84.0, 8.0)), 13.0),
    "salience": Place(((38.0, 18.0, 0.0), (0.0, 20.0, 36.0)), 10.0),
    "frontoparietal": Place(((42.0, 38.0, 22.0), (46.0, -48.0, 46.0)), 12.0),
}


def weight_on(place: Place, grid: Grid) -> NDArray:
    """Return the place's weight, 0 to 1, on an axis-aligned grid: the largest of its Gaussians."""
    axes = [grid.affine[axis, 3] + grid.affine[axis, axis] * np.arange(grid.shape[axis]) for axis in range(3)]
    result = np.zeros(grid.shape, np.float32)
    for center in place.all_centers_mm():
        x, y, z = (
            np.exp(-((values - middle) ** 2) / (2 * place.sd_mm**2)).astype(np.float32)
            for values, middle in zip(axes, center, strict=True)
        )
        np.maximum(result, x[:, None, None] * y[:, None] * z, out=result)
    return result


def weights(places: dict[str, Place]) -> Image:
    """Return the weights of places as channels (X, Y, Z, C) on a grid over the template.

    These rounded numbers, between voxels trilinearly, are what the images are made with and what is stored as
    truth.
    """
    grid = regular_grid(LOW_MM, HIGH_MM, SPACING_MM)
    channels = np.stack([np.round(weight_on(place, grid), 3) for place in places.values()], axis=-1)
    return Image(channels, grid.affine)


def effect_on(name: str, grid: Grid) -> NDArray:
    """Return the weight of all places of one effect on a grid."""
    return np.max([weight_on(PLACES[place], grid) for place in EFFECTS[name].places], axis=0)
