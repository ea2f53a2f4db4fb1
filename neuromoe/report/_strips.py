"""Distributions of a quality number, one row of dots per site."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from neuromoe.report._page import Figure, label
from neuromoe.report._plot import BLUE, INK, RED, Plot, short

MOST_SITES, MOST_DOTS = 12, 400
ROW, WIDTH = 26, 370


def strip_figure(
    number: str,
    keys: Sequence[str],
    values: Sequence[float],
    sites: Mapping[str, str],
    odd: set[str],
    links: Mapping[str, str],
) -> Figure:
    """Draw a number of all sessions, outliers in red; each dot leads to its session's page.

    Parameters
    ----------
    number : str
        The number's name.
    keys, values : sequence
        Sessions and their numbers.
    sites : mapping
        Session to site; beyond 12 sites all share one row.
    odd : set of str
        The sessions that are outliers in this number.
    links : mapping
        Session to its page, for those that have one.
    """
    rows = group(keys, sites)
    x = np.asarray(values, float)
    known = x[np.isfinite(x)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    pad = (high - low or abs(high) or 1) * 0.05
    alt = f"{label(number)}: {known.size} sessions from {short(low)} to {short(high)}, {len(odd)} outliers."
    left = 12 + 6.6 * max(len(name[:16]) for name in rows)
    plot = Plot(WIDTH, ROW * len(rows) + 34, (low - pad, high + pad), (0, 1), (left, 10, 4, 30), alt)
    plot.axis_x("", 4)
    for place, (name, indices) in enumerate(rows.items()):
        y = 4 + ROW * (place + 0.5)
        plot.text(left - 8, y + 4, name[:16], "end", INK)
        _row(plot, y, [i for i in indices if np.isfinite(x[i])], x, keys, odd, links)
    return Figure(label(number), plot=plot.markup(), alt=alt)


def group(keys: Sequence[str], sites: Mapping[str, str]) -> dict[str, list[int]]:
    """Return the positions of the sessions of each site, or of all under one name."""
    rows: dict[str, list[int]] = {}
    for index, key in enumerate(keys):
        rows.setdefault(sites.get(key, "n/a"), []).append(index)
    if len(rows) > MOST_SITES or set(rows) == {"n/a"}:
        return {"all": list(range(len(keys)))}
    return dict(sorted(rows.items()))


def _row(
    plot: Plot,
    y: float,
    indices: list[int],
    x: NDArray,
    keys: Sequence[str],
    odd: set[str],
    links: Mapping[str, str],
) -> None:
    many = len(indices) > MOST_DOTS
    if indices:
        _quartiles(plot, y, x[indices], many)
    for rank, index in enumerate(indices):
        key = keys[index]
        if many and key not in odd:
            continue
        # The golden ratio spreads neighbours evenly, and alike in every run.
        offset = ((rank * 0.618034) % 1 - 0.5) * 0.5 * ROW
        tip = f"{key}: {short(x[index])}"
        colour, radius = (RED, 4.5) if key in odd else (BLUE, 3.2)
        plot.dot(plot.at_x(x[index]), y + offset, colour, tip, links.get(key), radius)


def _quartiles(plot: Plot, y: float, values: NDArray, wide: bool) -> None:
    low, first, middle, third, high = (plot.at_x(q) for q in np.percentile(values, [5, 25, 50, 75, 95]))
    half = 0.28 * ROW
    if wide:
        plot.add("line", x1=low, x2=high, y1=y, y2=y, stroke="#9ca3af")
        plot.add("rect", x=first, y=y - half, width=max(third - first, 1.0), height=2 * half, fill="#cfdceb")
    plot.add("line", x1=middle, x2=middle, y1=y - half, y2=y + half, stroke=INK, stroke_width="1.5")
