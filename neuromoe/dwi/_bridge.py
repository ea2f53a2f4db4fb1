"""The offset between a shell's volumes, aligned with each other, and the b=0 volumes."""

import numpy as np
from numpy.typing import NDArray

from neuromoe.imaging.geometry import rigid_matrix, rigid_parameters
from neuromoe.imaging.images import Image
from neuromoe.registration.coregister import coregister

# Finer than for other contrasts: what smoothing lets contrast pretend to be motion shrinks with it.
_SCALES_MM = ((8.0, 4.0), (5.0, 2.0), (2.5, 1.0))
_ARC_MM = np.array([1.0, 1, 1, 50, 50, 50])
_LEAST_STEP_MM = 0.02
# One pair of volumes, as where a single b=0 volume comes first, is no evidence that the head was still.
_LEAST_OFFSETS = 3


def bridge(
    mean: Image,
    anchor: Image,
    motion: NDArray,
    found: NDArray,
    shell: NDArray,
    unweighted: NDArray,
    runs: NDArray,
    *,
    sd_mm: float,
    seed: int,
) -> NDArray:
    """Find what brings a shell as one onto the b=0 volumes, from contrast and from the order of time.

    Mutual information is biased by a tenth of a voxel or so, since the two contrasts differ; it is taken
    both ways, so that it does not matter which image is called fixed. Where b=0
    volumes lie between weighted ones, the head's own continuity tells the offset too: as exactly as the
    head is still from one volume to the next. The two are averaged, parameter by parameter, by the inverse
    of their variances.

    Parameters
    ----------
    mean, anchor : Image (X, Y, Z)
        Mean of the shell as aligned, and mean b=0 volume.
    motion : array (V, 4, 4)
        Of all volumes; that of the b=0 volumes is read.
    found : array (S, 4, 4)
        Shell world to each weighted volume's world.
    shell : int array (S,)
        The volumes of the shell.
    unweighted : int array (U,)
        The b=0 volumes.
    runs : int array (V,)
        The run of each volume; between runs nothing is continuous.
    sd_mm : float
        Standard error of the offset by mutual information; rotations as arcs of 50 mm.
    seed : int
        Of the registration.

    Returns
    -------
    array (4, 4)
        World points of the anchor to world points of the shell's mean.
    """
    center = anchor.grid.center_mm
    by_contrast = _both_ways(mean, anchor, center, seed)
    place = {int(volume): row for row, volume in enumerate(shell)}
    beside = [(v, v + 1) for v in range(len(runs) - 1) if runs[v] == runs[v + 1]]
    steps = [np.linalg.inv(found[place[a]]) @ found[place[b]] for a, b in beside if a in place and b in place]
    either_way = [pair for a, b in beside for pair in ((a, b), (b, a))]
    offsets = [np.linalg.inv(found[place[w]]) @ motion[u] for w, u in either_way if w in place and u in unweighted]
    if len(offsets) < _LEAST_OFFSETS or not steps:
        return by_contrast
    variance = (_parameters(steps, center) ** 2).mean(axis=0) + _LEAST_STEP_MM**2
    share = sd_mm**2 / (sd_mm**2 + variance / len(offsets))
    merged = share * _parameters(offsets, center).mean(axis=0) + (1 - share) * _parameters([by_contrast], center)[0]
    return rigid_matrix(merged / _ARC_MM, center)


def _both_ways(mean: Image, anchor: Image, center_mm: NDArray, seed: int) -> NDArray:
    # Points are drawn in the fixed image and the other one is interpolated: which is which must not matter.
    forward = coregister(mean, anchor, seed=seed, search=False, scales_mm=_SCALES_MM).matrix
    backward = np.linalg.inv(coregister(anchor, mean, seed=seed, search=False, scales_mm=_SCALES_MM).matrix)
    both = [rigid_parameters(matrix, center_mm) for matrix in (forward, backward)]
    return rigid_matrix(np.mean(both, axis=0), center_mm)


def _parameters(matrices: list[NDArray], center_mm: NDArray) -> NDArray:
    return np.stack([rigid_parameters(matrix, center_mm) for matrix in matrices]) * _ARC_MM
