"""The result's page: what the models reach, and how far to trust it."""

import json
from pathlib import Path
from typing import Any


def result(
    *,
    metrics: list[Path],
    page: Path,
    predictions: list[Path] | None = None,
    models: Path | None = None,
    published: dict[str, Any] | None = None,
    described: dict[str, Any] | None = None,
    demo: bool = False,
) -> None:
    """Write the page that compares the experiments and says how far to trust them.

    Parameters
    ----------
    metrics : list of path
        `metrics.json` of every experiment, by `evaluate score`; the one of interest first.
    page : path
        The HTML file to write.
    predictions : list of path, optional
        `predictions.tsv` of the same experiments, in the same order.
    models : path, optional
        The folder of fitted models, a folder for each experiment in it: the page says what those chose that choose
        between models, and which trainings show signs of failure.
    published : dict, optional
        Accuracies that others report, by experiment, to stand beside ours.
    described : dict, optional
        What each experiment is, in words, to stand in the same table.
    demo : bool, default=False
        Whether the people are simulated: the page says so.

    Raises
    ------
    InputError
        There are no experiments, or other tables of predictions than metrics.
    """
    from neuromoe.core.errors import InputError
    from neuromoe.report import _scores
    from neuromoe.report._fitted import belief_rows, choice_rows, read_fitted, sign_rows
    from neuromoe.report._page import write_page
    from neuromoe.report._predicted import person_figure
    from neuromoe.report._trust import trust

    if not metrics or len(predictions or metrics) != len(metrics):
        raise InputError(
            expected="metrics of at least one experiment, and as many tables of predictions",
            found=f"{len(metrics)} and {len(predictions or [])}",
            where="report result",
            fix="give both for the same experiments, in the same order",
        )
    records = [json.loads(path.read_text(encoding="utf-8")) for path in metrics]
    fitted = [read_fitted(models, record["experiment"]) for record in records]
    pairs = zip(records, predictions or [], strict=False)
    write_page(
        page,
        "result.html",
        title="Result",
        demo=demo,
        first=records[0],
        words=trust(records, demo),
        records=records,
        metrics=_scores.METRICS,
        forests=[_scores.forest_figure(records, name) for name in _scores.FOREST],
        scores=_scores.score_rows(records),
        confusions=[{"record": record, "rows": _scores.confusion_rows(record)} for record in records],
        published=published or {},
        described=described or {},
        choices=[rows for rows in map(choice_rows, fitted) if rows],
        beliefs=[rows for rows in map(belief_rows, fitted) if rows],
        signs=[rows for rows in map(sign_rows, fitted) if rows],
        gates=[rows for rows in map(_scores.gate_rows, records) if rows],
        reliabilities=[_scores.reliability_figure(record) for record in records],
        persons=[person_figure(record["experiment"], path) for record, path in pairs],
    )
    print(f"{len(records)} experiments: {page}", flush=True)
