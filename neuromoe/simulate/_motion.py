"""Head motion: how it is drawn, and what it does to the sampled points."""

import numpy as np
from numpy.typing import NDArray

from neuromoe.imaging.geometry import rigid_matrix

QUIET_MM, STRONG_MM = 0.35, 2.5
_DEGREES_PER_MM = 0.8


def draw_motion(rng: np.random.Generator, volumes: int, *, strong: bool) -> NDArray:
    """Draw the head's position in each volume.

    A slow drift and small jitter; strong motion adds steps that stay and jerks that do not. The first volume
    is the reference.

    Parameters
    ----------
    volumes : int
        How many.
    strong : bool
        A spoilt scan.

    Returns
    -------
    array (volumes, 6)
        Translations in mm, then rotations in radians.
    """
    scales = np.array([1, 1, 1.4, 1.6, 0.7, 0.9]) * np.array([1.0] * 3 + [np.deg2rad(_DEGREES_PER_MM)] * 3)
    time = np.linspace(0, 1, volumes)[:, None]
    drift = time * rng.normal(0, 1, 6) + 0.5 * np.sin(np.pi * time * rng.uniform(1, 3, 6))
    course = QUIET_MM * (drift + 0.15 * rng.standard_normal((volumes, 6)))
    if strong:
        course += STRONG_MM * _steps_and_jerks(rng, volumes)
    return (course - course[:1]) * scales


def _steps_and_jerks(rng: np.random.Generator, volumes: int) -> NDArray:
    course = np.zeros((volumes, 6))
    events = max(volumes // 6, 2)
    for at, lasts in zip(rng.integers(1, volumes, events), rng.random(events) < 0.4, strict=True):
        course[at : None if lasts else at + 1] += rng.normal(0, 0.6, 6)
    return course


def reach_mm(parameters: NDArray) -> float:
    """Return how far a point within 150 mm of the centre of rotation may go from its reference, at most."""
    return float((np.abs(parameters[:, :3]).sum(axis=1) + 150 * np.abs(parameters[:, 3:]).sum(axis=1)).max())


def matrices(parameters: NDArray, center_mm: tuple[float, float, float]) -> NDArray:
    """Return matrices (V, 4, 4) that map the reference's world points to each volume's."""
    return np.stack([rigid_matrix(row, center_mm) for row in parameters])


def draw_scan_position(rng: np.random.Generator, center_mm: tuple[float, float, float]) -> NDArray:
    """Draw the matrix from T1w world to another scan's: the head has moved between the scans."""
    shift = np.clip(rng.normal(0, 1.5, 3), -4, 4)
    angles = np.deg2rad(np.clip(rng.normal(0, 1.2, 3), -3, 3))
    return rigid_matrix([*shift, *angles], center_mm)


def mix_poses(first: NDArray, second: NDArray, rng: np.random.Generator) -> NDArray:
    """Return the image of a head that moved while the lines of k-space were taken.

    Parameters
    ----------
    first, second : array (X, Y, Z)
        The head in its two positions.

    Returns
    -------
    array (X, Y, Z), float32
        Magnitude image with the ghosts along the second axis. The centre of k-space is from the first
        position.
    """
    k_first, k_second = np.fft.fft(first, axis=1), np.fft.fft(second, axis=1)
    lines = np.abs(np.fft.fftfreq(first.shape[1]))
    low, width = rng.uniform(0.03, 0.06), rng.uniform(0.02, 0.05)
    moved = (lines > low) & ((lines * (1 / width)).astype(int) % 2 == 0)
    return np.abs(np.fft.ifft(np.where(moved[:, None], k_second, k_first), axis=1)).astype(np.float32)
