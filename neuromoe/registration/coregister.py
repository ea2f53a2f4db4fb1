"""Linear registration of an echo-planar image to an anatomical one, from several starts.

One start is a trap: headers are wrong now and then, and centres of mass lie off where the neck is long or the
slab thin. Every start is scored by the same measure, the best is refined, and which it was is recorded.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromoe.imaging.geometry import apply_affine, rigid_matrix
from neuromoe.imaging.images import Image
from neuromoe.registration._levels import LEAST_OVERLAP, SCALES_MM, Level, make_levels, thin

# Turns radians and logarithms of scale into the millimetres that they move a point 60 mm from the centre.
_ARM_MM = 60.0
_SHIFTS_MM, _TURNS_RAD = 10.0, 0.2
_ASIDE_MM = 4.0


@dataclass(frozen=True, eq=False)
class Coregistration:
    """A linear map between two images and how it was found.

    Parameters
    ----------
    matrix : array (4, 4)
        Fixed world to moving world, mm (RAS+): what resampling the moving image onto the fixed grid needs.
    score : float
        Mutual information over the fixed image's entropy, 0 to 1.
    start : str
        The start that led there: `header` or `centers`, with the shift or turn added to it.
    scores : mapping of str to float
        The score that every refined start ended at.
    overlap : float
        Share of the fixed points inside the moving field of view.
    lost : float
        How much of the score is lost, on the mean, 4 mm aside along each axis: images of one head fit at one place
        alone, those of two heads almost as well beside it.
    """

    matrix: NDArray
    score: float
    start: str
    scores: Mapping[str, float] = field(default_factory=dict)
    overlap: float = 1.0
    lost: float = 1.0


def coregister(
    moving: Image,
    fixed: Image,
    *,
    moving_mask: Image | None = None,
    fixed_mask: Image | None = None,
    dof: int = 6,
    seed: int = 0,
    max_shift_mm: float = 30.0,
    search: bool = True,
    scales: int = 3,
    scales_mm: tuple[tuple[float, float], ...] = SCALES_MM,
) -> Coregistration:
    """Lay an image of another contrast onto an anatomical one.

    Mutual information, at points drawn in the fixed mask and a rim around it, is climbed from the header's
    own position, from the masks' centres laid on each other, and from small shifts and turns around both.

    Parameters
    ----------
    moving : Image (X, Y, Z)
        The b0 or the mean BOLD volume.
    fixed : Image (X, Y, Z)
        The T1w.
    moving_mask, fixed_mask : Image, optional
        Brain masks. Without one, the voxels above the image's mean.
    dof : int, default=6
        6 rigid, 9 with scales, 12 affine.
    seed : int, default=0
        Seed of the points' jitter.
    max_shift_mm : float, default=30
        The farthest that the brain's centre may move from its start along one axis.
    search : bool, default=True
        False starts from the header alone: for volumes of one scan, which lie near each other.
    scales : int, default=3
        2 leaves out the finest, which costs most and which alone uses more than 6 degrees of freedom.
    scales_mm : tuple of (float, float), default=((8, 4), (5, 2), (3.5, 1.5))
        Distance of the points and standard deviation of the smoothing, coarse to fine.

    Returns
    -------
    Coregistration

    References
    ----------
    Mattes D et al. 2003, doi:10.1109/TMI.2003.809072 (the measure); Jenkinson M et al. 2002,
    doi:10.1006/nimg.2002.1132 (several starts).
    """
    if dof not in (6, 9, 12):
        raise ValueError(f"dof is 6, 9 or 12, not {dof}")
    fixed_brain, moving_brain = _brains(fixed, fixed_mask, moving, moving_mask)
    center = _center_mm(fixed_brain)
    starts = _starts(_center_mm(moving_brain) - center, center) if search else {"header": np.eye(4)}
    levels = make_levels(moving, moving_brain, fixed, fixed_brain, scales_mm[:scales], seed)
    return _Search(center, dof, max_shift_mm).run(levels, starts)


def rate(
    matrix: NDArray,
    moving: Image,
    fixed: Image,
    *,
    start: str,
    moving_mask: Image | None = None,
    fixed_mask: Image | None = None,
    seed: int = 0,
) -> Coregistration:
    """Score a map that another program found, as :func:`coregister` scores its own.

    Parameters
    ----------
    matrix : array (4, 4)
        Fixed world to moving world, mm.
    moving, fixed : Image (X, Y, Z)
        The images.
    start : str
        Name of the program.
    moving_mask, fixed_mask : Image, optional
        Brain masks.
    seed : int, default=0
        Seed of the points' jitter.
    """
    fixed_brain, moving_brain = _brains(fixed, fixed_mask, moving, moving_mask)
    finest = make_levels(moving, moving_brain, fixed, fixed_brain, SCALES_MM, seed)[-1]
    score, _, overlap = finest.score(matrix)
    return Coregistration(matrix, score, start, {start: score}, overlap, _lost_aside(finest, matrix))


def lay_on_t1w(
    image: Image,
    t1w: Image,
    *,
    moving_mask: Image,
    fixed_mask: Image | None,
    white: Image | None = None,
    seed: int = 0,
    max_shift_mm: float = 30.0,
) -> Coregistration:
    """Lay an echo-planar image rigidly on the T1w: by :func:`coregister`, or with its white matter by FSL's epi_reg.

    Parameters
    ----------
    image, t1w : Image (X, Y, Z)
        The images.
    moving_mask, fixed_mask : Image
        Their brain masks; without the T1w's, epi_reg cannot run.
    white : Image, optional
        White matter of the T1w.
    seed, max_shift_mm
        See :func:`coregister`.
    """
    masks: dict[str, Any] = {"moving_mask": moving_mask, "fixed_mask": fixed_mask}
    if white is None or fixed_mask is None:
        return coregister(image, t1w, seed=seed, max_shift_mm=max_shift_mm, **masks)
    from neuromoe.fsl import epi_reg

    place = epi_reg(image, t1w, fixed_mask.data > 0.5, white.data > 0.5)
    return rate(place.matrix, image, t1w, start="epi_reg", seed=seed, **masks)


def _brains(fixed: Image, fixed_mask: Image | None, moving: Image, moving_mask: Image | None) -> tuple[Image, Image]:
    inside = fixed_mask.data > 0.5 if fixed_mask is not None else fixed.data > fixed.data.mean()
    fixed_brain = Image(inside, fixed_mask.affine if fixed_mask is not None else fixed.affine)
    moving_brain = moving_mask if moving_mask is not None else moving.like(moving.data > moving.data.mean())
    return _thinned(fixed_brain), _thinned(moving_brain)


@dataclass(frozen=True)
class _Search:
    center: NDArray
    dof: int
    max_shift_mm: float

    def run(self, levels: list[Level], starts: dict[str, NDArray]) -> Coregistration:
        coarse, middle, fine = levels[0], levels[1], levels[-1]
        first = {name: coarse.score(matrix) for name, matrix in starts.items()}
        usable = [name for name, (_, _, overlap) in first.items() if overlap >= LEAST_OVERLAP]
        best = sorted(usable or first, key=lambda name: -first[name][0])
        kept = list(dict.fromkeys([name for name in ("header", "centers") if name in best] + best[:8]))
        climbed = {name: self.climb(coarse, starts[name], np.zeros(6), 40) for name in kept}
        few = self.distinct(coarse, starts, climbed, 4)
        climbed = {name: self.climb(middle, starts[name], climbed[name], 40) for name in few}
        scores = {name: middle.score(self.place(starts[name], found))[0] for name, found in climbed.items()}
        start = max(scores, key=lambda name: scores[name])
        parameters = climbed[start]
        if len(levels) > 2:
            wider = np.concatenate([parameters, np.zeros(self.dof - 6)])
            parameters = self.climb(fine, starts[start], wider, 60)
        matrix = self.place(starts[start], parameters)
        score, _, overlap = fine.score(matrix)
        return Coregistration(matrix, score, start, scores, overlap, _lost_aside(fine, matrix))

    def place(self, start: NDArray, parameters: NDArray) -> NDArray:
        return start @ _matrix(parameters, self.center)

    def climb(self, level: Level, start: NDArray, parameters: NDArray, iterations: int) -> NDArray:
        from scipy.optimize import minimize

        level = level.held(self.place(start, parameters))

        def cost(parameters: NDArray) -> tuple[float, NDArray]:
            score, gradient, _ = level.score(self.place(start, parameters))
            return -score, -_chain_rule(gradient, start, parameters, self.center)

        limits = [self.max_shift_mm] * 3 + [0.6 * _ARM_MM] * 3 + [0.2 * _ARM_MM] * (len(parameters) - 6)
        found = minimize(
            cost, parameters, jac=True, method="L-BFGS-B", bounds=[(-limit, limit) for limit in limits],
            options={"maxiter": iterations, "ftol": 1e-7, "gtol": 1e-6},
        )  # fmt: skip
        return found.x

    def distinct(self, level: Level, starts: dict[str, NDArray], climbed: dict[str, NDArray], count: int) -> list[str]:
        # The best that differ: starts which met at one place need no further look each.
        corners = self.center + _ARM_MM * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
        places = {name: self.place(starts[name], found) for name, found in climbed.items()}
        kept: dict[str, NDArray] = {}
        for name in sorted(places, key=lambda name: -level.score(places[name])[0]):
            moved = apply_affine(places[name], corners)
            apart = [np.linalg.norm(other - moved, axis=1).max() for other in kept.values()]
            if len(kept) < count and min(apart, default=np.inf) > 2.0:
                kept[name] = moved
        return list(kept)


def _lost_aside(level: Level, matrix: NDArray) -> float:
    aside = [rigid_matrix([*(sign * _ASIDE_MM * axis), 0, 0, 0]) @ matrix for axis in np.eye(3) for sign in (-1, 1)]
    level = level.held(matrix)
    return float(level.score(matrix)[0] - np.mean([level.score(place)[0] for place in aside]))


def _matrix(parameters: NDArray, center: NDArray) -> NDArray:
    full = np.zeros(12)
    full[: len(parameters)] = parameters
    full[3:] /= _ARM_MM
    stretch = np.eye(4)
    stretch[:3, :3] = np.diag(np.exp(full[6:9]))
    stretch[0, 1], stretch[0, 2], stretch[1, 2] = full[9:12]
    stretch[:3, 3] = center - stretch[:3, :3] @ center
    return rigid_matrix(full[:6], center) @ stretch


def _chain_rule(gradient: NDArray, start: NDArray, parameters: NDArray, center: NDArray) -> NDArray:
    # Twelve small matrices: central differences are exact to 1e-9 and spare the formulas.
    step = 1e-4
    slopes = []
    for index in range(len(parameters)):
        shift = np.zeros(len(parameters))
        shift[index] = step
        difference = _matrix(parameters + shift, center) - _matrix(parameters - shift, center)
        slopes.append((gradient * (start @ difference)[:3]).sum() / (2 * step))
    return np.array(slopes)


def _starts(shift_mm: NDArray, center: NDArray) -> dict[str, NDArray]:
    starts = {}
    for base, translation in (("header", np.zeros(3)), ("centers", shift_mm)):
        origin = np.eye(4)
        origin[:3, 3] = translation
        starts[base] = origin
        for axis in range(6):
            for sign in (-1, 1):
                parameters = np.zeros(6)
                parameters[axis] = sign * (_SHIFTS_MM if axis < 3 else _TURNS_RAD)
                label = f"{base}{'+' if sign > 0 else '-'}{('x', 'y', 'z', 'rx', 'ry', 'rz')[axis]}"
                starts[label] = origin @ rigid_matrix(parameters, center)
    return starts


def _thinned(mask: Image) -> Image:
    """Shrink a mask to about 3 mm, unless it is so scattered that nothing would be left."""
    shrunk = thin(mask, 3.0)
    return shrunk if (shrunk.data > 0.5).any() else mask


def _center_mm(mask: Image) -> NDArray:
    inside = np.argwhere(mask.data > 0.5)
    middle = inside.mean(axis=0) if len(inside) else (np.array(mask.data.shape) - 1) / 2
    return apply_affine(mask.affine, middle)
