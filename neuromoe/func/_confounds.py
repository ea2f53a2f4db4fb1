"""The table of confounds, with fMRIPrep's names of the columns."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.atomic import write_json, write_text
from neuromoe.core.provenance import sidecar_path
from neuromoe.func._compcor import Components, anatomical_components, cosine_drifts
from neuromoe.func._framewise import (
    dvars,
    framewise_displacement,
    motion_parameters,
    rms_displacement,
    unsteady_volumes,
)

MOTION = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
STD_DVARS_THRESHOLD = 1.5
_MASKS = {"a": "combined", "c": "CSF", "w": "WM"}


@dataclass(frozen=True, eq=False)
class Confounds:
    """Columns of the table and what its JSON file says of them.

    Parameters
    ----------
    columns : dict of str to array (V,)
        NaN where a value does not exist.
    metadata : dict
        Description of the columns, for the components as fMRIPrep writes it.
    unsteady : int
        Leading volumes before the magnetisation is steady.
    """

    columns: dict[str, NDArray]
    metadata: dict[str, Any]
    unsteady: int

    def named(self, *starts: str) -> list[str]:
        """Return the names that begin with one of `starts`."""
        return [name for name in self.columns if name.startswith(starts)]


def make_confounds(
    brain: NDArray,
    noise: Mapping[str, NDArray],
    motion: NDArray,
    *,
    center_mm: NDArray,
    repetition_time_s: float,
    components: int = 6,
    fd_threshold_mm: float = 0.5,
    scrub: bool = True,
) -> Confounds:
    """Make all confounds of one run.

    Parameters
    ----------
    brain : array (N, V)
        Motion-corrected time courses of the brain.
    noise : mapping of "wm" and "csf" to array (N, V)
        Of the voxels of white matter and CSF; may be empty.
    motion : array (V, 4, 4)
        Reference world to each volume's world, mm.
    center_mm : array (3,)
        The head's centre, about which rotations are stated.
    repetition_time_s : float
        Time between volumes, s.
    components : int, default=6
        Components kept of each noise region.
    fd_threshold_mm : float, default=0.5
        Framewise displacement that makes a volume an outlier; so does a standardised DVARS above 1.5.
    scrub : bool, default=True
        Outliers do not make the components of the noise regions, as volumes before the steady state never do.
    """
    parameters = motion_parameters(motion, center_mm)
    displacement, (changed, standard, _) = framewise_displacement(parameters), dvars(brain)
    signals = {"global_signal": brain.mean(axis=0)} | _tissue_signals(noise, brain.shape[1])
    columns = {name: part for key, course in signals.items() for name, part in _expanded(key, course).items()}
    columns |= {
        "std_dvars": standard,
        "dvars": changed,
        "framewise_displacement": displacement,
        "rmsd": rms_displacement(motion, center_mm),
    }
    drifts = cosine_drifts(brain.shape[1], repetition_time_s)
    unsteady, moved = unsteady_volumes(signals["global_signal"]), _outliers(displacement, standard, fd_threshold_mm)
    steady = np.arange(brain.shape[1]) >= unsteady
    component_columns, metadata = _component_columns(noise, drifts, components, steady & ~(moved & scrub))
    columns |= component_columns
    columns |= {f"cosine{index:02d}": course for index, course in enumerate(drifts.T)}
    columns |= _spikes("non_steady_state_outlier", ~steady)
    for name, course in zip(MOTION, parameters.T, strict=True):
        columns |= _expanded(name, course)
    columns |= _spikes("motion_outlier", moved & steady)
    return Confounds(columns, metadata, unsteady)


def write_confounds(path: Path, confounds: Confounds) -> None:
    """Write the table (`n/a` where a value does not exist) and the JSON file beside it."""
    table = np.column_stack(list(confounds.columns.values()))
    text = io.StringIO()
    np.savetxt(text, table, fmt="%.9g", delimiter="\t", header="\t".join(confounds.columns), comments="")
    write_text(path, text.getvalue().replace("nan", "n/a"))
    write_json(sidecar_path(path), confounds.metadata)


def _outliers(displacement: NDArray, standard: NDArray, fd_threshold_mm: float) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        return (displacement > fd_threshold_mm) | (standard > STD_DVARS_THRESHOLD)


def _tissue_signals(noise: Mapping[str, NDArray], volumes: int) -> dict[str, NDArray]:
    names = {"csf": "csf", "white_matter": "wm"}
    return {name: noise[key].mean(axis=0) if len(noise[key]) else np.zeros(volumes) for name, key in names.items()}


def _expanded(name: str, course: NDArray) -> dict[str, NDArray]:
    slope = np.concatenate([[np.nan], np.diff(course)])
    return {
        name: course,
        f"{name}_derivative1": slope,
        f"{name}_power2": course**2,
        f"{name}_derivative1_power2": slope**2,
    }


def _spikes(name: str, volumes: NDArray) -> dict[str, NDArray]:
    rows = np.eye(len(volumes))[np.flatnonzero(volumes)]
    return {f"{name}{index:02d}": row for index, row in enumerate(rows)}


def _component_columns(
    noise: Mapping[str, NDArray], drifts: NDArray, count: int, kept: NDArray[np.bool_]
) -> tuple[dict[str, NDArray], dict[str, Any]]:
    regions = {"a": np.concatenate([noise["wm"], noise["csf"]]), "c": noise["csf"], "w": noise["wm"]}
    columns: dict[str, NDArray] = {}
    metadata: dict[str, Any] = {}
    for letter, series in regions.items():
        if not len(series):
            continue
        found = anatomical_components(series, drifts, count, kept)
        names = [f"{letter}_comp_cor_{index:02d}" for index in range(found.courses.shape[1])]
        columns |= dict(zip(names, found.courses.T, strict=True))
        metadata |= dict(zip(names, _described(found, _MASKS[letter]), strict=True))
    return columns, metadata


def _described(found: Components, mask: str) -> list[dict[str, Any]]:
    cumulative = np.cumsum(found.variance_explained)
    return [
        {
            "CumulativeVarianceExplained": float(total),
            "Mask": mask,
            "Method": "aCompCor",
            "Retained": True,
            "SingularValue": float(value),
            "VarianceExplained": float(share),
        }
        for value, share, total in zip(found.singular_values, found.variance_explained, cumulative, strict=True)
    ]
