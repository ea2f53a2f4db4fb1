"""One page: a template filled in, with pictures and style inside the file, written whole."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from neuromoe.core.atomic import write_text
from neuromoe.report._pictures import Colours

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Bar:
    """A colour scale's ends and unit."""

    low: float
    high: float
    colours: Colours
    unit: str = ""


@dataclass(frozen=True)
class Figure:
    """A picture or plot with its words.

    Parameters
    ----------
    title, caption : str
        Above and below the picture.
    source : str
        A picture as data URI; or
    plot : Markup
        a plot as SVG.
    alt : str
        What the picture shows, for who cannot see it.
    swatches : tuple of (str, tuple)
        Names of the colours in the picture, with their RGB.
    bar : Bar, optional
        The picture's colour scale.
    wide : bool
        Whether the picture wants the page's whole width.
    """

    title: str
    caption: str = ""
    source: str = ""
    plot: Markup = Markup("")
    alt: str = ""
    swatches: tuple[tuple[str, tuple[int, int, int]], ...] = ()
    bar: Bar | None = None
    wide: bool = False
    size: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Section:
    """A part of a page: words, then figures."""

    title: str
    anchor: str
    words: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)


def write_page(page: Path, template: str, **context: Any) -> None:
    """Fill `templates/<template>` and write the page; everything that is put in is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from neuromoe.report._plot import short

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"short": short, "label": label}
    style = Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))  # noqa: S704
    write_text(page, environment.get_template(template).render(style=style, **context))


UNITS = {
    "mm3": "mm³",
    "mm2": "mm²",
    "mm": "mm",
    "ml": "ml",
    "cm3": "cm³",
    "s": "s",
    "deg": "°",
    "hz": "Hz",
    "percent": "%",
}


def label(name: str) -> str:
    """Turn a number's name into words, its unit in brackets.

    Examples
    --------
    >>> label("brain_volume_ml")
    'brain volume (ml)'
    >>> label("fa_median")
    'FA median'
    >>> label("tsnr")
    'tSNR'
    >>> label("extract.brain_volume_ml")
    'extract: brain volume (ml)'
    """
    step, _, name = name.rpartition(".")
    words = name.split("_")
    unit = UNITS.get(words[-1]) if len(words) > 1 else None
    words = [SPELLED.get(word, word) for word in (words[:-1] if unit else words)]
    return (f"{step}: " if step else "") + " ".join(words) + (f" ({unit})" if unit else "")


ACRONYMS = [
    "fa", "md", "ad", "rd", "fd", "gm", "wm", "csf", "ncc", "snr", "cnr",
    "cjv", "efc", "fber", "ndc", "dvars", "mi", "qc", "gcor", "aor", "aqi", "icv", "icvs", "qi",
]  # fmt: skip
SPELLED = {word: word.upper() for word in ACRONYMS} | {"tsnr": "tSNR", "falff": "fALFF", "reho": "ReHo", "perc": "%"}


def page_link(page: Path, target: Path) -> str:
    """Return the link from one page to a file, relative and quoted for a URL."""
    import os
    from urllib.parse import quote

    return quote(Path(os.path.relpath(target, page.parent)).as_posix())
