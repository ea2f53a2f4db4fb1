"""Where the registration of a head to the template's head may start, and which start is best."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from neuromoe.anat._head import HEIGHT_MM, at_voxel_mm, foreground
from neuromoe.imaging.geometry import map_points, rotation_matrix
from neuromoe.imaging.images import Image, sample
from neuromoe.imaging.transforms import Affine, Chain
from neuromoe.registration.greedy import greedy_affine

# After an affine the details of heads laid rightly correlated by .56 and more, with vast ventricles by .47; of heads
# laid wrongly below .2.
GOOD_SCORE = 0.45
UP = np.array([0.0, 0.0, 1.0])
SCAN_MM = 8.0
# Heads differ from the template by less than this: factor of the volume, and the longest over the shortest axis.
VOLUME_FACTOR, STRETCH = (0.3, 1.6), 1.45
_SMALL_TURNS = {
    "level": (0, 0, 0),
    "chin down": (-15, 0, 0),
    "chin up": (15, 0, 0),
    "chin far down": (-35, 0, 0),
    "chin far up": (35, 0, 0),
    "turned left": (0, 0, 30),
    "turned right": (0, 0, -30),
    "leaning left": (0, -25, 0),
    "leaning right": (0, 25, 0),
}


@dataclass(frozen=True, eq=False)
class Alignment:
    """A linear registration of one head to the template's.

    Parameters
    ----------
    start : str
        How the head was laid at first.
    moving : Image (X, Y, Z)
        The head on coarse voxels, without its neck.
    affine : Affine
        World points of the template to world points of the head.
    correlation : float
        Of the heads.
    score : float
        Correlation of the details inside the brain, less what the affine exaggerates.
    """

    start: str
    moving: Image
    affine: Affine
    correlation: float
    score: float

    @property
    def turn_deg(self) -> float:
        """Angle between the head and the template, degrees."""
        left, _, right = np.linalg.svd(self.affine.matrix[:3, :3])
        return float(np.rad2deg(np.arccos(np.clip((np.trace(left @ right) - 1) / 2, -1, 1))))


def align(target: Image, inside: NDArray, heads: dict[str, Image], seed: int) -> tuple[Alignment, dict[str, float]]:
    """Register a head linearly to the template's from one start after the other until one is good.

    Parameters
    ----------
    target : Image (X, Y, Z)
        The template's head on coarse voxels.
    inside : array (X, Y, Z) of bool
        The template's brain.
    heads : dict
        `cropped`, without the neck, and `whole`, the person's head on the same coarse voxels.
    seed : int
        Of the registration.

    Returns
    -------
    best : Alignment
        By score.
    correlations : dict
        Correlation of the heads after each start that was tried.
    """
    tried: list[Alignment] = []
    for name in ("level", "chin down", "chin up"):
        turn = rotation_matrix(np.deg2rad(_SMALL_TURNS[name]))
        tried.append(_finish(name, target, inside, heads["cropped"], turn, seed))
        if tried[-1].score >= GOOD_SCORE:
            break
    else:
        for name, turn in _promising(target, inside, heads["whole"], seed):
            tried.append(_finish(name, target, inside, _without_neck(heads["whole"], turn), turn, seed))
    return max(tried, key=lambda one: one.score), {one.start: one.correlation for one in tried}


def _promising(target: Image, inside: NDArray, head: Image, seed: int, keep: int = 2) -> list[tuple[str, NDArray]]:
    """Scan all starts on very coarse voxels and name the best."""
    coarse, whole = at_voxel_mm(target, SCAN_MM), at_voxel_mm(head, SCAN_MM)
    brain = at_voxel_mm(target.like(inside.astype(np.float32)), SCAN_MM).data > 0.5
    scores = {}
    for name, turn in _turns():
        moving = _without_neck(whole, turn)
        affine = linear(coarse, moving, laid(coarse, moving, turn), dof=7, iterations="40", seed=seed)
        scores[name] = rate(coarse, moving, affine, brain)
    turns = dict(_turns())
    return [(name, turns[name]) for name in sorted(scores, key=lambda name: -scores[name])[:keep]]


def _turns() -> Iterator[tuple[str, NDArray]]:
    """Yield small turns and the 23 ways to take the image's axes for others, mirrors left out."""
    for name, degrees in _SMALL_TURNS.items():
        yield name, rotation_matrix(np.deg2rad(degrees))
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        matrix = np.zeros((3, 3))
        matrix[range(3), order] = signs
        if np.linalg.det(matrix) > 0 and not np.array_equal(matrix, np.eye(3)):
            yield f"axes {''.join(f'{sign * (axis + 1):+d}' for sign, axis in zip(signs, order, strict=True))}", matrix


def laid(target: Image, moving: Image, turn: NDArray) -> Affine:
    """Lay the tops of the heads on each other, turned by `turn` (3, 3)."""
    there, here = _anchor(target, UP), _anchor(moving, turn @ UP)
    matrix = np.eye(4)
    matrix[:3, :3] = turn
    matrix[:3, 3] = here - turn @ there
    return Affine(matrix)


def _anchor(head: Image, up: NDArray) -> NDArray:
    """Return the middle of the uppermost 130 mm of the head, mm (3,)."""
    points = head.grid.world()[foreground(head).ravel()]
    height = points @ up
    return points[height > height.max() - 130].mean(axis=0)


def _without_neck(head: Image, turn: NDArray) -> Image:
    """Set to zero what lies further below the top than a head reaches, if `turn` tells where the top is."""
    height = head.grid.world() @ (turn @ UP)
    top = height[foreground(head).ravel()].max()
    return head.like(np.where((height > top - HEIGHT_MM).reshape(head.data.shape), head.data, 0))


def linear(target: Image, moving: Image, start: Affine, **settings) -> Affine:
    """Register linearly; what has nothing in common with the target stays where it started."""
    try:
        return greedy_affine(target, moving, initial=start, **settings)
    except RuntimeError:
        return start


def _finish(name: str, target: Image, inside: NDArray, moving: Image, turn: NDArray, seed: int) -> Alignment:
    start = laid(target, moving, turn)
    similarity = linear(target, moving, start, dof=7, iterations="60x30", seed=seed)
    affine = linear(target, moving, similarity, iterations="60x30", seed=seed)
    score, affine = better(target, moving, similarity, affine, inside)
    return Alignment(name, moving, affine, correlation(target, moving, (affine,)), score)


def better(target: Image, moving: Image, one: Affine, other: Affine, inside: NDArray) -> tuple[float, Affine]:
    """Return the score of the better of two linear maps, and that map: a longer search may run away."""
    scores = [rate(target, moving, affine, inside) for affine in (one, other)]
    return (scores[0], one) if scores[0] > scores[1] else (scores[1], other)


def rate(target: Image, moving: Image, affine: Affine, inside: NDArray) -> float:
    """Return the score by which linear maps are compared.

    A head that is laid wrongly correlates with the template's nearly as well as one laid rightly; its details do not.
    """
    return detail_correlation(target, moving, (affine,), inside) - exaggeration(affine)


def exaggeration(affine: Affine) -> float:
    """Return by how much the logarithms of volume and stretch leave what heads differ by; 0 if they do not."""
    scales = np.linalg.svd(affine.matrix[:3, :3], compute_uv=False)
    volume, low, high = np.log(scales.prod()), *np.log(VOLUME_FACTOR)
    stretch = np.log(scales[0] / scales[-1]) - np.log(STRETCH)
    return float(max(0, low - volume, volume - high) + max(0, stretch))


def correlation(target: Image, moving: Image, chain: Chain, inside: NDArray | None = None) -> float:
    """Correlate two images where `inside` (default: where the target is above zero); 0 where nothing varies."""
    inside = target.data > 0 if inside is None else inside
    values = sample(moving, map_points(chain, target.grid.world()[inside.ravel()]))
    expected = target.data[inside]
    if values.std() == 0 or expected.std() == 0:
        return 0.0
    return float(np.corrcoef(expected, values)[0, 1])


def detail_correlation(target: Image, moving: Image, chain: Chain, inside: NDArray, *, wide_mm: float = 12.0) -> float:
    """Correlate what is left of two brains without their slow changes and without their rim.

    Any bright thing with a dark rim correlates with a head; tissue and ventricles in their places are a brain's own.

    Parameters
    ----------
    target, moving : Image (X, Y, Z)
        The template's head and a person's.
    chain : tuple of transforms
        World points of `target` to world points of `moving`.
    inside : array (X, Y, Z) of bool
        The template's brain.
    wide_mm : float, default=12
        Changes slower than this standard deviation are taken out, mm.
    """
    from scipy.ndimage import binary_erosion, gaussian_filter

    moved = sample(moving, map_points(chain, target.grid.world())).reshape(target.data.shape)
    core = binary_erosion(inside, iterations=max(1, round(6.0 / target.voxel_mm.min())))
    sigma = wide_mm / target.voxel_mm
    amount = gaussian_filter(core.astype(np.float32), sigma) + 1e-3
    one, other = (image - gaussian_filter(image * core, sigma) / amount for image in (target.data, moved))
    if not core.any() or other[core].std() == 0:
        return 0.0
    return float(np.corrcoef(one[core], other[core])[0, 1])
