"""Clinical and serum columns made into numbers; what is fitted on people is fitted in `fit` alone.

Axis letters: N people, F encoded features.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuromoe.cohort.tables import level_text
from neuromoe.core.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from neuromoe.cohort.cohort import Cohort

# A value further out than this many standard deviations of the training people says no more than this.
_LIMIT = 8.0
# The squares of larger numbers would not be finite.
_LARGEST = 1e100


@dataclass(frozen=True)
class _Column:
    name: str
    kind: str
    levels: tuple[str, ...]
    center: float
    scale: float
    with_missing: bool

    @property
    def features(self) -> list[str]:
        named = [f"{self.name}={level}" for level in self.levels] if self.kind == "categorical" else [self.name]
        return [*named, f"{self.name} missing"] if self.with_missing else named

    def encode(self, values: "pd.Series") -> NDArray:
        numbers = _numbers(values, self.kind, self.levels)
        missing = np.isnan(numbers)
        if self.kind == "categorical":
            coded = (numbers[:, None] == np.arange(len(self.levels))).astype(float)
        else:
            filled = np.where(missing, self.center, numbers)
            # Where nobody differed in training, nobody knows what a difference means.
            coded = np.clip((filled - self.center) / (self.scale or np.inf), -_LIMIT, _LIMIT)[:, None]
        return np.hstack([coded, missing[:, None]]) if self.with_missing else coded


def _numbers(values: "pd.Series", kind: str, levels: tuple[str, ...]) -> NDArray:
    """Numbers as they are, levels as their place in the list; NaN where missing or unknown."""
    if kind == "numeric":
        import pandas as pd

        try:
            numbers = pd.to_numeric(values).to_numpy(float, na_value=np.nan)
        except (ValueError, TypeError) as err:
            raise InputError(
                expected="numbers, NaN where unknown",
                found=str(err),
                where=f"clinical column {values.name}",
                fix="correct the table, or give the column the type categorical",
            ) from err
        return np.clip(np.where(np.isfinite(numbers), numbers, np.nan), -_LARGEST, _LARGEST)
    place = {level: float(row) for row, level in enumerate(levels)}
    known = values.map(level_text, na_action="ignore")
    return known.map(place).to_numpy(float, na_value=np.nan)


def _fit_column(name: str, values: "pd.Series", about: Mapping[str, Any]) -> _Column:
    kind = about.get("type", "numeric")
    if kind not in ("numeric", "categorical", "ordinal"):
        raise InputError(
            expected="the type numeric, categorical or ordinal",
            found=repr(kind),
            where=f"clinical column {name}",
            fix="correct the column's type in the configuration",
        )
    known = about.get("levels") or sorted({level_text(value) for value in values.dropna()})
    levels = () if kind == "numeric" else tuple(dict.fromkeys(level_text(level) for level in known))
    numbers = _numbers(values, kind, levels)
    seen = numbers[~np.isnan(numbers)]
    center = float(np.median(seen)) if len(seen) else 0.0
    spread = float(seen.std()) if len(seen) else 0.0
    return _Column(name, kind, levels, center, spread, bool(0 < len(seen) < len(numbers)))


@dataclass(frozen=True)
class ClinicalEncoder:
    """Impute, scale and encode clinical columns with what the training people showed.

    Numeric and ordinal columns: the median for what is missing, then zero median and unit standard deviation,
    limited to 8 of them; zeros where all training people had the same. Categorical: one feature per level, none set
    where missing or unknown. A column of which some training people lacked the value gets an indicator of missing.
    """

    columns: tuple[_Column, ...] = ()

    @classmethod
    def fit(cls, table: "pd.DataFrame | None", types: Mapping[str, Mapping[str, Any]]) -> "ClinicalEncoder":
        """Learn medians, scales and levels.

        Parameters
        ----------
        table : DataFrame (N rows) or None
            The training people's clinical columns.
        types : mapping
            Type and levels of each column.
        """
        if table is None:
            return cls()
        return cls(tuple(_fit_column(name, table[name], about) for name, about in types.items()))

    @property
    def features(self) -> list[str]:
        """Names of the encoded features."""
        return [name for column in self.columns for name in column.features]

    def encode(self, table: "pd.DataFrame | None", count: int) -> NDArray:
        """Encode `count` people.

        Returns
        -------
        array (N, F), float32
            All zeros where `table` is None.

        Raises
        ------
        InputError
            The table lacks a column that the encoder was fitted on.
        """
        if table is None or not self.columns:
            return np.zeros((count, len(self.features)), np.float32)
        absent = [column.name for column in self.columns if column.name not in table]
        if absent:
            raise InputError(
                expected=f"the columns of the training people, {[column.name for column in self.columns]}",
                found=f"no column {', '.join(absent)}",
                where="the cohort's clinical table",
                fix="add the columns; n/a where unknown",
            )
        return np.hstack([column.encode(table[column.name]) for column in self.columns]).astype(np.float32)

    def encode_rows(self, cohort: "Cohort", rows: NDArray) -> NDArray:
        """Encode people of a cohort by their rows (n,); zeros where it has no clinical table."""
        return self.encode(None if cohort.clinical is None else cohort.clinical.iloc[rows], len(rows))

    def facts(self) -> list[dict[str, Any]]:
        """Describe the encoder in JSON's types."""
        return [asdict(column) for column in self.columns]

    @classmethod
    def from_facts(cls, facts: list[dict[str, Any]]) -> "ClinicalEncoder":
        """Rebuild the encoder from `facts`."""
        return cls(tuple(_Column(**{**column, "levels": tuple(column["levels"])}) for column in facts))
