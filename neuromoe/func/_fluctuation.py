"""All maps of one run in one walk over the template's voxels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.geometry import apply_affine, map_points
from neuromoe.core.images import Image
from neuromoe.func._confounds import Confounds
from neuromoe.func._maps import amplitude, connectivity, homogeneity, ranks, sphere
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
    """

    names: list[str]
    whole: NDArray
    band: NDArray
    freedom: int
    unsteady: int
    frequencies: Band


@dataclass(frozen=True, eq=False)
class Maps:
    """Maps (X, Y, Z) on the template's grid, 0 outside the mask."""

    alff: NDArray
    falff: NDArray
    reho: NDArray
    seed: NDArray
    seed_voxels: int


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
    return Model(names, whole, band, volumes - band.shape[1], table.unsteady, frequencies)


def make_maps(run: Run, mask: Image, model: Model, seed: Seed, *, order: int) -> Maps:
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
    """
    sampler = Sampler(run.image, run.motion, order=order)
    points = apply_affine(mask.affine, np.argwhere(mask.data))
    wanted = sphere(points, seed.center_mm, seed.radius_mm)
    course = _seed_course(sampler, map_points(run.chain, points[wanted]), model)
    values = {name: np.zeros(len(points), np.float32) for name in ("alff", "falff", "seed", "mean")}
    rank = np.zeros((len(points), len(model.band)), np.uint16)
    for part, places in chunks_of_points(points, run.chain):
        courses = sampler.courses(places)[:, model.unsteady :]
        values["mean"][part] = courses.mean(axis=1)
        values["alff"][part], values["falff"][part] = _amplitude(remove(courses, model.whole), model)
        filtered = remove(courses, model.band)
        rank[part] = ranks(filtered)
        values["seed"][part] = 0 if course is None else connectivity(filtered, course)
    # Raw units mean nothing: percent of the brain's median signal can be compared between scanners.
    values["alff"] *= 100 / max(float(np.median(values["mean"])) if len(points) else 0.0, 1e-6)
    spacing = np.maximum(np.rint(run.boldref.voxel_mm.mean() / mask.voxel_mm), 1).astype(int)
    reho = homogeneity(rank, mask.data, spacing=spacing.tolist())
    alff, falff, z = (_filled(mask.data, values[name]) for name in ("alff", "falff", "seed"))
    return Maps(alff, falff, reho, z, int(wanted.sum()))


def _amplitude(courses: NDArray, model: Model) -> tuple[NDArray, NDArray]:
    band = model.frequencies
    hz = (band.low_hz, band.high_hz)
    return amplitude(courses, repetition_time_s=band.repetition_time_s, band_hz=hz)


def _seed_course(sampler: Sampler, places: NDArray, model: Model) -> NDArray | None:
    if not len(places):
        return None
    courses = sampler.courses(places)[:, model.unsteady :]
    return remove(courses, model.band).mean(axis=0)


def _filled(mask: NDArray, values: NDArray) -> NDArray[np.float32]:
    image = np.zeros(mask.shape, np.float32)
    image[mask] = values
    return image
