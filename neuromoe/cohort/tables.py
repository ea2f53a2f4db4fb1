"""Clinical tables and quality numbers brought to the rows of a cohort."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuromoe.cohort.sessions import session_key, table_keys
from neuromoe.core.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

# Columns of index/clinical.tsv that say who and where, and are no features.
_KEYS = ("participant_id", "session_id", "label", "site", "group")
_MISSING = ["", "n/a", "N/A", "NA", "NaN", "nan"]
# Text of numbers is codes where there are few different ones, and measurements where there are more.
_CODES = 10


def check_length(values: Any, count: int, name: str) -> None:
    """Raise InputError unless `values` has one entry per row."""
    if len(values) != count:
        raise InputError(
            expected=f"{count} rows",
            found=f"{len(values)} rows",
            where=name,
            fix="give one entry per row of the cohort",
        )


def common_length(columns: Mapping[str, Any]) -> int:
    """Return the number of rows that all given columns share."""
    lengths = {name: len(values) for name, values in columns.items() if values is not None}
    if len(set(lengths.values())) != 1:
        raise InputError(
            expected="the same number of rows everywhere",
            found=", ".join(f"{name} {length}" for name, length in lengths.items()) or "nothing",
            where="Cohort.from_arrays",
            fix="give one entry per person in each",
        )
    return next(iter(lengths.values()))


def quality_of(quality: Mapping[str, ArrayLike] | None, maps: Mapping[str, Any], count: int) -> dict[str, NDArray]:
    """Bring quality numbers to (N, Q) float32; a modality without any has Q = 0."""
    result = {}
    for name in maps:
        given: Any = (quality or {}).get(name, np.empty((count, 0)))
        check_length(given, count, f"quality[{name!r}]")
        try:
            values = given.to_numpy(np.float32, na_value=np.nan) if hasattr(given, "columns") else given
            values = np.asarray(values, np.float32)
        except (TypeError, ValueError) as err:
            raise InputError(
                expected="numbers, NaN where unknown",
                found=str(err),
                where=f"quality[{name!r}]",
                fix="make its columns numeric",
            ) from err
        result[name] = values.reshape(count, -1) if count else values.reshape(0, 0)
    return result


def flags(values: ArrayLike, count: int, name: str) -> NDArray:
    """Bring True and False, or 1 and 0, to booleans (N,)."""
    check_length(values, count, name)
    plain = np.asarray(values)
    if plain.ndim != 1 or (plain.dtype != bool and not all(value in (0, 1) for value in plain.tolist())):
        raise InputError(
            expected="True or False for each row",
            found=f"{plain.dtype} of shape {plain.shape}",
            where=name,
            fix="say False where it is unknown",
        )
    return plain.astype(bool)


def typed_clinical(
    clinical: "pd.DataFrame | None", types: Mapping[str, Mapping[str, Any]] | None
) -> tuple["pd.DataFrame | None", dict[str, Mapping[str, Any]]]:
    """Keep the clinical columns and say of each whether it is numeric, categorical or ordinal.

    Raises
    ------
    InputError
        It is no table; a typed column is not in it or twice in it.
    """
    if clinical is not None and not hasattr(clinical, "columns"):
        raise InputError(
            expected="a pandas DataFrame, one row per person",
            found=type(clinical).__name__,
            where="the clinical table",
            fix="name its columns: pandas.DataFrame(values, columns=[...])",
        )
    if types is not None and not all(isinstance(about, Mapping) for about in dict(types).values()):
        raise InputError(
            expected="a type, and levels where it has some, of each clinical column",
            found=repr(types),
            where="clinical_types",
            fix='write, say, {"age": {"type": "numeric"}}',
        )
    if clinical is None or (types is None and clinical.shape[1] == 0) or (types is not None and not types):
        return None, {}
    table = clinical.reset_index(drop=True)
    table.columns = table.columns.map(str)
    names = list(table.columns if types is None else types)
    _check_columns(list(table.columns), names)
    table = table[names].copy()
    for name in table.select_dtypes(["object", "string"]):
        table[name] = table[name].mask(table[name].isin(_MISSING))
    for name in table.columns[[kind.kind == "f" for kind in table.dtypes]]:
        table[name] = table[name].mask(np.isinf(table[name]))
    return table, {name: _guess_type(table[name]) for name in names} if types is None else dict(types)


def _check_columns(found: Sequence[str], chosen: Iterable[str]) -> None:
    times = Counter(found)
    absent = sorted(set(chosen) - set(times))
    if absent:
        raise InputError(
            expected=f"the clinical columns {sorted(chosen)}",
            found=f"no column {', '.join(absent)}",
            where="the clinical table",
            fix="add the columns (n/a where unknown) or leave them out of the configuration",
        )
    twice = sorted(name for name in set(chosen) if times[name] > 1)
    if twice:
        raise InputError(
            expected="each clinical column once",
            found=f"several columns {', '.join(twice)}",
            where="the clinical table",
            fix="keep one column of each name, or rename the others",
        )


def level_text(value: Any) -> str:
    """Write a level as text, the same for whole numbers however they are stored.

    Examples
    --------
    >>> level_text(1), level_text(1.0), level_text(1.5), level_text("1.0"), level_text("v1.0")
    ('1', '1', '1.5', '1', 'v1.0')
    """
    text = str(value)
    return text.split(".")[0] if re.fullmatch(r"[+-]?\d+\.0+", text) else text


def _guess_type(column: "pd.Series") -> Mapping[str, Any]:
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        kind = "ordinal" if column.cat.ordered else "categorical"
        return {"type": kind, "levels": [level_text(level) for level in column.cat.categories]}
    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    # Of a column of objects the values tell; True and False are no numbers here either.
    inferred = pd.api.types.infer_dtype(column, skipna=True)
    within = inferred in ("integer", "floating", "mixed-integer-float", "decimal")
    if inferred == "string" and column.nunique() > _CODES:
        within = bool(pd.to_numeric(column.dropna(), errors="coerce").notna().all())
    return {"type": "numeric"} if numeric or within or column.isna().all() else {"type": "categorical"}


def beside_index(
    index: "pd.DataFrame",
    clinical: "pd.DataFrame | Path | str | None",
    types: Mapping[str, Mapping[str, Any]] | None,
) -> dict[str, Any]:
    """Lay a clinical table beside the rows of a store's index.

    Returns
    -------
    dict
        `clinical` (DataFrame or None), `types`, and, where the table came from a file, labels, groups and
        sites.
    """
    if clinical is None:
        return {"clinical": None, "types": None}
    if isinstance(clinical, Path | str):
        table, read_types = read_clinical(clinical)
        laid = match_rows(index, table)
        named = {"labels": "label", "groups": "group", "sites": "site"}
        known = {key: laid[column].to_numpy() for key, column in named.items() if column in laid}
        return {"clinical": laid, "types": read_types if types is None else types, **known}
    if "participant_id" not in clinical:
        check_length(clinical, len(index), "clinical")
        return {"clinical": clinical, "types": types}
    laid = match_rows(index, clinical)
    return {"clinical": laid.drop(columns=[key for key in _KEYS if key in laid]), "types": types}


def read_clinical(path: Path | str) -> tuple["pd.DataFrame", dict[str, Mapping[str, Any]]]:
    """Read index/clinical.tsv and the types in the .json beside it.

    Returns
    -------
    table : DataFrame
        All columns; numeric ones as float, others as text, NaN where n/a.
    types : dict
        Type and levels of the clinical columns.

    Raises
    ------
    InputError
        The table is missing, lacks `participant_id`, or a numeric column holds text.
    """
    import pandas as pd

    path = Path(path)
    if not path.is_file():
        raise InputError(expected="a table", found="no file", where=path, fix="run the step `bids index` first")
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, na_values=_MISSING)
    beside = path.with_suffix(".json")
    types = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else {}
    if "participant_id" not in table:
        raise InputError(
            expected="a column participant_id",
            found=str(list(table)),
            where=path,
            fix="name the people's column so",
        )
    for name in (name for name, about in types.items() if about.get("type") == "numeric" and name in table):
        try:
            table[name] = pd.to_numeric(table[name])
        except (ValueError, TypeError) as err:
            raise InputError(
                expected=f"numbers in the column {name}",
                found=str(err),
                where=path,
                fix="correct the table, or make the column categorical in the configuration",
            ) from err
    return table, types


def match_rows(index: "pd.DataFrame", table: "pd.DataFrame") -> "pd.DataFrame":
    """Take each session's own row of `table`, else its participant's row without a session."""
    keys = table_keys(table)
    if len(set(keys)) < len(keys):
        twice = [key for key, times in Counter(keys).items() if times > 1]
        raise InputError(
            expected="one row per participant and session",
            found=f"several rows of {', '.join(twice[:5])}",
            where="the clinical table",
            fix="keep one row of each",
        )
    where = {key: row for row, key in enumerate(keys)}
    wanted = zip(index["participant_id"], table_keys(index), strict=True)
    rows = [where.get(key, where.get(session_key(who, None), -1)) for who, key in wanted]
    if rows and keys and max(rows) < 0:
        raise InputError(
            expected=f"rows of the people scanned, {', '.join(index['participant_id'][:3])} among them",
            found=f"others alone, {', '.join(keys[:3])} among them",
            where="the clinical table",
            fix="write each participant_id as in the store",
        )
    return table.reset_index(drop=True).reindex(rows).reset_index(drop=True)
