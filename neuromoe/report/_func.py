"""The page's part on the functional series."""

from pathlib import Path

from neuromoe.core.tables import read_table
from neuromoe.imaging.images import load_image
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
from neuromoe.report._motion import carpet_figure, motion_figures
from neuromoe.report._page import Figure, Section
from neuromoe.report._pictures import view_of
from neuromoe.report._volumes import read_volume

NONE = "There is no functional series for this session, or it could not be used. Nothing was computed for it."
MAPS = (
    ("ALFF", "Amplitude of slow fluctuations.", False),
    ("fALFF", "Slow fluctuations as a share of all. High in grey matter, low in white matter.", False),
    ("ReHo", "How alike a voxel's signal is to its neighbours'. High in grey matter.", False),
    (
        "Seed correlation",
        "With the seed's mean signal; the seed's network should stand out on both sides.",
        True,
    ),
)


def func_section(
    template: Template,
    *,
    raw: Path | None,
    boldref: Path | None,
    mask: Path | None,
    confounds: Path | None,
    boldref_template: Path | None,
    maps: tuple[Path | None, Path | None, Path | None, Path | None],
) -> Section:
    """Show the functional series as scanned, its motion, its reference on the template, and the maps."""
    section = Section("Function (BOLD)", "func")
    if raw is None and boldref is None and boldref_template is None:
        section.words.append(NONE)
        return section
    section.figures.extend(_series(raw, boldref, mask))
    if confounds is not None:
        section.figures.extend(motion_figures(read_table(confounds)))
    else:
        section.words.append("There is no table of confounds, so motion is not shown.")
    if raw is not None and mask is not None:
        section.figures.append(carpet_figure(raw, mask))
    section.figures.extend(_normalized(template, boldref_template, maps))
    if boldref_template is None:
        section.words.append("The series was not brought to the template.")
    return section


def _series(raw: Path | None, boldref: Path | None, mask: Path | None) -> list[Figure]:
    figures = []
    reference = load_image(boldref, ndim=3) if boldref else None
    brain = load_on(mask, reference.grid) if mask and reference else None
    if raw is not None:
        scanned = read_volume(raw)
        view, shown = brain_view(scanned, brain), grey(scanned, inside(scanned, brain))
        figures.append(picture(view, [shown], title="As scanned", caption="The first volume of the series."))
    if reference is not None:
        caption = "What the volumes were aligned to. The line should follow the brain."
        view = brain_view(reference, brain)
        figures.append(bordered(view, reference, brain, title="Reference", caption=caption))
    return figures


def _normalized(template: Template, boldref: Path | None, maps: tuple[Path | None, ...]) -> list[Figure]:
    view = view_of(template.mask, template.brain_mask)
    figures = []
    if boldref is not None:
        caption = (
            "The line is the template's brain. Signal lost above the nose and the ears is usual; a shifted edge is not."
        )
        image = load_on(boldref, template.grid)
        figures.append(on_template(view, image, template, title="Reference on the template", caption=caption))
    for path, (title, caption, signed) in zip(maps, MAPS, strict=True):
        if path is not None:
            figures.append(map_figure(view, load_on(path, template.grid), title=title, caption=caption, signed=signed))
    return figures
