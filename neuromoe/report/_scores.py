"""Plots and tables of the experiments' scores."""

from collections.abc import Mapping, Sequence
from typing import Any

from neuromoe.report._page import Figure
from neuromoe.report._plot import BLUE, FAINT, INK, RED, Plot, short
from neuromoe.report._tensors import MODALITIES
from neuromoe.report._trust import Record, Score, beats_chance, interval

METRICS = {
    "balanced_accuracy": "Balanced accuracy",
    "accuracy": "Accuracy",
    "macro_auc": "Macro AUC",
    "macro_f1": "Macro F1",
    "nll": "Log loss",
    "brier": "Brier score",
    "ece": "Calibration error",
}
FOREST = ("balanced_accuracy", "accuracy", "macro_auc")
ROW = 24


def forest_figure(records: Sequence[Record], metric: str) -> Figure:
    """Draw one metric of all experiments side by side, with intervals and the chance level."""
    title = METRICS[metric]
    chance = records[0]["chance"][metric]["value"]
    words = ", ".join(f"{record['experiment']} {interval(record['metrics'][metric])}" for record in records)
    left = 14 + 6.8 * max(len(record["experiment"][:22]) for record in records)
    plot = Plot(
        370,
        ROW * len(records) + 52,
        (0, 1),
        (0, 1),
        (left, 12, 18, 34),
        f"{title}: {words}. Chance {short(chance)}.",
    )
    plot.axis_x("", 5)
    if chance is not None:
        x = plot.at_x(chance)
        plot.add("line", x1=x, x2=x, y1=14.0, y2=plot.height - 34, stroke=RED, stroke_dasharray="5 4")
        plot.text(x, 10, f"chance {short(chance)}", "middle", RED)
    for place, record in enumerate(records):
        y = 18 + ROW * (place + 0.5)
        plot.text(left - 8, y + 4, record["experiment"][:22], "end", INK)
        _whisker(
            plot,
            y,
            record["metrics"][metric],
            beats_chance(record["metrics"][metric], {"value": chance}, metric),
        )
    return Figure(title, plot=plot.markup(), alt=plot.alt)


def _whisker(plot: Plot, y: float, score: Score, better: bool | None) -> None:
    value, low, high = score.get("value"), score.get("low"), score.get("high")
    colour = BLUE if better else FAINT
    if low is not None and high is not None:
        ends = (plot.at_x(low), plot.at_x(high))
        plot.add("line", x1=ends[0], x2=ends[1], y1=y, y2=y, stroke=colour, stroke_width="2")
        for x in ends:
            plot.add("line", x1=x, x2=x, y1=y - 4, y2=y + 4, stroke=colour, stroke_width="2")
    if value is not None:
        dot = plot.add(
            "circle",
            cx=plot.at_x(value),
            cy=y,
            r=5.0,
            stroke=colour,
            stroke_width="2",
            fill=colour if better else "#fff",
        )
        plot.add("title", interval(score), parent=dot)


def reliability_figure(record: Record) -> Figure:
    """Draw how often the predictions of each confidence were right."""
    bins = record["reliability"]
    total = sum(one["predictions"] for one in bins) or 1
    words = "; ".join(f"confidence {short(one['confidence'])}: {short(one['hits'])} right" for one in bins)
    plot = Plot(320, 300, (0, 1), (0, 1), (42, 12, 28, 40), f"Reliability of {record['experiment']}. {words}.")
    plot.axis_y("share that was right", 5)
    plot.axis_x("confidence", 5)
    plot.line([0, 1], [0, 1], FAINT, stroke_dasharray="5 4")
    for one in bins:
        x = plot.at_x(one["confidence"])
        if one["low"] is not None:
            plot.add(
                "line",
                x1=x,
                x2=x,
                y1=plot.at_y(one["low"]),
                y2=plot.at_y(one["high"]),
                stroke="#8fb3d4",
                stroke_width="2",
            )
        sure, right = short(one["confidence"]), short(one["hits"])
        tip = f"{short(one['predictions'])} predictions, confidence {sure}, right {right}"
        plot.dot(x, plot.at_y(one["hits"]), BLUE, tip, radius=3 + 7 * (one["predictions"] / total) ** 0.5)
    return Figure(record["experiment"], plot=plot.markup(), alt=plot.alt)


def score_rows(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return a row per experiment: for each metric value, interval, and whether it beats chance."""
    return [
        {
            "experiment": record["experiment"],
            "people": record["people"],
            "cells": [
                {
                    **record["metrics"][name],
                    "better": beats_chance(record["metrics"][name], record["chance"].get(name), name),
                }
                for name in METRICS
            ],
        }
        for record in records
    ]


def shade(share: float) -> str:
    """Return the colours of a cell whose share of its row is between 0 and 1, as CSS.

    Examples
    --------
    >>> shade(0)
    'background:rgb(240,244,249);color:#1f2937'
    """
    red, green, blue = (round(a + (b - a) * share) for a, b in ((240, 11), (244, 79), (249, 138)))
    return f"background:rgb({red},{green},{blue});color:{'#fff' if share > 0.65 else INK}"


def confusion_rows(record: Record) -> list[dict[str, Any]]:
    """Return a row per true class: each cell's count, share of the row and colours."""
    rows = []
    for name, counts in zip(record["confusion"]["classes"], record["confusion"]["counts"], strict=True):
        total = sum(counts) or 1
        cells = [{"count": count, "share": count / total, "style": shade(count / total)} for count in counts]
        rows.append({"name": name, "cells": cells})
    return rows


def gate_rows(record: Record) -> dict[str, Any] | None:
    """Return each expert's mean weight per class; None where at most one expert ever counts."""
    gates: dict[str, Mapping[str, Any]] = {
        name: record["classes"][name]["gate"] for name in record["confusion"]["classes"]
    }
    modalities = sorted(next(iter(gates.values())), key=lambda name: (name not in MODALITIES, name))
    rows: list[dict[str, Any]] = [
        {"name": name, "cells": [{**gate[m], "style": shade(gate[m]["value"] or 0)} for m in modalities]}
        for name, gate in gates.items()
    ]
    used = {m for row in rows for m, cell in zip(modalities, row["cells"], strict=True) if cell["value"]}
    return {"experiment": record["experiment"], "modalities": modalities, "rows": rows} if len(used) > 1 else None
