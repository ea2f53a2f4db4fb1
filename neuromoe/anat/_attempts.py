"""Registration by one setting, by a second where that is poor, and the choice between them."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromoe.anat._jacobian import determinants
from neuromoe.anat._register import brain_image, overlap, register, register_by_ants, register_by_fsl
from neuromoe.imaging.geometry import map_points
from neuromoe.imaging.images import Image
from neuromoe.imaging.template import Template
from neuromoe.imaging.transforms import Chain

DICE_WARN, DICE_FAIL, NCC_WARN, FOLDED_WARN = 0.9, 0.8, 0.6, 0.01
# What is tried where the result of a preset of greedy, or of a kind of ANTs, is poor.
SECOND = {
    "sloppy": "precise",
    "fast": "precise",
    "precise": "precise, smoother",
    "SyN": "antsRegistrationSyN[s]",
    "SyNQuick": "antsRegistrationSyN[s]",
    "antsRegistrationSyNQuickRepro[s]": "antsRegistrationSyNRepro[s]",
}


@dataclass(frozen=True)
class Settings:
    """How a brain is registered: engine, the engine's preset or kind, voxels (mm), iterations, seed."""

    engine: str
    name: str
    voxel_mm: float
    iterations: str | None
    seed: int

    @classmethod
    def of(
        cls, backend: str, preset: str, ants_transform: str, voxel_mm: float, iterations: str | None, seed: int
    ) -> "Settings":
        """Take of a step's settings those of its backend."""
        name = {"greedy": preset, "ants": ants_transform}.get(backend, backend)
        return cls(backend, name, voxel_mm, iterations, seed)


@dataclass(frozen=True, eq=False)
class Attempt:
    """A registration: its setting, both ways, and what follows from them on the template's grid.

    `points` (N, 3) is each voxel's place in the T1w, mm, found once for all maps; `volumes` (X, Y, Z) its Jacobian
    determinant; `numbers` the scores; `freer` the share of greedy's freer map in the deformation.
    """

    name: str
    chain: Chain
    inverse: Chain
    points: NDArray
    volumes: NDArray
    numbers: dict[str, float]
    freer: float = 0.0

    @property
    def score(self) -> float:
        """Overlap plus correlation less the share that is folded; an undefined correlation counts as none."""
        agreement = np.nan_to_num(self.numbers["template_ncc"], nan=-1.0)
        return float(self.numbers["template_dice"] + agreement - self.numbers["folded_share"])


def register_well(head: Image, mask: Image, template: Template, settings: Settings) -> tuple[Attempt, dict[str, Any]]:
    """Register the brain of a head to the template's, by a second setting too where the first result is poor.

    Parameters
    ----------
    head, mask : Image (X, Y, Z)
        The T1w and its brain.
    template : Template
        The target.
    settings : Settings
        Of the first attempt.

    Returns
    -------
    attempt : Attempt
        The better one.
    record : dict
        Engine and setting that were used, the share of the freer map, and the scores of all that were tried, for the
        sidecars.
    """
    tried = [_attempt(head, mask, template, settings)]
    if judge(tried[0].numbers)[0] != "pass" and settings.name in SECOND:
        second = Settings(settings.engine, SECOND[settings.name], settings.voxel_mm, None, settings.seed)
        print(f"registration once more: {second.name}", flush=True)
        try:
            tried.append(_attempt(head, mask, template, second))
        except RuntimeError as err:
            print(f"no better: {err}", flush=True)
    best = max(tried, key=lambda attempt: attempt.score)
    scores = [{"Setting": attempt.name, **attempt.numbers} for attempt in tried]
    return best, {"Engine": settings.engine, "Setting": best.name, "FreerShare": best.freer, "Tried": scores}


def _attempt(head: Image, mask: Image, template: Template, settings: Settings) -> Attempt:
    chain, inverse, freer = _ways(brain_image(head, mask), template, settings)
    return replace(assess(settings.name, (chain, inverse), head, mask, template), freer=freer)


def assess(name: str, ways: tuple[Chain, Chain], head: Image, mask: Image, template: Template) -> Attempt:
    """Score a registration by the overlap of the brains and the share of the template's brain that is folded."""
    points = map_points(ways[0], template.grid.world())
    volumes = determinants(points, template.grid)
    folded = {"folded_share": float((volumes[template.brain_mask] <= 0).mean())}
    return Attempt(name, *ways, points, volumes, overlap(head, mask, template, points) | folded)


def _ways(brain: Image, template: Template, settings: Settings) -> tuple[Chain, Chain, float]:
    if settings.engine == "fsl":
        return *register_by_fsl(brain, template), 0.0
    voxel_mm, seed = settings.voxel_mm, settings.seed
    if settings.engine == "ants":
        return *register_by_ants(brain, template, voxel_mm=voxel_mm, kind=settings.name, seed=seed), 0.0
    return register(brain, template, voxel_mm=voxel_mm, preset=settings.name, iterations=settings.iterations, seed=seed)


def judge(numbers: dict[str, float]) -> tuple[str, list[str]]:
    """Return the verdict on a registration, and its reasons.

    Examples
    --------
    >>> judge({"template_dice": 0.95, "template_ncc": 0.4, "folded_share": 0.0})
    ('warn', ["the brain correlates with the template's by 0.40, less than 0.60"])
    """
    dice, ncc, folded = (numbers[name] for name in ("template_dice", "template_ncc", "folded_share"))
    reasons = []
    if dice < DICE_WARN:
        limit = DICE_FAIL if dice < DICE_FAIL else DICE_WARN
        reasons.append(f"the brain overlaps the template's with a Dice of {dice:.2f}, less than {limit:.2f}")
    # A correlation that is not defined is poor, too.
    if not ncc >= NCC_WARN:
        reasons.append(f"the brain correlates with the template's by {ncc:.2f}, less than {NCC_WARN:.2f}")
    if folded > FOLDED_WARN:
        reasons.append(f"the map folds in {folded:.1%} of the brain, more than {FOLDED_WARN:.0%}")
    return ("fail" if dice < DICE_FAIL else "warn" if reasons else "pass"), reasons
