"""Clinical and serum features of the synthetic people. Standard library only.

Each numeric feature is `mean + sd * (shift * severity + ageing * (age - 64) / 8 + noise)`: the shift is the
distance between PD and HC in standard deviations, .3 to .9, so that one feature alone tells little.
"""

import random
from dataclasses import dataclass

MISSING_CELL_RATE = 0.08


@dataclass(frozen=True)
class Feature:
    """One numeric column of a phenotype table.

    Parameters
    ----------
    mean, sd : float
        Of healthy people at 64 years.
    shift, ageing : float
        In standard deviations: from no to full severity, and for 8 years.
    low, high : float
        The scale's ends.
    digits : int
        Decimals written.
    """

    name: str
    description: str
    units: str
    mean: float
    sd: float
    shift: float
    ageing: float
    low: float
    high: float
    digits: int = 0


CLINICAL = (
    Feature("motor_score", "Motor examination, higher is worse", "points", 9, 6, 0.9, 0.15, 0, 132),
    Feature("cognition_score", "Cognitive screening, higher is better", "points", 26.5, 2.2, -0.4, -0.2, 0, 30),
    Feature("olfaction_score", "Odours named correctly, higher is better", "points", 30, 5, -0.8, -0.2, 0, 40),
    Feature("rbd_score", "REM sleep behaviour questionnaire", "points", 4, 2.6, 0.8, 0.0, 0, 13),
    Feature("education_years", "Years of school and university", "a", 14, 3, 0.0, -0.1, 5, 24),
)
SERUM = (
    Feature("nfl_pg_ml", "Neurofilament light chain", "pg/mL", 13, 5, 0.6, 0.5, 2, 90, 1),
    Feature("alpha_synuclein_ng_ml", "Total alpha-synuclein", "ng/mL", 21, 6, -0.4, 0.0, 2, 60, 1),
    Feature("urate_umol_l", "Urate", "umol/L", 320, 70, -0.35, 0.05, 90, 700),
    Feature("crp_mg_l", "C-reactive protein", "mg/L", 2.4, 1.3, 0.0, 0.1, 0.1, 20, 1),
)
CONSTIPATION = ("none", "mild", "severe")
HANDEDNESS = ("right", "left", "ambidextrous")


def clinical_values(rng: random.Random, severity: float, age: float) -> dict[str, float | str | None]:
    """Draw one row of the clinical table; None where the cell is missing."""
    row = _numbers(rng, CLINICAL, severity, age)
    burden = 0.5 * severity + rng.gauss(0, 0.6)
    row["constipation"] = _kept(rng, CONSTIPATION[(burden > 0.35) + (burden > 1.0)])
    row["handedness"] = _kept(rng, rng.choices(HANDEDNESS, weights=(88, 10, 2))[0])
    return row


def serum_values(rng: random.Random, severity: float, age: float) -> dict[str, float | str | None]:
    """Draw one row of the serum table; one person in twelve gave no blood."""
    row = _numbers(rng, SERUM, severity, age)
    return dict.fromkeys(row) if rng.random() < 1 / 12 else row


def dictionary(features: tuple[Feature, ...]) -> dict[str, object]:
    """Return the BIDS data dictionary of numeric columns."""
    return {feature.name: {"Description": feature.description, "Units": feature.units} for feature in features}


def level_dictionary() -> dict[str, object]:
    """Return the BIDS data dictionary of the clinical table's columns of levels."""
    return {
        "constipation": {
            "Description": "Constipation by questionnaire",
            "Levels": {level: f"{level.capitalize()} complaints" for level in CONSTIPATION},
        },
        "handedness": {
            "Description": "Hand used to write",
            "Levels": {level: level.capitalize() for level in HANDEDNESS},
        },
    }


def _numbers(
    rng: random.Random, features: tuple[Feature, ...], severity: float, age: float
) -> dict[str, float | str | None]:
    return {feature.name: _kept(rng, _number(rng, feature, severity, age)) for feature in features}


def _number(rng: random.Random, feature: Feature, severity: float, age: float) -> float:
    standard = feature.shift * severity + feature.ageing * (age - 64) / 8 + rng.gauss(0, 1)
    value = min(max(feature.mean + feature.sd * standard, feature.low), feature.high)
    return round(value, feature.digits) if feature.digits else round(value)


def _kept(rng: random.Random, value: float | str) -> float | str | None:
    return None if rng.random() < MISSING_CELL_RATE else value
