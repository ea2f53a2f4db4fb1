"""The page's part on the T1-weighted image."""

from pathlib import Path

from neuromoe.imaging.images import Image, load_image
from neuromoe.imaging.template import Template
from neuromoe.report._figures import (
    CYAN,
    TISSUES,
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
from neuromoe.report._pictures import Contour, Layer, View, Wash, foreground, view_of
from neuromoe.report._volumes import read_volume

NONE = (
    "There is no T1-weighted image for this session, or it could not be used. Nothing was computed for it. "
    "Diffusion and functional images, where there are any, were registered to the template directly, which "
    "is less exact."
)
CLEAN = (
    "Brightness should be even within a tissue. The line should follow the brain: no eyes, no neck, no cortex cut off."
)


def anat_section(
    template: Template,
    *,
    t1w: Path | None,
    preproc: Path | None,
    mask: Path | None,
    tissues: tuple[Path | None, Path | None, Path | None],
    t1w_template: Path | None,
    gm_template: Path | None,
    logjacobian: Path | None,
) -> Section:
    """Show the T1-weighted image as scanned, cleaned, and on the template."""
    section = Section("Anatomy (T1w)", "anat")
    if t1w is None and preproc is None and t1w_template is None:
        section.words.append(NONE)
        return section
    native = _native(t1w, preproc, mask, tissues)
    section.figures.extend(native + _normalized(template, t1w_template, gm_template, logjacobian))
    if preproc is None:
        section.words.append("The image was not cleaned: there is no bias-corrected image to show.")
    if t1w_template is None:
        section.words.append("The image was not brought to the template.")
    return section


def _native(
    t1w: Path | None, preproc: Path | None, mask: Path | None, tissues: tuple[Path | None, ...]
) -> list[Figure]:
    figures = []
    clean = load_image(preproc, ndim=3) if preproc else None
    brain = load_on(mask, clean.grid) if mask and clean else None
    if t1w is not None:
        raw = read_volume(t1w)
        layers = [grey(raw, inside(raw, brain))]
        caption = "The image as it came from the scanner."
        figures.append(picture(_head_view(raw, brain), layers, title="As scanned", caption=caption))
    if clean is not None:
        title = "Bias corrected, with the brain's border"
        figures.append(bordered(_head_view(clean, brain), clean, brain, title=title, caption=CLEAN))
        figures.extend(_tissues(clean, brain, tissues))
    return figures


def _head_view(image: Image, brain: Image | None) -> View:
    """Show the whole head, cut through its brain."""
    head = foreground(image.data)
    where = inside(image, brain)
    return view_of(image, head if where is None else head | where, cut_inside=where)


def _tissues(clean: Image, brain: Image | None, paths: tuple[Path | None, ...]) -> list[Figure]:
    found = [(path, tissue) for path, tissue in zip(paths, TISSUES, strict=True) if path is not None]
    if not found:
        return []
    view = brain_view(clean, brain)
    washes = [Wash(load_on(path, clean.grid).data, rgb) for path, (_, rgb) in found]
    base = grey(clean, inside(clean, brain))
    swatches = [tissue for _, tissue in found]
    caption = "The more likely a tissue, the stronger its colour."
    return [picture(view, [base, *washes], title="Tissues", caption=caption, swatches=swatches)]


def _normalized(template: Template, t1w: Path | None, gm: Path | None, logjacobian: Path | None) -> list[Figure]:
    figures = []
    view = view_of(template.mask, template.brain_mask)
    if t1w is not None:
        head = on_template(view, template.head, template, title="The template", caption="What everybody is brought to.")
        caption = "Cortex, ventricles and the brain's border should lie where they lie in the template."
        image = load_on(t1w, template.grid)
        figures += [
            head,
            on_template(view, image, template, title="This head on the template", caption=caption),
        ]
    if gm is not None:
        image = load_on(gm, template.grid)
        layers: list[Layer] = [grey(image), Contour(template.mask.data, CYAN)]
        caption = "Probability of grey matter on the template's grid, black 0 to white 1."
        swatches = [("template's brain", CYAN)]
        figures.append(picture(view, layers, title="Grey matter on the template", caption=caption, swatches=swatches))
    if logjacobian is not None:
        caption = (
            "Logarithm of the volume ratio. Smooth patches are normal; "
            "speckles, or one value all over, are signs of a bad fit."
        )
        image = load_on(logjacobian, template.grid)
        shown = image.like(image.data * template.brain_mask)
        figures.append(map_figure(view, shown, title="Local change of volume", caption=caption, signed=True))
    return figures
