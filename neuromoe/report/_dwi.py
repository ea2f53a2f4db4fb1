"""The page's part on the diffusion images."""

from pathlib import Path

import numpy as np

from neuromoe.imaging.images import Image, load_image
from neuromoe.imaging.template import Template
from neuromoe.report._figures import (
    bordered,
    brain_view,
    grey,
    inside,
    load_on,
    map_figure,
    on_template,
    picture,
)
from neuromoe.report._page import Figure, Section
from neuromoe.report._pictures import Colour, View, view_of
from neuromoe.report._volumes import b0_index, read_volume

NONE = "There are no diffusion images for this session, or they could not be used. Nothing was computed for them."
AXES = (("left-right", (230, 60, 60)), ("front-back", (60, 190, 80)), ("up-down", (80, 110, 245)))
FULL_COLOUR_FA = 0.7


def dwi_section(
    template: Template,
    *,
    raw: list[Path],
    preproc: Path | None,
    mask: Path | None,
    fa: Path | None,
    v1: Path | None,
    fa_template: Path | None,
    md_template: Path | None,
) -> Section:
    """Show the diffusion images as scanned, corrected, as tensors, and on the template."""
    section = Section("Diffusion (dwi)", "dwi")
    if not raw and preproc is None and fa_template is None:
        section.words.append(NONE)
        return section
    if len(raw) > 1:
        section.words.append(f"{len(raw)} series were merged; the first is shown as scanned.")
    corrected = read_volume(preproc, b0_index(preproc)) if preproc else None
    brain = load_on(mask, corrected.grid) if mask and corrected else None
    section.figures.extend(_series(raw, corrected, brain) + _tensor(fa, v1, brain))
    section.figures.extend(_normalized(template, fa_template, md_template))
    if preproc is None:
        section.words.append("The series was not corrected: there is no corrected series to show.")
    if fa_template is None:
        section.words.append("No tensor maps were brought to the template.")
    return section


def _series(raw: list[Path], corrected: Image | None, brain: Image | None) -> list[Figure]:
    figures = []
    if raw:
        scanned = read_volume(raw[0], b0_index(raw[0]))
        caption = "The first volume without diffusion weighting (b0)."
        layers = [grey(scanned, inside(scanned, brain))]
        view = brain_view(scanned, brain)
        figures.append(picture(view, layers, title="As scanned (b0)", caption=caption))
    if corrected is not None:
        caption = "The same after correction. The line should follow the brain."
        view = brain_view(corrected, brain)
        figures.append(bordered(view, corrected, brain, title="Corrected (b0)", caption=caption))
    return figures


def _tensor(fa: Path | None, v1: Path | None, brain: Image | None) -> list[Figure]:
    if fa is None:
        return []
    image = load_image(fa, ndim=3)
    view = brain_view(image, brain)
    if v1 is None:
        return [map_figure(view, image, title="Fractional anisotropy", caption="On the scan's own grid.")]
    return [colour_fa(view, image, load_on(v1, image.grid, ndim=4))]


def colour_fa(view: View, fa: Image, v1: Image) -> Figure:
    """Colour the principal direction by its world axes, brightness by fractional anisotropy."""
    brightness = np.clip(fa.data / FULL_COLOUR_FA, 0, 1)[..., None]
    caption = (
        "Brightness is fractional anisotropy. The corpus callosum should be red and the corticospinal tract "
        "blue on both sides: other colours mean that the b-vectors are turned or flipped."
    )
    title = "Main fibre direction"
    return picture(view, [Colour(np.abs(v1.data) * brightness)], title=title, caption=caption, swatches=AXES)


def _normalized(template: Template, fa: Path | None, md: Path | None) -> list[Figure]:
    view = view_of(template.mask, template.brain_mask)
    figures = []
    if fa is not None:
        caption = "Fractional anisotropy. Bright tracts should lie in the template's white matter."
        image = load_on(fa, template.grid)
        figures.append(on_template(view, image, template, title="FA on the template", caption=caption))
    if md is not None:
        image = load_on(md, template.grid)
        caption = "Mean diffusivity, high in the ventricles."
        figures.append(map_figure(view, image, title="MD on the template", caption=caption, unit="mm²/s"))
    return figures
