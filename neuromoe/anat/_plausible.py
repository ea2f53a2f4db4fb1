"""Whether a mask can be a brain."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from neuromoe.anat._brain import Brain
from neuromoe.anat._start import STRETCH
from neuromoe.core.quality import worst
from neuromoe.imaging.images import Image, volume_ml

# Volumes of brains from three years of age to old age, with room for how tightly a mask is drawn, ml.
POSSIBLE_ML, USUAL_ML = (500.0, 2300.0), (800.0, 2100.0)
# Real heads and a phantom reached .8 and more; a bottle, noise and a knee .2 to .4.
NO_BRAIN_NCC, DOUBTFUL_NCC = 0.5, 0.65
GOOD_CORRELATION = 0.6
NO_EDGE = 0.2
LIKE_TEMPLATE = 0.85
# Six heads cut by 10 mm at the top had .046 to .089, uncut brains .003 at most, a cut through the brain stem .01.
CUT_SHARE = 0.03
# No head in a scanner is turned so far: the axes are not what the header says.
TURNED_DEG = 60.0


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
    found = [*_by_size(brain.mask, head), *_by_likeness(brain.numbers), *_by_place(brain)]
    found.sort(key=lambda one: one[0] != "fail")
    return worst([verdict for verdict, _ in found]), [reason for _, reason in found]


def _by_size(mask: NDArray, head: Image) -> Iterator[tuple[str, str]]:
    volume, cut = volume_ml(mask, head.affine), cut_share(mask, head)
    for verdict, word, (low, high) in (("fail", "impossible", POSSIBLE_ML), ("warn", "unusual", USUAL_ML)):
        if not low <= volume <= high:
            yield verdict, f"brain volume {volume:.0f} ml is {word} (outside {low:.0f}-{high:.0f} ml)"
            break
    if cut > CUT_SHARE:
        yield "warn", f"the image ends in the brain: {cut:.0%} of its surface"


def _by_likeness(numbers: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    detail = numbers["detail_ncc"]
    if detail < DOUBTFUL_NCC:
        verdict, limit = ("fail", NO_BRAIN_NCC) if detail < NO_BRAIN_NCC else ("warn", DOUBTFUL_NCC)
        yield verdict, f"tissue correlates with the template's by {detail:.2f}, less than {limit}"
    if numbers.get("edge_contrast", NO_EDGE) < NO_EDGE:
        yield "fail", f"no dark rim around the brain: the signal falls by {numbers['edge_contrast']:.0%}"
    if numbers.get("template_dice", 1.0) < LIKE_TEMPLATE:
        yield "warn", f"the mask overlaps the template's by {numbers['template_dice']:.2f}, less than {LIKE_TEMPLATE}"


def _by_place(brain: Brain) -> Iterator[tuple[str, str]]:
    score, numbers = brain.scores[brain.start], brain.numbers
    if score < GOOD_CORRELATION:
        yield "warn", f"the head correlates with the template's by {score:.2f}, less than {GOOD_CORRELATION}"
    if numbers["affine_stretch"] > STRETCH:
        yield "warn", f"the affine stretches axes by {numbers['affine_stretch']:.2f}"
    if numbers["turn_deg"] > TURNED_DEG:
        yield "warn", "the header's axes are wrong: left and right cannot be known"
