"""How far to trust a score, in words."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from neuromoe.report._plot import short

# Half the width of an interval at which a difference that matters in practice could still be missed.
WIDE = 0.1
GUESSING = {
    "balanced_accuracy": "guessing",
    "accuracy": "always naming the commonest label",
    "macro_auc": "guessing",
}
LOWER_IS_BETTER = ("nll", "brier", "ece")

LIMITS = (
    "The intervals say how the scores would vary with other people of the same kind, for the models as they "
    "were fitted. They do not cover other scanners, sites or clinics, other ways to choose the people, or "
    "wrong labels: only data from elsewhere can show that."
)

Score = Mapping[str, float | None]
Record = Mapping[str, Any]


def beats_chance(score: Score, chance: Score | None, metric: str) -> bool | None:
    """Tell whether the whole interval is better than chance; None where one of them is not known.

    Examples
    --------
    >>> beats_chance({"value": 0.6, "low": 0.4, "high": 0.8}, {"value": 0.5}, "accuracy")
    False
    """
    bound = score.get("high" if metric in LOWER_IS_BETTER else "low")
    level = (chance or {}).get("value")
    if bound is None or level is None:
        return None
    return bound < level if metric in LOWER_IS_BETTER else bound > level


def interval(score: Score) -> str:
    """Write a score with its interval.

    Examples
    --------
    >>> interval({"value": 0.5, "low": 0.25, "high": 0.75})
    '0.5 (0.25 to 0.75)'
    """
    if score.get("low") is None or score.get("high") is None:
        return f"{short(score.get('value'))} (no interval)"
    return f"{short(score['value'])} ({short(score['low'])} to {short(score['high'])})"


def trust(records: Sequence[Record], demo: bool = False) -> list[str]:
    """Say what the scores of the first experiment show, what they do not, and how the others compare.

    Parameters
    ----------
    records : sequence of mapping
        The experiments' metrics files, the one of interest first.
    demo : bool, default=False
        Whether the people are simulated.

    Returns
    -------
    list of str
        Paragraphs.
    """
    first = records[0]
    words = [_demo(first)] if demo else []
    words += [_headline(first), _chance(first), _size(first)]
    if len(records) > 1:
        words.append(_others(records))
    return [*words, _calibration(first), LIMITS]


def _demo(record: Record) -> str:
    low, high = _bounds(record)
    words = (
        f"These {record['people']} people are simulated, with effects that were put in by hand. The numbers "
        "show that the workflow runs from end to end. They prove nothing about any disorder, any real scan, "
        "or which model is better."
    )
    if math.isnan(low):
        return words
    return f"{words} The intervals say so: the balanced accuracy may as well be {short(low)} as {short(high)}."


def _headline(record: Record) -> str:
    score, chance = record["metrics"]["balanced_accuracy"], record["chance"]["balanced_accuracy"]
    repeats = f", each predicted {record['repeats']} times" if record["repeats"] > 1 else ""
    return (
        f"{record['experiment']}: balanced accuracy {interval(score)}, {100 * record['confidence']:g} % "
        f"interval, from {record['people']} people{repeats} by models that had not seen them. "
        f"Guessing gives {short(chance['value'])}."
    )


def _chance(record: Record) -> str:
    levels = {name: record["chance"].get(name) for name in GUESSING}
    better = {name: beats_chance(record["metrics"][name], levels[name], name) for name in GUESSING}
    unknown = [name for name in better if better[name] is None]
    if unknown:
        return (
            f"For {_listed(unknown)} no interval could be computed: there are too few people of some class. "
            "A number without an interval shows nothing."
        )
    inside = [name for name in better if not better[name]]
    level = ", ".join(f"{short(levels[name]['value'])} for {_words(name)} ({how})" for name, how in GUESSING.items())
    if not inside:
        return f"The intervals lie wholly above chance ({level}): the predictions carry some information."
    if len(inside) == len(GUESSING):
        return (
            f"All three intervals include chance or lie below it ({level}). "
            "These data do not show that the classifier works at all."
        )
    return (
        f"The interval of {_listed(inside)} includes chance or lies below it; chance is {level}. "
        "The evidence that the classifier works is weak."
    )


def _bounds(record: Record) -> tuple[float, float]:
    score = record["metrics"]["balanced_accuracy"]
    if score.get("low") is None or score.get("high") is None:
        return math.nan, math.nan
    return score["low"], score["high"]


def _size(record: Record) -> str:
    people, (low, high) = record["people"], _bounds(record)
    if math.isnan(low):
        return f"{people} people are too few to say how uncertain the numbers are."
    half = (high - low) / 2
    known = f"With {people} people the balanced accuracy is known to about {100 * half:.0f} points either way"
    if half <= WIDE:
        return f"{known}."
    return (
        f"{known}: too wide to plan anything on. Half that width needs about four times as many people ({4 * people})."
    )


def _others(records: Sequence[Record]) -> str:
    known = [record for record in records if not math.isnan(_bounds(record)[0])]
    if len(known) < 2:
        return "The experiments cannot be compared: too few have intervals."
    best = max(known, key=lambda record: float(record["metrics"]["balanced_accuracy"]["value"]))
    below = [one["experiment"] for one in known if one is not best and _bounds(one)[1] < _bounds(best)[0]]
    relation = (
        f"its interval lies above that of {_listed(below)}"
        if below
        else "but its interval overlaps with all others: they do not show which is better"
    )
    return (
        f"Of {len(known)} experiments {best['experiment']} has the highest balanced accuracy; {relation}. "
        "Naming the best of several after seeing this table makes its number look better than it is."
    )


def _calibration(record: Record) -> str:
    error = f"off by {interval(record['metrics']['ece'])} on average"
    bias = "(expected calibration error, which comes out too large in small samples)"
    temperature = record.get("temperature")
    if temperature is None:
        return f"The probabilities are {error} {bias}."
    manner = "about as sure as they should be"
    if not 0.9 <= temperature <= 1.1:
        manner = "too sure" if temperature > 1 else "not sure enough"
    return f"The probabilities are {manner} (temperature {short(temperature)}, 1 is right), {error} {bias}."


def _words(metric: str) -> str:
    return metric.replace("_", " ").replace("auc", "AUC")


def _listed(names: Sequence[str]) -> str:
    shown = [_words(name) if name in GUESSING else name for name in names]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
