"""Whether the gradient directions fit the image: fibres must go on along themselves."""

from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

_LEAST_FA = 0.25
_ANGLE_RAD = np.radians(30)
_OBLIQUE_RAD = np.radians(5)


@dataclass(frozen=True, eq=False)
class Orientation:
    """How well the fibres continue under the given directions and under the best other reading of them.

    Parameters
    ----------
    given, best : float
        Neighbours along a voxel's fibre that go the same way, per voxel of white matter.
    name : str
        What would make the best of it: `as given`, `flip x`, `swap x y`, ...
    matrix : array (3, 3)
        Turns the given world directions into those.
    """

    given: float
    best: float
    name: str
    matrix: NDArray


def check_orientation(directions: NDArray, fa: NDArray, affine: NDArray) -> Orientation:
    """Compare all flips and swaps of the gradients' axes by the coherence of the fibres.

    A pair of neighbouring voxels is coherent where both main directions and the line between the voxels
    lie within 30 degrees of each other; pairs count by their mean FA. The tensor turns with the gradients,
    so that one fit serves all readings.

    Parameters
    ----------
    directions : array (X, Y, Z, 3)
        Main directions along the world axes; zero where unknown.
    fa : array (X, Y, Z)
        Fractional anisotropy; zero where unknown.
    affine : array (4, 4)
        Voxel to world, mm.

    Returns
    -------
    Orientation

    References
    ----------
    Schilling KG et al. 2019, doi:10.1016/j.mri.2019.01.018; Jeurissen B et al. 2014,
    doi:10.1016/j.media.2014.05.012.
    """
    names, matrices = _readings(affine)
    white = fa > _LEAST_FA
    scores = np.zeros(len(names))
    for step in product((-1, 0, 1), repeat=3):
        if step > (0, 0, 0):
            scores += _coherent(directions, fa, white, np.array(step), affine, matrices)
    scores /= max(float(fa[white].sum()), 1e-6)
    best = int(scores.argmax())
    return Orientation(float(scores[0]), float(scores[best]), names[best], matrices[best])


def _coherent(
    directions: NDArray, fa: NDArray, white: NDArray, step: NDArray, affine: NDArray, matrices: NDArray
) -> NDArray:
    here = tuple(slice(max(-s, 0), n - max(s, 0)) for s, n in zip(step, fa.shape, strict=True))
    there = tuple(slice(max(s, 0), n - max(-s, 0)) for s, n in zip(step, fa.shape, strict=True))
    both = white[here] & white[there]
    one, other = directions[here][both], directions[there][both]
    alike = np.abs((one * other).sum(axis=1)) > np.cos(_ANGLE_RAD)
    line = affine[:3, :3] @ step
    # The angle of a turned direction with the line is that of the direction with the line turned back.
    lines_3K = (np.swapaxes(matrices, 1, 2) @ (line / np.linalg.norm(line))).T
    along = [np.abs(part[alike] @ lines_3K) > np.cos(_ANGLE_RAD) for part in (one, other)]
    weight = (fa[here][both] + fa[there][both])[alike] / 2
    return weight @ (along[0] & along[1])


def _readings(affine: NDArray) -> tuple[list[str], NDArray]:
    """Name every flip and swap of the image's axes, and world axes taken for the image's; the first is none."""
    left, _, right = np.linalg.svd(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    axes = left @ right
    names, matrices = [], []
    for order in permutations(range(3)):
        for signs in ((1, 1, 1), (-1, 1, 1), (1, -1, 1), (1, 1, -1)):
            turn = np.eye(3)[list(order)] * np.array(signs)[:, None]
            swapped = "" if order == (0, 1, 2) else f"order {' '.join('xyz'[i] for i in order)}"
            flipped = "" if sum(signs) == 3 else f"flip {'xyz'[signs.index(-1)]}"
            names.append(", ".join(word for word in (swapped, flipped) if word) or "as given")
            matrices.append(axes @ turn @ axes.T)
    nearest = np.zeros((3, 3))
    nearest[np.abs(axes).argmax(axis=0), range(3)] = 1
    oblique = axes @ (nearest * np.sign(axes)).T
    if np.arccos(np.clip((np.trace(oblique) - 1) / 2, -1, 1)) > _OBLIQUE_RAD:
        names.append("scanner axes for image axes")
        matrices.append(oblique.T)
    return names, np.stack(matrices)
