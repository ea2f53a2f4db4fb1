"""Slices through images as pictures: a view says where to cut, layers say what to paint.

Left in a picture is the person's left; in sagittal slices the nose points to the right.
"""

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from neuromoe.imaging.images import Image

AXIAL, CORONAL, SAGITTAL = 2, 1, 0
SIDES = {SAGITTAL: ("P", "A"), CORONAL: ("L", "R"), AXIAL: ("L", "R")}
GAP_PX = 3

Cut = Callable[[NDArray], NDArray]


@dataclass(frozen=True)
class Colours:
    """A colour scale between control points (name, and RGB in 0-255)."""

    name: str
    points: tuple[tuple[int, int, int], ...]

    def __call__(self, fraction: NDArray) -> NDArray:
        """Map numbers in 0-1 (...) to RGB in 0-1 (..., 3)."""
        knots = np.linspace(0, 1, len(self.points))
        table = np.array(self.points, float) / 255
        return np.stack([np.interp(fraction, knots, table[:, i]) for i in range(3)], axis=-1)

    @property
    def css(self) -> str:
        """The same scale as a CSS gradient."""
        return f"linear-gradient(to right,{','.join(f'rgb{point}' for point in self.points)})"


HEAT = Colours("heat", ((8, 6, 30), (84, 16, 110), (187, 55, 84), (249, 142, 9), (252, 255, 164)))
DIVERGING = Colours("diverging", ((60, 190, 245), (20, 90, 190), (12, 14, 24), (190, 40, 30), (255, 180, 70)))
GREYS = Colours("greys", ((0, 0, 0), (255, 255, 255)))


class Layer(Protocol):
    """Something painted onto one slice."""

    def paint(self, canvas: NDArray, cut: Cut) -> NDArray:
        """Return the canvas (H, W, 3) with the layer on it; `cut` slices an array at the canvas's size."""
        ...


@dataclass(frozen=True, eq=False)
class Scale:
    """Values in colours between `low` and `high`, black outside `inside`."""

    data: NDArray
    low: float
    high: float
    colours: Colours = GREYS
    inside: NDArray | None = None

    def paint(self, canvas: NDArray, cut: Cut) -> NDArray:
        """Paint over the whole canvas."""
        fraction = (cut(self.data) - self.low) / max(self.high - self.low, 1e-12)
        colour = self.colours(np.clip(fraction, 0, 1))
        if self.inside is None:
            return colour
        weight = np.clip(cut(self.inside) * 2 - 0.5, 0, 1)[..., None]
        return canvas * (1 - weight) + colour * weight


@dataclass(frozen=True, eq=False)
class Colour:
    """Values that are colours already, RGB (X, Y, Z, 3) in 0-1."""

    data: NDArray

    def paint(self, canvas: NDArray, cut: Cut) -> NDArray:
        """Paint over the whole canvas."""
        return np.clip(np.stack([cut(self.data[..., i]) for i in range(3)], axis=-1), 0, 1)


@dataclass(frozen=True, eq=False)
class Wash:
    """One colour laid on where a probability (X, Y, Z) is high."""

    data: NDArray
    rgb: tuple[int, int, int]
    strength: float = 0.55

    def paint(self, canvas: NDArray, cut: Cut) -> NDArray:
        """Blend with what is there."""
        weight = self.strength * np.clip(cut(self.data), 0, 1)[..., None]
        return canvas * (1 - weight) + np.array(self.rgb) / 255 * weight


@dataclass(frozen=True, eq=False)
class Contour:
    """The border of a mask or probability (X, Y, Z) at `level`, about `width_px` wide."""

    data: NDArray
    rgb: tuple[int, int, int]
    width_px: float = 2.8
    level: float = 0.5

    def paint(self, canvas: NDArray, cut: Cut) -> NDArray:
        """Draw the line, its edge softened by the distance to the border."""
        height = cut(self.data) - self.level
        slope = np.hypot(*np.gradient(height))
        distance_px = np.abs(height) / np.maximum(slope, 1e-6)
        weight = np.clip(self.width_px / 2 + 0.5 - distance_px, 0, 1)[..., None]
        return canvas * (1 - weight) + np.array(self.rgb) / 255 * weight


@dataclass(frozen=True)
class View:
    """Where to cut a grid: a box, the slices inside it per axis, and the size of a voxel, mm."""

    box: tuple[slice, slice, slice]
    cuts: dict[int, tuple[int, ...]]
    voxel_mm: tuple[float, float, float]


def view_of(
    image: Image,
    inside: NDArray,
    *,
    cut_inside: NDArray | None = None,
    slices: int = 3,
    axes: Sequence[int] = (AXIAL, CORONAL, SAGITTAL),
    margin_mm: float = 6,
) -> View:
    """Choose slices through the part of an image that is of interest.

    Parameters
    ----------
    image : Image
        Gives the grid.
    inside : array (X, Y, Z) of bool
        The part of interest; where it is empty the whole grid is shown.
    cut_inside : array (X, Y, Z) of bool, optional
        Where the slices should lie; default `inside`.
    slices : int, default=3
        Slices per axis, evenly spaced over the middle part.
    axes : sequence of int
        One row of slices for each.
    margin_mm : float, default=6
        What is left around the part of interest.
    """
    x_mm, y_mm, z_mm = (float(size) for size in image.voxel_mm)
    box = _box(inside, (x_mm, y_mm, z_mm), margin_mm)
    middle = box if cut_inside is None else _box(cut_inside, (x_mm, y_mm, z_mm), 0)
    fractions = np.linspace(0.25, 0.75, slices) if slices > 1 else np.array([0.5])
    cuts = {a: tuple(_between(middle[a], f) for f in fractions) for a in axes}
    return View(box, cuts, (x_mm, y_mm, z_mm))


def _box(inside: NDArray, voxel_mm: tuple[float, float, float], margin_mm: float) -> tuple[slice, slice, slice]:
    parts = []
    for axis, size in enumerate(inside.shape):
        used = np.flatnonzero(inside.any(axis=tuple(other for other in range(3) if other != axis)))
        first, last = (int(used[0]), int(used[-1])) if used.size else (0, size - 1)
        margin = int(np.ceil(margin_mm / voxel_mm[axis]))
        parts.append(slice(max(first - margin, 0), min(last + margin, size - 1) + 1))
    return parts[0], parts[1], parts[2]


def _between(part: slice, fraction: float) -> int:
    return int(part.start + fraction * (part.stop - part.start - 1))


def foreground(data: NDArray) -> NDArray:
    """Mark what is brighter than the air around it (X, Y, Z)."""
    return data > 0.12 * np.percentile(data, 99)


def window(data: NDArray, inside: NDArray | None = None, low: float = 1, high: float = 99.5) -> tuple[float, float]:
    """Return the grey window: percentiles of the values inside, or of those that are not zero."""
    values = data[inside] if inside is not None and inside.any() else data[data != 0]
    if not values.size:
        return 0.0, 1.0
    return float(np.percentile(values, low)), float(np.percentile(values, high))


def draw(view: View, layers: Sequence[Layer], *, width_px: int = 780) -> NDArray:
    """Paint the layers on every slice of a view, one row per axis.

    Returns
    -------
    array (H, width_px, 3) of uint8
    """
    count = max(len(indices) for indices in view.cuts.values())
    cell_px = (width_px - GAP_PX * (count - 1)) // count
    lengths_mm = [(part.stop - part.start) * size for part, size in zip(view.box, view.voxel_mm, strict=True)]
    pixel_mm = max(lengths_mm[1 if axis == SAGITTAL else 0] for axis in view.cuts) / cell_px
    rows = []
    for axis, indices in view.cuts.items():
        size_px = tuple(max(int(lengths_mm[a] / pixel_mm), 1) for a in range(3) if a != axis)
        tiles = [_tile(view, layers, axis, index, size_px) for index in indices]
        rows.append(_row([_centre(_letters(tile, SIDES[axis]), cell_px) for tile in tiles], width_px))
    gap = np.zeros((GAP_PX, width_px, 3), np.uint8)
    return np.concatenate([part for row in rows for part in (row, gap)][:-1])


def _tile(view: View, layers: Sequence[Layer], axis: int, index: int, size_px: tuple[int, ...]) -> NDArray:
    width, height = size_px

    def cut(data: NDArray) -> NDArray:
        from PIL import Image as Pillow

        where = tuple(index if a == axis else part for a, part in enumerate(view.box))
        plane = data[where].T[::-1]
        picture = Pillow.fromarray(np.ascontiguousarray(plane, np.float32))
        return np.asarray(picture.resize((width, height), Pillow.Resampling.BICUBIC))

    canvas = np.zeros((height, width, 3))
    for layer in layers:
        canvas = layer.paint(canvas, cut)
    return (np.clip(canvas, 0, 1) * 255).astype(np.uint8)


def _letters(tile: NDArray, sides: tuple[str, str]) -> NDArray:
    from PIL import Image as Pillow
    from PIL import ImageDraw, ImageFont

    picture = Pillow.fromarray(tile)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size=17)
    for side, anchor, x in ((sides[0], "la", 3), (sides[1], "ra", tile.shape[1] - 3)):
        pen.text((x, 1), side, fill=(165, 175, 190), font=font, anchor=anchor)
    return np.asarray(picture)


def _centre(tile: NDArray, cell_px: int) -> NDArray:
    spare = cell_px - tile.shape[1]
    return np.pad(tile, ((0, 0), (spare // 2, spare - spare // 2), (0, 0)))


def _row(cells: list[NDArray], width_px: int) -> NDArray:
    gap = np.zeros((cells[0].shape[0], GAP_PX, 3), np.uint8)
    row = np.concatenate([part for cell in cells for part in (cell, gap)][:-1], axis=1)
    return np.pad(row, ((0, 0), (0, width_px - row.shape[1]), (0, 0)))


def encode(pixels: NDArray, quality: int = 78) -> str:
    """Return pixels (H, W[, 3]) of uint8 as a WebP data URI."""
    from PIL import Image as Pillow

    content = io.BytesIO()
    Pillow.fromarray(pixels).save(content, "WEBP", quality=quality, method=2)
    return "data:image/webp;base64," + base64.b64encode(content.getvalue()).decode()
