"""All maps of one run in one walk over the template's voxels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuromoe.func._confounds import Confounds
from neuromoe.func._maps import amplitude, connectivity, homogeneity, ranks, sphere
from neuromoe.func._networks import Network
from neuromoe.func._regression import (
    choose_confounds,
    linear_drift,
    outside_band,
    regressors,
    remove,
    unwanted,
)
from neuromoe.func._run import Run
from neuromoe.func._sampling import Sampler, chunks_of_points
from neuromoe.imaging.geometry import apply_affine, map_points
from neuromoe.imaging.images import Image


@dataclass(frozen=True)
class Band:
    """Frequencies that count, Hz, and the time between volumes, s."""

    low_hz: float
    high_hz: float
    repetition_time_s: float


@dataclass(frozen=True)
class Seed:
    """A sphere in the template, mm."""

    center_mm: tuple[float, ...]
    radius_mm: float


@dataclass(frozen=True, eq=False)
class Model:
    """What is taken out of every time course.

    Parameters
    ----------
    names : list of str
        Confounds in the model.
    whole : array (V, K)
        Orthonormal basis of the confounds and a linear drift.
    band : array (V, K)
        Of the confounds and all frequencies outside the band.
    freedom : int
        Degrees of freedom that are left in the band.
    unsteady : int
        Leading volumes that are not used.
    frequencies : Band
        The band.
    kept : bool array (V,)
        Volumes without a spike regressor of their own.
    """

    names: list[str]
    whole: NDArray
    band: NDArray
    freedom: int
    unsteady: int
    frequencies: Band
    kept: NDArray


@dataclass(frozen=True, eq=False)
class Maps:
    """Maps (X, Y, Z), of the networks (X, Y, Z, K), on the template's grid, 0 outside the mask."""

    alff: NDArray
    falff: NDArray
    reho: NDArray
    seed: NDArray
    seed_voxels: int
    networks: NDArray


def make_model(table: Confounds, groups: Sequence[str], frequencies: Band, share: float) -> Model:
    """Choose the confounds that the run's length allows and join them with the filters.

    Parameters
    ----------
    table : Confounds
        All confounds.
    groups : sequence of str
        The most important first.
    frequencies : Band
        The band of the maps.
    share : float
        Of the degrees of freedom in the band, what confounds may take at most.
    """
    volumes = len(table.columns["trans_x"]) - table.unsteady
    filters = outside_band(volumes, frequencies.repetition_time_s, (frequencies.low_hz, frequencies.high_hz))
    names = choose_confounds(table, groups, int(share * (volumes - filters.shape[1])))
    columns = regressors(table, names)[table.unsteady :]
    band = unwanted(filters, columns)
    whole = unwanted(linear_drift(volumes), columns)
    spikes = regressors(table, [name for name in names if name.startswith("motion_outlier")])[table.unsteady :]
    kept = np.asarray(~spikes.any(axis=1))
    return Model(names, whole, band, volumes - band.shape[1], table.unsteady, frequencies, kept)


def make_maps(
    run: Run,
    mask: Image,
    model: Model,
    seed: Seed,
    *,
    order: int,
    amplitude_unit: str = "percent",
    networks: Sequence[Network] = (),
) -> Maps:
    """Interpolate the run once at the template's voxels and make the maps.

    Parameters
    ----------
    run : Run
        The run.
    mask : Image (X, Y, Z) of bool
        The template's voxels to fill.
    model : Model
        What is taken out.
    seed : Seed
        Whose mean course the connectivity is of.
    order : int
        Spline order of the interpolation.
    amplitude_unit : str, default="percent"
        Of ALFF: `percent` of the brain's median signal, or times its `mean` in the brain.
    networks : sequence of Network
        Among the voxels of `mask`, in C order.
    """
    sampler = Sampler(run.image, run.motion, order=order)
    points = apply_affine(mask.affine, np.argwhere(mask.data))
    wanted = sphere(points, seed.center_mm, seed.radius_mm)
    course = _seed_course(sampler, map_points(run.chain, points[wanted]), model)
    together = [_mean_course(sampler, run, points[network.members], model) for network in networks]
    values = {name: np.zeros(len(points), np.float32) for name in ("alff", "falff", "seed", "mean")}
    linked = np.zeros((len(points), len(networks)), np.float32)
    rank = np.zeros((len(points), len(model.band)), np.uint16)
    for part, places in chunks_of_points(points, run.chain):
        courses = sampler.courses(places)[:, model.unsteady :]
        values["mean"][part] = courses[:, model.kept].mean(axis=1)
        values["alff"][part], values["falff"][part] = _amplitude(remove(courses, model.whole), model)
        filtered = remove(courses, model.band)
        rank[part] = ranks(filtered)
        values["seed"][part] = _linked(filtered, course)
        for index, other in enumerate(together):
            linked[part, index] = _linked(filtered, other)
    values["alff"] *= _scale(values, amplitude_unit)
    spacing = np.maximum(np.rint(run.boldref.voxel_mm.mean() / mask.voxel_mm), 1).astype(int)
    reho = homogeneity(rank, mask.data, spacing=spacing.tolist())
    alff, falff, z = (_filled(mask.data, values[name]) for name in ("alff", "falff", "seed"))
    return Maps(alff, falff, reho, z, int(wanted.sum()), _filled(mask.data, linked))


def _scale(values: Mapping[str, NDArray], unit: str) -> float:
    """Return what raw amplitudes are multiplied by: raw units cannot be compared between scanners."""
    if not len(values["alff"]):
        return 1.0
    if unit == "mean":
        return 1 / max(float(values["alff"].mean(dtype=float)), 1e-6)
    return 100 / max(float(np.median(values["mean"])), 1e-6)


def _amplitude(courses: NDArray, model: Model) -> tuple[NDArray, NDArray]:
    band = model.frequencies
    hz = (band.low_hz, band.high_hz)
    return amplitude(courses, repetition_time_s=band.repetition_time_s, band_hz=hz)


def _seed_course(sampler: Sampler, places: NDArray, model: Model) -> NDArray | None:
    if not len(places):
        return None
    courses = sampler.courses(places)[:, model.unsteady :]
    return remove(courses, model.band).mean(axis=0)


def _mean_course(sampler: Sampler, run: Run, points: NDArray, model: Model) -> NDArray | None:
    """Return the filtered mean course of template voxels, chunk by chunk: a network may be half the brain."""
    if not len(points):
        return None
    parts = chunks_of_points(points, run.chain)
    total = np.sum([sampler.courses(places).sum(axis=0, dtype=float) for _, places in parts], axis=0)
    return remove(total[None, model.unsteady :] / len(points), model.band)[0]


def _linked(filtered: NDArray, course: NDArray | None) -> NDArray | float:
    return 0.0 if course is None else connectivity(filtered, course)


def _filled(mask: NDArray, values: NDArray) -> NDArray[np.float32]:
    image = np.zeros((*mask.shape, *values.shape[1:]), np.float32)
    image[mask] = values
    return image
