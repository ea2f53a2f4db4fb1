"""Confounds and frequencies outside the band, taken out in one linear model.

Filtering first and regressing afterwards brings back what the filter took out, and the other way round
(Lindquist et al. 2019, doi:10.1002/hbm.24528). One projection away from everything unwanted does both.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

from neuromoe.func._confounds import MOTION, Confounds

Names = Sequence[str]


def outside_band(volumes: int, repetition_time_s: float, band_hz: Sequence[float]) -> NDArray:
    """Return the orthonormal cosines (V, K) with frequencies outside the band, the constant among them."""
    basis = dct(np.eye(volumes), norm="ortho", axis=0).T
    frequency = np.arange(volumes) / (2 * volumes * repetition_time_s)
    return basis[:, (frequency < band_hz[0]) | (frequency > band_hz[1])]


def linear_drift(volumes: int) -> NDArray:
    """Return a constant and a slope (V, 2), orthonormal."""
    return np.linalg.qr(np.column_stack([np.ones(volumes), np.linspace(-1, 1, volumes)]))[0]


def unwanted(filters: NDArray, confounds: NDArray) -> NDArray:
    """Return an orthonormal basis (V, K) of the span of both.

    Parameters
    ----------
    filters : array (V, F)
        Orthonormal.
    confounds : array (V, C)
        Any scale; may be collinear.
    """
    if not confounds.shape[1]:
        return filters
    scale = np.linalg.norm(confounds, axis=0)
    scaled = confounds[:, scale > 0] / scale[scale > 0]
    # Twice, because once leaves rounding errors as large as what little is left of a slow regressor.
    rest = remove(remove(scaled.T, filters), filters).T
    directions, sizes, _ = np.linalg.svd(rest, full_matrices=False)
    return np.column_stack([filters, directions[:, sizes > 1e-6]])


def remove(series: NDArray, basis: NDArray) -> NDArray:
    """Return what is left of time courses (N, V) without an orthonormal basis (V, K)."""
    basis = basis.astype(series.dtype)
    return series - (series @ basis) @ basis.T


def choose_confounds(confounds: Confounds, groups: Sequence[str], most: int) -> list[str]:
    """Choose columns of the table, group by group, as long as at most `most` are taken.

    Parameters
    ----------
    confounds : Confounds
        The table.
    groups : sequence of str
        The most important first: motion, outliers, tissues, global, compcor, derivatives, squares.
    most : int
        A group that would go beyond is left out; outliers and components are taken in part.
    """
    available = group_columns(confounds)
    chosen: list[str] = []
    for group in groups:
        names = available[group]
        room = most - len(chosen)
        if group in ("outliers", "compcor"):
            names = names[: max(room, 0)]
        chosen += names if len(names) <= room else []
    return chosen


def group_columns(confounds: Confounds) -> dict[str, list[str]]:
    """Return the names of the columns in each group; outliers with the largest displacement first."""
    derivatives = [f"{name}_derivative1" for name in MOTION]
    return {
        "motion": list(MOTION),
        "outliers": _worst_first(confounds.columns, confounds.named("motion_outlier")),
        "tissues": ["white_matter", "csf"],
        "global": ["global_signal"],
        "compcor": confounds.named("a_comp_cor"),
        "derivatives": derivatives,
        "squares": [f"{name}_power2" for name in (*MOTION, *derivatives)],
    }


def regressors(confounds: Confounds, names: Names) -> NDArray:
    """Return the columns as a matrix (V, K); a missing first value becomes zero."""
    columns = [np.nan_to_num(confounds.columns[name], nan=0.0) for name in names]
    return np.column_stack(columns) if columns else np.zeros((len(confounds.columns[MOTION[0]]), 0))


def _worst_first(columns: Mapping[str, NDArray], names: Names) -> list[str]:
    displacement = np.nan_to_num(columns["framewise_displacement"])
    return sorted(names, key=lambda name: -displacement[int(np.argmax(columns[name]))])
