"""Each person's prediction: the probability given to the true label."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from neuromoe.cohort.sessions import session_key
from neuromoe.core.tables import read_table
from neuromoe.report._page import Figure
from neuromoe.report._sessions import link
from neuromoe.report._strips import strip_figure

Row = Mapping[str, str]


def person_figure(experiment: str, predictions: Path) -> Figure:
    """Draw the probability of the true label, averaged over repeats; a dot leads to its session's page.

    Parameters
    ----------
    experiment : str
        Its name.
    predictions : path
        The experiment's table of out-of-fold predictions.
    """
    truths, probabilities, wrong = average(read_table(predictions))
    keys = list(truths)
    links = {key: link(key) for key in keys}
    figure = strip_figure("probability", keys, [probabilities[key] for key in keys], truths, wrong, links)
    caption = f"{len(wrong)} of {len(keys)} sessions (red) get another label than their own."
    alt = f"{experiment}: probability of the true label of {len(keys)} sessions. {caption}"
    return Figure(experiment, caption, plot=figure.plot, alt=alt)


def average(rows: Sequence[Row]) -> tuple[dict[str, str], dict[str, float], set[str]]:
    """Average a table's probabilities over repeats.

    Returns
    -------
    truths : dict
        Session to label.
    probabilities : dict
        Session to the mean probability of that label.
    wrong : set
        The sessions to which another label is given.
    """
    sums: dict[str, dict[str, float]] = {}
    truths: dict[str, str] = {}
    counts: dict[str, int] = {}
    for row in rows:
        key = session_key(row["participant_id"], row.get("session_id"))
        truths[key], counts[key] = row["label"], counts.get(key, 0) + 1
        total = sums.setdefault(key, {})
        for name, cell in row.items():
            if name.startswith("p_"):
                total[name[2:]] = total.get(name[2:], 0.0) + float(cell)
    probabilities = {key: sums[key].get(truth, 0.0) / counts[key] for key, truth in truths.items()}
    wrong = {key for key, truth in truths.items() if max(sums[key], key=lambda name: sums[key][name]) != truth}
    return truths, probabilities, wrong
