"""What lies around the brain: braincase, face and neck, painted on a grid in template space.

The face and neck are a loft: a stack of horizontal superellipses whose front, back and width follow tables of
a head's profile. The braincase (`_cranium`) is joined to it with a rounded groove, and what is inside is
painted over in turn.
"""

import numpy as np
from numpy.typing import NDArray

from neuromoe.imaging.geometry import Grid
from neuromoe.imaging.images import Image
from neuromoe.simulate._canvas import BONE, DURA, FAT, FLUID, MARROW, MUSCLE, SKIN, Canvas, Part
from neuromoe.simulate._cranium import Cranium, draw_cranium
from neuromoe.simulate._face import paint_face, paint_skull_base, paint_spine
from neuromoe.simulate._sampling import regular_grid, smooth_noise

LOW_MM, HIGH_MM = (-100.0, -132.0, -164.0), (100.0, 122.0, 108.0)
# Height z, front of the midline, half of the width, back of the neck: mm, template world.
PROFILE = np.array(
    [
        (-170, 18, 60, -96),
        (-150, 26, 59, -95),
        (-143, 58, 58, -94),
        (-136, 82, 58, -93),
        (-124, 84, 60, -92),
        (-116, 82, 63, -92),
        (-107, 90, 66, -92),
        (-97, 88, 69, -93),
        (-84, 86, 73, -95),
        (-66, 85, 77, -98),
        (-52, 83, 78, -100),
        (-41, 82, 78, -100),
        (-28, 88, 75, -100),
        (0, 86, 70, -90),
        (30, 74, 60, -80),
    ],
    float,
)
_MIDDLE_Y, _EXPONENT, _SKIN_MM = -12.0, 2.6, 1.8


def draw_body(rng: np.random.Generator, brain_mask: Image, *, voxel_mm: float, age_years: float) -> Image:
    """Paint a person's head without its brain.

    Parameters
    ----------
    brain_mask : Image (X, Y, Z)
        The template's brain, 0 to 1.
    voxel_mm : float
        Edge of the voxels.
    age_years : float
        Widens the fluid over the brain.

    Returns
    -------
    Image (X, Y, Z, 3), float32
        T1 and T2 intensity and diffusivity (see `Material`), template space.
    """
    canvas = Canvas(regular_grid(LOW_MM, HIGH_MM, voxel_mm))
    upper = canvas.box((-999, -999, -94), (999, 999, 999))
    radius, layers = _rays(canvas, upper, draw_cranium(rng, brain_mask, age_years))
    texture = _texture(rng, canvas.grid)
    depth_mm = np.maximum(_loft_depth(rng, canvas), _nose_depth(canvas))
    depth_mm[upper] = _join(depth_mm[upper], layers["scalp"] - radius, 5.0)
    fat_mm = np.full(canvas.grid.shape, 4.0, np.float32)
    fat_mm[upper] = layers["fat"]
    canvas.paint(depth_mm, SKIN)
    canvas.paint(depth_mm - _SKIN_MM, FAT, texture=texture)
    canvas.paint(depth_mm - _SKIN_MM - fat_mm, MUSCLE, texture=texture)
    paint_face(canvas, rng, depth_mm, texture)
    _paint_braincase(canvas, upper, radius, layers, texture)
    paint_skull_base(canvas, texture)
    paint_spine(canvas, texture)
    return Image(canvas.values(), canvas.grid.affine)


def _rays(canvas: Canvas, part: Part, cranium: Cranium) -> tuple[NDArray, dict[str, NDArray]]:
    """Return distance from the braincase's middle and the layers' radii, in the shape of `part`."""
    points = np.stack(np.broadcast_arrays(*canvas.points(part)), axis=-1)
    radius, layers = cranium.at(points.reshape(-1, 3))
    shape = points.shape[:3]
    return radius.reshape(shape), {name: values.reshape(shape) for name, values in layers.items()}


def _loft_depth(rng: np.random.Generator, canvas: Canvas) -> NDArray:
    """Return about the depth under the surface of face and neck, mm; negative outside."""
    x, y, z = canvas.points()
    front, width, back = (np.interp(z, PROFILE[:, 0], PROFILE[:, column]) for column in (1, 2, 3))
    width, front = width * rng.normal(1, 0.025), front + rng.normal(0, 1.5)
    reach = np.where(y >= _MIDDLE_Y, front - _MIDDLE_Y, _MIDDLE_Y - back)
    along = ((np.abs(y - _MIDDLE_Y) / reach) ** _EXPONENT).astype(np.float32)
    across = ((np.abs(x) / width) ** _EXPONENT).astype(np.float32)
    relative = (across + along) ** np.float32(1 / _EXPONENT)
    depth = (1 - relative) * np.minimum(width, reach).astype(np.float32)
    depth += 1.5 * _broad_noise(rng, canvas.grid, 14.0)
    return np.minimum(depth, 34 - z)


def _nose_depth(canvas: Canvas) -> NDArray:
    """Return the depth under the surface of the nose: a ridge that widens from root to tip."""
    x, y, z = canvas.points()
    share = np.clip((-45 - z) / 38, 0, 1)
    below = np.maximum(np.abs(z + 64) - 19, 0)
    beyond = np.maximum(y - (82 + 17 * share), 0)
    depth = 4 + 9 * share - np.sqrt(x**2 + below**2 + beyond**2)
    return np.where(y > 55, depth, -99).astype(np.float32)


def _join(a: NDArray, b: NDArray, width_mm: float) -> NDArray:
    """Return the depth in the union of two bodies, rounded where they meet."""
    blend = np.clip(0.5 + (a - b) / (2 * width_mm), 0, 1)
    return b + (a - b) * blend + width_mm * blend * (1 - blend)


def _paint_braincase(canvas: Canvas, part: Part, radius: NDArray, layers: dict[str, NDArray], texture: NDArray) -> None:
    """Paint the bone's three layers, then the dura and the fluid where the brain will lie."""
    for layer, material in (("outer_table", BONE), ("diploe", MARROW), ("inner_table", BONE)):
        canvas.paint(layers[layer] - radius, material, part, texture)
    canvas.paint(layers["cavity"] - radius, DURA, part, texture)
    canvas.paint(layers["cavity"] - radius - 1.1, FLUID, part, texture)
    x, y, z = canvas.points(part)
    sinus = 4.5 - np.abs(x) - np.abs(layers["cavity"] - radius - 1.5)
    canvas.paint(np.where((z > -5) & (y < 50), sinus, -99), DURA, part, texture)


def _texture(rng: np.random.Generator, grid: Grid) -> NDArray:
    """Return noise of standard deviation 1: fascicles and vessels over broad patches."""
    fine = smooth_noise(rng, grid.shape, 2.2 / float(grid.affine[0, 0]))
    return 0.8 * fine + 0.6 * _broad_noise(rng, grid, 9.0)


def _broad_noise(rng: np.random.Generator, grid: Grid, smoothing_mm: float) -> NDArray:
    """Return smooth noise on a grid, drawn on a coarser one."""
    from scipy.ndimage import zoom

    factor = smoothing_mm / 2 / float(grid.affine[0, 0])
    x, y, z = (int(np.ceil(length / factor)) + 1 for length in grid.shape)
    fine = zoom(smooth_noise(rng, (x, y, z), 2.0), np.array(grid.shape) / (x, y, z), order=1)
    return fine.astype(np.float32)
