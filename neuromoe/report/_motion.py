"""Head motion over time, and the carpet plot under it."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.tables import MISSING
from neuromoe.report._figures import RGB, load_on
from neuromoe.report._page import Figure
from neuromoe.report._pictures import encode
from neuromoe.report._plot import RED, Plot
from neuromoe.report._volumes import iterate_volumes, read_volume

FD_LIMIT_MM = 0.5
CARPET_VOXELS = 240
CARPET_LIMIT_SD = 2.0
WIDTH, MARGINS = 1080.0, (52.0, 12.0, 26.0, 30.0)
AXES = ("x", "y", "z")
COLOURS: tuple[tuple[str, RGB], ...] = (("x", (194, 65, 12)), ("y", (15, 123, 95)), ("z", (11, 98, 164)))


def motion_figures(confounds: list[dict[str, str]]) -> list[Figure]:
    """Plot translations, rotations and framewise displacement.

    Parameters
    ----------
    confounds : list of dict
        Rows of a confounds table, with fMRIPrep's column names.
    """
    names = confounds[0].keys() if confounds else ()
    figures = []
    if all(f"trans_{axis}" in names for axis in AXES):
        lines = np.array([_column(confounds, f"trans_{axis}") for axis in AXES])
        figures.append(_traces(lines, "Translation", "mm"))
    if all(f"rot_{axis}" in names for axis in AXES):
        lines = np.rad2deg(np.array([_column(confounds, f"rot_{axis}") for axis in AXES]))
        figures.append(_traces(lines, "Rotation", "degrees"))
    if "framewise_displacement" in names:
        figures.append(_displacement(np.array(_column(confounds, "framewise_displacement"))))
    return figures


def _column(rows: list[dict[str, str]], name: str) -> list[float]:
    return [float("nan") if row[name] == MISSING else float(row[name]) for row in rows]


def _traces(lines: NDArray, title: str, unit: str) -> Figure:
    largest = float(np.nanmax(np.abs(lines)))
    reach = max(largest, 0.1) * 1.1
    alt = f"{title} in {unit} over {lines.shape[1]} volumes; the largest is {largest:.2f} {unit}."
    plot = Plot(WIDTH, 150, (0, lines.shape[1] - 1), (-reach, reach), MARGINS, alt)
    plot.axis_y(unit, 4)
    plot.axis_x("volume", 10)
    for values, (_, rgb) in zip(lines, COLOURS, strict=True):
        plot.line(range(len(values)), values.tolist(), f"rgb{rgb}")
    return Figure(title, plot=plot.markup(), alt=alt, wide=True, swatches=COLOURS)


def _displacement(values: NDArray) -> Figure:
    finite = values[np.isfinite(values)]
    mean, over = (float(finite.mean()), float((finite > FD_LIMIT_MM).mean())) if finite.size else (0.0, 0.0)
    caption = f"Mean {mean:.2f} mm; {over:.0%} of the volumes move more than {FD_LIMIT_MM} mm (dashed line)."
    top = max(float(finite.max(initial=0)), FD_LIMIT_MM) * 1.15
    plot = Plot(WIDTH, 150, (0, len(values) - 1), (0, top), MARGINS, f"Framewise displacement. {caption}")
    plot.axis_y("mm", 4)
    plot.axis_x("volume", 10)
    plot.line([0, len(values) - 1], [FD_LIMIT_MM, FD_LIMIT_MM], RED, stroke_dasharray="5 4")
    plot.line(range(len(values)), values.tolist(), "#374151")
    return Figure("Framewise displacement", caption, plot=plot.markup(), alt=plot.alt, wide=True)


def carpet_figure(series: Path, mask: Path) -> Figure:
    """Show the series' brain voxels as rows and its volumes as columns.

    References
    ----------
    Power JD. A simple but useful way to assess fMRI scan qualities. NeuroImage 2017.
    doi:10.1016/j.neuroimage.2016.08.009. The order by correlation with the mean signal:
    Aquino KM et al. NeuroImage 2020. doi:10.1016/j.neuroimage.2020.116614
    """
    inside = load_on(mask, read_volume(series).grid).data > 0.5
    rows = carpet(sample(series, inside))
    grey = np.clip((rows / CARPET_LIMIT_SD + 1) / 2, 0, 1)
    caption = (
        "Each row is a brain voxel before correction, standardised, each column a volume. Rows are ordered "
        "by their correlation with the brain's mean; stripes across all rows are motion or breathing."
    )
    alt = f"Carpet plot of {rows.shape[0]} brain voxels over {rows.shape[1]} volumes."
    plot = Plot(WIDTH, 230, (0, max(rows.shape[1] - 1, 1)), (0, 1), (MARGINS[0], MARGINS[1], 6, 30), alt)
    plot.axis_x("volume", 10)
    plot.add(
        "image",
        href=encode((grey * 255).astype(np.uint8)),
        x=MARGINS[0],
        y=6.0,
        width=WIDTH - MARGINS[0] - MARGINS[1],
        height=194.0,
        preserveAspectRatio="none",
    )
    return Figure("Carpet plot", caption, plot=plot.markup(), alt=alt, wide=True)


def sample(series: Path, inside: NDArray) -> NDArray:
    """Read evenly spread voxels of a mask from a series (rows, V), a volume at a time."""
    places = np.flatnonzero(inside)
    places = places[np.linspace(0, places.size - 1, min(CARPET_VOXELS, places.size)).astype(int)]
    volumes = [volume.ravel()[places] for volume in iterate_volumes(series)]
    return np.stack(volumes, axis=1)


def carpet(rows: NDArray) -> NDArray:
    """Detrend and standardise rows (R, V), and order them by their correlation with the mean row."""
    time = np.linspace(-1, 1, rows.shape[1])
    centred = rows - rows.mean(axis=1, keepdims=True)
    centred -= np.outer(centred @ time / (time @ time), time)
    scaled = centred / np.maximum(centred.std(axis=1, keepdims=True), 1e-6)
    return scaled[np.argsort(-(scaled @ scaled.mean(axis=0)), kind="stable")]
