"""Whether a mask can be a brain."""

import numpy as np
from numpy.typing import NDArray

from neuromoe.anat._brain import Brain
from neuromoe.anat._start import GOOD_CORRELATION, STRETCH
from neuromoe.core.images import Image

# Volumes of brains from three years of age to old age, with room for how tightly a mask is drawn, ml.
POSSIBLE_ML, USUAL_ML = (500.0, 2300.0), (800.0, 2100.0)
# Real heads and a phantom reached .8 and more; a bottle, noise and a knee .2 to .4.
NO_BRAIN_NCC, DOUBTFUL_NCC = 0.5, 0.65
NO_EDGE = 0.2
CUT_SHARE = 0.06
# No head in a scanner is turned so far: the axes are not what the header says.
TURNED_DEG = 60.0


def volume_ml(mask: NDArray, image: Image) -> float:
    """Return the volume of a mask, ml."""
    return float(mask.sum() * np.prod(image.voxel_mm) / 1000)


def cut_share(mask: NDArray, image: Image) -> float:
    """Return the share of a brain's surface that lies on the image's border.

    The surface is that of a ball of the mask's volume, which a brain's outline exceeds by little.

    Examples
    --------
    >>> round(cut_share(np.ones((4, 4, 4), bool), Image(np.zeros((4, 4, 4)), np.eye(4))), 2)
    1.24
    """
    area = 0.0
    for axis in range(3):
        face = np.prod(np.delete(image.voxel_mm, axis))
        area += face * sum(int(mask.take(side, axis=axis).sum()) for side in (0, -1))
    ball = (36 * np.pi) ** (1 / 3) * (mask.sum() * np.prod(image.voxel_mm)) ** (2 / 3)
    return float(area / max(ball, 1e-6))


def judge(brain: Brain, head: Image) -> tuple[str, list[str]]:
    """Judge a brain mask by its volume, its border and its likeness to the template: pass, warn or fail, and why."""
    fails, warnings = _failures(brain, head), _warnings(brain, head)
    return ("fail" if fails else "warn" if warnings else "pass"), [*fails, *warnings]


def _failures(brain: Brain, head: Image) -> list[str]:
    volume, numbers = volume_ml(brain.mask, head), brain.numbers
    low, high = POSSIBLE_ML
    reasons = []
    if not low <= volume <= high:
        reasons.append(f"brain volume {volume:.0f} ml is outside {low:.0f}-{high:.0f} ml")
    if numbers["detail_ncc"] < NO_BRAIN_NCC:
        reasons.append(
            f"tissue correlates with the template's by {numbers['detail_ncc']:.2f}, less than {NO_BRAIN_NCC}"
        )
    if numbers.get("edge_contrast", 0.0) < NO_EDGE:
        reasons.append(f"no dark rim around the brain: the signal falls by {numbers.get('edge_contrast', 0):.0%}")
    return reasons


def _warnings(brain: Brain, head: Image) -> list[str]:
    volume, numbers, score = volume_ml(brain.mask, head), brain.numbers, brain.scores[brain.start]
    low, high = USUAL_ML
    cut = cut_share(brain.mask, head)
    checks = [
        (not low <= volume <= high, f"brain volume {volume:.0f} ml is unusual (outside {low:.0f}-{high:.0f} ml)"),
        (
            score < GOOD_CORRELATION,
            f"the head correlates with the template's by {score:.2f}, less than {GOOD_CORRELATION}",
        ),
        (
            numbers["detail_ncc"] < DOUBTFUL_NCC,
            f"tissue correlates with the template's by {numbers['detail_ncc']:.2f}, less than {DOUBTFUL_NCC}",
        ),
        (numbers["affine_stretch"] > STRETCH, f"the affine stretches axes by {numbers['affine_stretch']:.2f}"),
        (cut > CUT_SHARE, f"the image ends in the brain: {cut:.0%} of its surface"),
        (numbers["turn_deg"] > TURNED_DEG, "the header's axes are wrong: left and right cannot be known"),
    ]
    return [reason for holds, reason in checks if holds]
