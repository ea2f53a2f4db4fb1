"""The resting BOLD scan: networks, drift, pulse and motion, each slice taken at its own time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuromoe.imaging.geometry import Grid
from neuromoe.simulate._motion import draw_motion, draw_scan_position, matrices, reach_mm
from neuromoe.simulate._person import Anatomy
from neuromoe.simulate._places import NETWORKS
from neuromoe.simulate._plan import ImagePlan, site_of
from neuromoe.simulate._properties import Properties
from neuromoe.simulate._sampling import reached, sample_voxels, scan_grid
from neuromoe.simulate._signal import as_stored, rician, shading

WHITE_MATTER = 0.62
BAND_HZ = (0.01, 0.08)
_WAVES = 24
_PULSE_HZ = (0.2, 0.35)
_SHARED = 0.7  # Share of the striatal time course that it has in common with the motor network's.
_DRIFT = 0.01


@dataclass(frozen=True, eq=False)
class BoldScan:
    """A BOLD image as it is stored, and what is true about it.

    Parameters
    ----------
    stored : array (X, Y, Z, V), int16
        The image.
    motion, parameters, to_reference
        As in `DwiScan`.
    courses : array (V, K)
        The networks' time courses at the start of each volume.
    drift : array (V,)
        Factor on every voxel.
    """

    grid: Grid
    stored: NDArray
    motion: NDArray
    parameters: NDArray
    to_reference: NDArray
    mask: NDArray
    courses: NDArray
    drift: NDArray


@dataclass(frozen=True, eq=False)
class Waves:
    """Time courses of K sources as sums of sinusoids, so that they are known at any time.

    Parameters
    ----------
    frequencies_hz, phases_rad, amplitudes : array (K, W)
        Of each wave.
    """

    frequencies_hz: NDArray
    phases_rad: NDArray
    amplitudes: NDArray

    def at(self, time_s: NDArray) -> NDArray:
        """Return the courses (..., K) at times (...)."""
        angle = 2 * np.pi * self.frequencies_hz * np.asarray(time_s)[..., None, None] + self.phases_rad
        return (self.amplitudes * np.sin(angle)).sum(axis=-1)


def draw_waves(rng: np.random.Generator) -> Waves:
    """Draw the networks' courses and the pulse: standard deviation 1 each, the networks within `BAND_HZ`."""
    names = list(NETWORKS)
    frequencies = rng.uniform(*BAND_HZ, (len(names), _WAVES))
    phases = rng.uniform(0, 2 * np.pi, (len(names), _WAVES))
    amplitudes = np.full((len(names), 2 * _WAVES), np.sqrt(2 / _WAVES))
    # Two halves: the source's own waves and, for the striatum, the motor network's.
    frequencies, phases = np.tile(frequencies, 2), np.tile(phases, 2)
    amplitudes[:, _WAVES:] = 0
    striatal, motor = names.index("striatal"), names.index("motor")
    frequencies[striatal, _WAVES:], phases[striatal, _WAVES:] = (
        frequencies[motor, :_WAVES],
        phases[motor, :_WAVES],
    )
    amplitudes[striatal, _WAVES:] = _SHARED * amplitudes[motor, 0]
    amplitudes[striatal, :_WAVES] *= np.sqrt(1 - _SHARED**2)
    pulse = np.zeros((3, 1, 2 * _WAVES))
    pulse[0, 0, :3], pulse[1, 0, :3] = rng.uniform(*_PULSE_HZ, 3), rng.uniform(0, 2 * np.pi, 3)
    pulse[2, 0, :3] = np.sqrt(2 / 3)
    return Waves(*(np.concatenate(pair) for pair in zip((frequencies, phases, amplitudes), pulse, strict=True)))


def scan_bold(anatomy: Anatomy, properties: Properties, image: ImagePlan) -> BoldScan:
    """Take the resting run of a person."""
    site, grid = site_of(anatomy.person), scan_grid(image)
    strong = "func" in anatomy.person.corrupted
    parameters = draw_motion(anatomy.rng("func motion"), image.volumes, strong=strong)
    motion = matrices(parameters, image.center_mm)
    to_reference = draw_scan_position(anatomy.rng("func position"), image.center_mm)
    waves, channels = draw_waves(anatomy.rng("func networks")), properties.bold()
    drift = _drift(anatomy.rng("func drift"), image.volumes)
    bias = shading(anatomy.rng("func bias"), grid, site.bias / 2, order=2)
    rng, sd = anatomy.rng("func noise"), 0.4 * site.noise * WHITE_MATTER
    slice_times = np.array(image.slice_times_s or [0.0] * grid.shape[2])
    head = reached(channels, grid, np.linalg.inv(to_reference), reach_mm(parameters))
    slices = head.flat % grid.shape[2]
    stored = np.empty((*grid.shape, image.volumes), np.int16)
    for volume in range(image.volumes):
        values = sample_voxels(channels, head, np.linalg.inv(motion[volume] @ to_reference))
        courses = waves.at(volume * image.repetition_time_s + slice_times).astype(np.float32)
        signal = head.spread(values[:, 0] + np.einsum("nk,nk->n", values[:, 1:], courses[slices]))
        signal *= bias * np.float32(drift[volume])
        stored[..., volume] = as_stored(rician(signal, sd, rng), WHITE_MATTER)
    mask = properties.brain_on(grid, np.linalg.inv(to_reference))
    courses = waves.at(np.arange(image.volumes) * image.repetition_time_s)[:, : len(NETWORKS)]
    return BoldScan(grid, stored, motion, parameters, to_reference, mask, courses, drift)


def _drift(rng: np.random.Generator, volumes: int) -> NDArray:
    """Draw the scanner's slow drift: a slope, a bend and half a wave."""
    time = np.linspace(-1, 1, volumes)
    slope, bend, wave = rng.normal(0, _DRIFT, 3)
    return 1 + slope * time + bend * (time**2 - 1 / 3) + wave * np.sin(np.pi * time / 2 + 1)
