"""A small plot as inline SVG: text stays text, dots can be links, the same numbers give the same bytes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from xml.etree import ElementTree

from markupsafe import Markup

INK, FAINT, GRID = "#1f2937", "#6b7280", "#e5e7eb"
BLUE, RED, GREEN, GOLD, PURPLE, SKY = "#0b62a4", "#c2410c", "#0f7b5f", "#b7791f", "#8b3a8f", "#3b9bd1"
SERIES = (BLUE, RED, GREEN, GOLD, PURPLE, SKY)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round numbers between two others.

    Examples
    --------
    >>> ticks(0, 1)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    if not high > low:
        return [low]
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def short(number: float | None) -> str:
    """Write a number with three significant digits, or `n/a`.

    Examples
    --------
    >>> short(0.123456), short(1503.2), short(float("nan")), short(2.0), short(3e-17)
    ('0.123', '1503', 'n/a', '2', '0')
    """
    if number is None or not math.isfinite(number):
        return "n/a"
    # Less is the rounding of sums.
    number = 0 if abs(number) < 1e-12 else number
    if number == 0 or 1e-3 <= abs(number) < 1e6:
        digits = max(2 - math.floor(math.log10(abs(number))), 0) if number else 0
        text = f"{number:.{digits}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{number:.2e}"


@dataclass
class Plot:
    """A frame with one scale for each direction.

    Parameters
    ----------
    width, height : float
        Of the whole picture, in its own units.
    x, y : tuple of 2 float
        The numbers at the frame's left and right, bottom and top.
    margins : tuple of 4 float
        Left, right, top and bottom.
    alt : str
        What the picture says, in words.
    """

    width: float
    height: float
    x: tuple[float, float]
    y: tuple[float, float]
    margins: tuple[float, float, float, float]
    alt: str
    root: ElementTree.Element = field(init=False)

    def __post_init__(self) -> None:
        box = f"0 0 {self.width:g} {self.height:g}"
        self.root = ElementTree.Element("svg", {"viewBox": box, "role": "img", "aria-label": self.alt, "class": "plot"})

    def at_x(self, value: float) -> float:
        """Return the place of a number on the horizontal scale."""
        left, right = self.margins[0], self.width - self.margins[1]
        return left + (value - self.x[0]) / ((self.x[1] - self.x[0]) or 1) * (right - left)

    def at_y(self, value: float) -> float:
        """Return the place of a number on the vertical scale."""
        top, bottom = self.margins[2], self.height - self.margins[3]
        return bottom - (value - self.y[0]) / ((self.y[1] - self.y[0]) or 1) * (bottom - top)

    def add(
        self, tag: str, text: str | None = None, parent: ElementTree.Element | None = None, **attributes
    ) -> ElementTree.Element:
        """Add an element; `_` in an attribute's name stands for `-`, numbers are rounded."""
        named = {
            name.rstrip("_").replace("_", "-"): f"{value:.1f}" if isinstance(value, float) else str(value)
            for name, value in attributes.items()
        }
        element = ElementTree.SubElement(self.root if parent is None else parent, tag, named)
        element.text = text
        return element

    def text(self, x: float, y: float, words: str, anchor: str = "start", colour: str = FAINT, **more) -> None:
        """Write words at a place in the picture's own units."""
        self.add("text", words, x=float(x), y=float(y), text_anchor=anchor, fill=colour, **more)

    def axis_x(self, title: str = "", count: int = 6) -> None:
        """Draw the horizontal scale with its grid lines."""
        top, bottom = self.margins[2], self.height - self.margins[3]
        for value in ticks(*self.x, count):
            place = self.at_x(value)
            self.add("line", x1=place, x2=place, y1=float(top), y2=float(bottom), stroke=GRID)
            self.text(place, bottom + 14, short(value), "middle")
        middle = (self.margins[0] + self.width - self.margins[1]) / 2
        self.text(middle, self.height - 4, title, "middle")

    def axis_y(self, title: str = "", count: int = 4) -> None:
        """Draw the vertical scale with its grid lines; the title stands above it."""
        left, right = self.margins[0], self.width - self.margins[1]
        for value in ticks(*self.y, count):
            place = self.at_y(value)
            self.add("line", x1=float(left), x2=float(right), y1=place, y2=place, stroke=GRID)
            self.text(left - 6, place + 4, short(value), "end")
        self.text(4, self.margins[2] - 8, title)

    def line(self, xs: Sequence[float], ys: Sequence[float], colour: str, **more) -> None:
        """Draw a line through points, interrupted where a number is missing."""
        parts, pen = [], "M"
        for x, y in zip(xs, ys, strict=True):
            if math.isfinite(y):
                parts.append(f"{pen}{self.at_x(x):.1f} {self.at_y(y):.1f}")
            pen = "L" if math.isfinite(y) else "M"
        style = {"stroke_width": "1.4", "stroke_linejoin": "round"} | more
        self.add("path", d="".join(parts), fill="none", stroke=colour, **style)

    def dot(self, x: float, y: float, colour: str, tip: str, href: str | None = None, radius: float = 4) -> None:
        """Draw a dot at a place in the picture's own units, with a tip and perhaps a link."""
        parent = self.add("a", href=href) if href else None
        dot = self.add(
            "circle",
            parent=parent,
            cx=float(x),
            cy=float(y),
            r=float(radius),
            fill=colour,
            fill_opacity=".72",
        )
        self.add("title", tip, parent=dot)

    def markup(self) -> Markup:
        """Return the picture as HTML."""
        return Markup(ElementTree.tostring(self.root, encoding="unicode"))  # noqa: S704


def key(names: Sequence[str], colours: Sequence[str] = SERIES) -> Markup:
    """Return the legend of a plot's series, as HTML."""
    item = Markup('<span class="swatch" style="background:{}"></span>{} ')
    return Markup("").join(item.format(colour, name) for name, colour in zip(names, colours, strict=False))
