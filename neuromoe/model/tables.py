"""Who is who: labels, participants and clinical columns brought to the rows of a cohort."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuromoe.core.errors import InputError
from neuromoe.model.sessions import session_key, table_keys

if TYPE_CHECKING:
    import pandas as pd

# Columns of index/clinical.tsv that say who and where, and are no features.
_KEYS = ("participant_id", "session_id", "label", "site", "group")
_MISSING = ["", "n/a", "N/A", "NA", "NaN", "nan"]


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


def _plain(value: Any) -> Any:
    import pandas as pd

    if value is None or pd.isna(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def people(
    count: int,
    labels: ArrayLike | None = None,
    participants: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    sites: ArrayLike | None = None,
    sessions: ArrayLike | None = None,
) -> dict[str, Any]:
    """Bring labels to objects (None = unlabeled) and names to text, one per row."""
    columns = {
        "labels": labels,
        "participants": participants,
        "groups": groups,
        "sites": sites,
        "sessions": sessions,
    }
    for name, values in columns.items():
        if values is not None:
            check_length(values, count, name)
    kept = np.empty(count, object)
    kept[:] = [None] * count if labels is None else [_label(label) for label in np.asarray(labels, object)]
    who = _texts(participants, np.arange(count).astype(str))
    return {
        "labels": kept,
        "participants": who,
        "groups": _joined(_texts(groups, who), who),
        "sites": _texts(sites, np.full(count, "")),
        "sessions": _texts(sessions, np.full(count, "")),
    }


def _label(value: Any) -> Any:
    label = _plain(value) if np.ndim(value) == 0 else value
    if not isinstance(label, str | int | float | None) or label in (np.inf, -np.inf):
        raise InputError(
            expected="labels that are text, whole or finite numbers, or True and False; None or NaN where unlabeled",
            found=f"{type(value).__name__} {value!r}",
            where="labels",
            fix="name the classes by text",
        )
    return label


def _texts(values: ArrayLike | None, instead: NDArray) -> NDArray:
    if values is None:
        return instead
    plain = [_plain(value) for value in np.asarray(values, object)]
    return np.array([str(other) if value is None else str(value) for value, other in zip(plain, instead, strict=True)])


def _joined(groups: NDArray, participants: NDArray) -> NDArray:
    """Give groups that share a participant one name, that of their first row."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    (names, mine), (others, who) = (np.unique(column, return_inverse=True) for column in (groups, participants))
    count = len(names) + len(others)
    links = coo_array((np.ones(len(mine)), (mine, len(names) + who)), shape=(count, count))
    _, first, family = np.unique(
        connected_components(links, directed=False)[1][mine], return_index=True, return_inverse=True
    )
    return groups[first[family]]


def quality_of(quality: Mapping[str, ArrayLike] | None, maps: Mapping[str, Any], count: int) -> dict[str, NDArray]:
    """Bring quality numbers to (N, Q) float32; a modality without any has Q = 0."""
    result = {}
    for name in maps:
        values = np.asarray((quality or {}).get(name, np.empty((count, 0))), np.float32)
        check_length(values, count, f"quality[{name!r}]")
        result[name] = values.reshape(count, -1) if count else values.reshape(0, 0)
    return result


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
    if clinical is None or (types is None and clinical.shape[1] == 0) or (types is not None and not types):
        return None, {}
    table = clinical.reset_index(drop=True)
    table.columns = table.columns.map(str)
    names = list(table.columns if types is None else types)
    _check_columns(list(table.columns), names)
    texts = table[names].select_dtypes(["object", "string"])
    table = table[names].assign(**texts.mask(texts.isin(_MISSING)))
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
    within = pd.api.types.infer_dtype(column, skipna=True) in ("integer", "floating", "mixed-integer-float", "decimal")
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
    return table.reset_index(drop=True).reindex(rows).reset_index(drop=True)
