"""Eyes, nose, jaws, throat, ears and spine, painted into the head. Places are template world mm."""

import numpy as np
from numpy.typing import NDArray

from neuromoe.simulate._canvas import (
    AIR,
    BONE,
    CORD,
    DISC,
    FAT,
    FLUID,
    LENS,
    MARROW,
    MUCOSA,
    MUSCLE,
    SKIN,
    SPONGY_BONE,
    VESSEL,
    VITREOUS,
    Canvas,
)

# Height z and y of the spinal cord's middle; it goes on where the template's brain stem ends.
_CORD_Z, _CORD_Y = (
    np.array([-170.0, -120.0, -90.0, -62.0, -40.0]),
    np.array([-58.0, -54.0, -48.0, -44.0, -38.0]),
)


def paint_face(canvas: Canvas, rng: np.random.Generator, depth_mm: NDArray, texture: NDArray) -> None:
    """Paint what lies before and beside the braincase."""
    _paint_jaws(canvas, depth_mm, texture)
    _paint_nose(canvas, rng, texture)
    _paint_throat(canvas, texture)
    for side in (-1, 1):
        _paint_eye(canvas, side, gaze_deg=float(rng.normal(0, 6)), texture=texture)
        _paint_side(canvas, side, texture)


def paint_spine(canvas: Canvas, texture: NDArray) -> None:
    """Paint vertebrae and discs, and the canal with the cord in its fluid."""
    part = canvas.box((-34, -105, -999), (34, 0, -52))
    x, y, z = canvas.points(part)
    middle = np.interp(z, _CORD_Z, _CORD_Y).astype(np.float32)
    behind = middle - y
    body_depth = 9.5 - np.hypot(x * 0.75, y - middle - 20)
    below_axis = np.broadcast_to(-74 - z, body_depth.shape)
    canvas.paint(np.minimum(body_depth + 1.5, below_axis), BONE, part)
    canvas.paint(np.minimum(body_depth, below_axis), SPONGY_BONE, part, texture)
    gap = np.abs((-z % 17.0) - 8.5) - 6.0
    canvas.paint(np.minimum(np.minimum(body_depth + 1, below_axis), np.broadcast_to(gap, body_depth.shape)), DISC, part)
    arch = 3.0 - np.abs(np.hypot(x, y - middle) - 11.5)
    spine = np.minimum(2.5 - np.abs(x), np.minimum(behind - 12, 36 - behind)) - np.maximum(-gap, 0) * 2
    canvas.paint(np.minimum(np.maximum(arch, spine), below_axis), BONE, part)
    from_stem = -64 - z
    canvas.paint(np.minimum(9.0 - np.hypot(x, y - middle), from_stem), FLUID, part, texture)
    canvas.paint(np.minimum(5.0 - np.hypot(x * 0.85, y - middle), from_stem), CORD, part)


def _paint_jaws(canvas: Canvas, depth_mm: NDArray, texture: NDArray) -> None:
    """Paint both jaws as arches at a depth under the face, the teeth between them, and the tongue."""
    part = canvas.box((-70, -5, -146), (70, 100, -44))
    x, y, z = canvas.points(part)
    under = depth_mm[part]
    jaw = 5.0 - np.abs(under - 17)
    lower = np.minimum(np.minimum(jaw, -112 - z), np.minimum(z + 139, y - 12))
    upper = np.minimum(np.minimum(jaw + 1, z + 98), np.minimum(-46 - z, y - 28))
    for depth in (lower, upper):
        canvas.paint(depth, BONE, part)
        canvas.paint(depth - 2.2, MARROW, part, texture)
    teeth = np.minimum(np.minimum(3.5 - np.abs(under - 15), 6.5 - np.abs(z + 105)), y - 44)
    canvas.paint(teeth, BONE, part)
    canvas.ellipsoid((0, 42, -112), (23, 30, 15), MUSCLE, texture)
    canvas.ellipsoid((0, 46, -97), (19, 24, 2.5), AIR, texture, 0.8)
    canvas.ellipsoid((0, 40, -91), (24, 32, 4), BONE)


def paint_skull_base(canvas: Canvas, texture: NDArray) -> None:
    """Paint the bone that rises between the lobes: the sphenoid, and the ridges of the ears."""
    canvas.ellipsoid((0, 2, -42), (15, 15, 15), BONE)
    canvas.ellipsoid((0, 1, -43), (12, 12, 13), SPONGY_BONE, texture)
    for side in (-1, 1):
        canvas.ellipsoid((side * 38, -24, -46), (24, 7, 9), BONE, texture, 0.8)


def _paint_nose(canvas: Canvas, rng: np.random.Generator, texture: NDArray) -> None:
    """Paint the nasal cavity with its septum and conchae, and the air of the sinuses."""
    part = canvas.box((-20, 18, -92), (20, 104, -36))
    x, y, z = canvas.points(part)
    roof, floor = np.interp(y, (20, 50, 80, 100), (-46, -40, -46, -76)), -86
    depth = np.minimum(np.minimum(roof - z, z - floor), np.minimum(13 - np.abs(x), np.minimum(y - 22, 98 - y)))
    canvas.paint(depth + 1.5, BONE, part)
    canvas.paint(depth, MUCOSA, part, texture)
    passage = np.minimum(depth - 1, 1.6 + 1.4 * np.sin(z * 0.42) - np.abs(np.abs(x) - 6.0) * 0.8)
    canvas.paint(passage, AIR, part)
    for side in (-1, 1):
        size = float(np.clip(rng.normal(1, 0.12), 0.7, 1.3))
        canvas.ellipsoid((side * 28, 50, -70), (14 * size + 2, 17 * size + 2, 16 * size + 2), BONE)
        canvas.ellipsoid((side * 28, 50, -70), (14 * size, 17 * size, 16 * size), AIR, texture, 1.0)
        canvas.ellipsoid((side * 9, 28, -44), (8 * size, 11, 9 * size), AIR, texture, 0.7)
        canvas.ellipsoid((side * 10, 76, -17), (8 * size, 3.5 * size, 9 * size), AIR, texture, 0.6)


def _paint_throat(canvas: Canvas, texture: NDArray) -> None:
    """Paint the airway behind the mouth, and the great vessels of the neck."""
    part = canvas.box((-14, -26, -999), (14, 24, -66))
    x, y, z = canvas.points(part)
    middle = np.interp(z, (-170, -140, -110, -80), (-8, -2, 4, 12))
    airway = np.minimum(6.5 - np.hypot(x * 0.7, y - middle), -70 - z)
    canvas.paint(airway + 2, MUCOSA, part, texture)
    canvas.paint(airway, AIR, part)
    for side in (-1, 1):
        for place, radius in (((26, -14), 3.4), ((33, -22), 4.6)):
            _paint_vessel(canvas, side * place[0], place[1], radius)


def _paint_vessel(canvas: Canvas, x_mm: float, y_mm: float, radius_mm: float) -> None:
    part = canvas.box((x_mm - 16, y_mm - 16, -999), (x_mm + 16, y_mm + 16, -62))
    x, y, z = canvas.points(part)
    wander = 3 * np.sin(z / 19)
    canvas.paint(radius_mm - np.hypot(x - x_mm - wander, y - y_mm + wander / 2) + 0 * z, VESSEL, part)


def _paint_eye(canvas: Canvas, side: int, *, gaze_deg: float, texture: NDArray) -> None:
    """Paint the orbit's bone and fat, the muscles, the nerve and the globe with its lens."""
    x, y, z = side * 32.0, 61.0, -38.0
    canvas.ellipsoid((x, y - 14, z), (21, 28, 20), BONE)
    canvas.ellipsoid((x, y - 13, z), (18, 27, 17.5), FAT, texture)
    for dx, dz in ((11, 0), (-11, 0), (0, 11), (0, -11)):
        canvas.ellipsoid((x + dx * 0.8, y - 14, z + dz * 0.8), (2.5, 17, 2.5), MUSCLE)
    canvas.ellipsoid((x - side * 4, y - 24, z), (2.8, 16, 2.8), CORD)
    canvas.ellipsoid((x, y, z), (13, 13, 13), SKIN)
    canvas.ellipsoid((x, y, z), (11.6, 11.6, 11.6), VITREOUS)
    shift = 9.0 * np.sin(np.deg2rad(gaze_deg))
    canvas.ellipsoid((x + shift, y + 8.5, z), (4.5, 2.4, 4.5), LENS)


def _paint_side(canvas: Canvas, side: int, texture: NDArray) -> None:
    """Paint cheek fat, chewing muscle, the bone behind the ear with its air cells, and the ear."""
    canvas.ellipsoid((side * 48, 46, -84), (13, 16, 18), FAT, texture, 1.5)
    canvas.ellipsoid((side * 57, 18, -98), (7, 17, 28), MUSCLE, texture, 1.0)
    canvas.ellipsoid((side * 52, 12, -98), (3, 14, 26), BONE)
    canvas.ellipsoid((side * 62, -2, -92), (9, 14, 22), MUCOSA, texture, 1.5)
    canvas.ellipsoid((side * 53, -32, -56), (14, 16, 20), BONE, texture, 1.0)
    canvas.ellipsoid((side * 54, -33, -58), (9, 11, 14), AIR, texture, 3.0)
    canvas.ellipsoid((side * 84, -24, -58), (5, 17, 30), SKIN, texture, 1.5)
    canvas.ellipsoid((side * 70, -16, -58), (16, 3.2, 3.2), AIR)
