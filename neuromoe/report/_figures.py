"""Pictures of images with the words around them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.errors import InputError
from neuromoe.imaging.geometry import Grid
from neuromoe.imaging.images import Image, load_image
from neuromoe.imaging.template import Template
from neuromoe.report._page import Bar, Figure
from neuromoe.report._pictures import (
    DIVERGING,
    HEAT,
    Contour,
    Layer,
    Scale,
    View,
    draw,
    encode,
    view_of,
    window,
)

RGB = tuple[int, int, int]
Swatches = Sequence[tuple[str, RGB]]

AMBER: RGB = (255, 176, 0)
CYAN: RGB = (64, 224, 255)
TISSUES: tuple[tuple[str, RGB], ...] = (
    ("grey matter", (235, 87, 87)),
    ("white matter", (86, 156, 255)),
    ("cerebrospinal fluid", (52, 199, 123)),
)


def picture(
    view: View,
    layers: Sequence[Layer],
    *,
    title: str,
    caption: str,
    swatches: Swatches = (),
    bar: Bar | None = None,
) -> Figure:
    """Draw layers as a figure; title, caption and colours also make the words for who cannot see it."""
    pixels = draw(view, layers)
    colours = "".join(f" {name} in colour." for name, _ in swatches)
    scale = f" Colour scale {bar.low:.3g} to {bar.high:.3g} {bar.unit}." if bar else ""
    return Figure(
        title=title,
        caption=caption,
        source=encode(pixels),
        alt=f"{title}: slices through three planes. {caption}{colours}{scale}",
        swatches=tuple(swatches),
        bar=bar,
        size=(pixels.shape[1], pixels.shape[0]),
    )


def grey(image: Image, inside: NDArray | None = None) -> Scale:
    """Show an image in greys, the window set by its own values."""
    return Scale(image.data, *window(image.data, inside))


def load_on(path: Path, grid: Grid, ndim: int = 3) -> Image:
    """Read an image that must lie on a grid.

    Raises
    ------
    InputError
        It lies on another.
    """
    image = load_image(path, ndim=ndim)
    if not image.grid.same_as(grid):
        raise InputError(
            expected=f"an image on the grid of the one it is drawn on, {grid.shape}",
            found=f"another, {image.grid.shape}",
            where=path,
            fix="give images of one session, made with one template, or run the step that made it again",
        )
    return image


def bordered(view: View, image: Image, brain: Image | None, *, title: str, caption: str) -> Figure:
    """Show an image in greys with the border of its own brain mask, where there is one."""
    if brain is None:
        return picture(view, [grey(image)], title=title, caption=f"{caption} There is no brain mask.")
    layers: list[Layer] = [grey(image, inside(image, brain)), Contour(brain.data, AMBER)]
    return picture(view, layers, title=title, caption=caption, swatches=[("brain mask", AMBER)])


def on_template(view: View, image: Image, template: Template, *, title: str, caption: str) -> Figure:
    """Show an image on the template's grid in greys with the border of the template's brain."""
    layers: list[Layer] = [grey(image, template.brain_mask), Contour(template.mask.data, CYAN)]
    return picture(view, layers, title=title, caption=caption, swatches=[("template's brain", CYAN)])


def map_figure(view: View, image: Image, *, title: str, caption: str, unit: str = "", signed: bool = False) -> Figure:
    """Show a map in colours: from zero, or from minus to plus the same number where it has a sign."""
    inside = image.data != 0
    low, high = window(image.data, inside, 1, 99)
    if signed:
        high = max(abs(low), abs(high))
        low = -high
    else:
        low = min(low, 0.0) if low < 0.2 * high else low
    colours = DIVERGING if signed else HEAT
    layers = [Scale(image.data, low, high, colours, inside)]
    return picture(view, layers, title=title, caption=caption, bar=Bar(low, high, colours, unit))


def inside(image: Image, mask: Image | None) -> NDArray | None:
    """Return the brain as bool (X, Y, Z) where there is a mask on the image's own grid."""
    if mask is None or not mask.grid.same_as(image.grid) or not (mask.data > 0.5).any():
        return None
    return mask.data > 0.5


def brain_view(image: Image, mask: Image | None) -> View:
    """Cut through the brain, or through what is brightest where there is no mask on the image's grid."""
    brain = inside(image, mask)
    return view_of(image, image.data > np.percentile(image.data, 70) if brain is None else brain)
