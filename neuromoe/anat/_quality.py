"""Quality numbers of a T1-weighted image, under MRIQC's names.

References
----------
.. [1] Esteban et al. (2017), MRIQC: advancing the automatic prediction of image quality in MRI from unseen sites,
   PLoS ONE 12, doi:10.1371/journal.pone.0184661.
.. [2] Mortamet et al. (2009), Automatic quality assessment in structural brain magnetic resonance imaging,
   Magnetic Resonance in Medicine 62, doi:10.1002/mrm.21992.
"""

import numpy as np
from numpy.typing import NDArray

from neuromoe.anat._brain import Brain
from neuromoe.anat._head import at_voxel_mm, foreground, stretch
from neuromoe.core.quality import energy_ratio, entropy_focus
from neuromoe.imaging.images import Image, volume_ml

TISSUES = ("csf", "gm", "wm")
SURE = 0.8
# Values of air this many robust standard deviations above the median are artefacts.
ARTEFACT_SD = 10.0


def tissue_quality(head: Image, brain: Brain, tissues: NDArray) -> dict[str, float]:
    """Return brain volume (ml), shares of the tissues, contrast and noise numbers.

    Parameters
    ----------
    head : Image (X, Y, Z)
        Bias-corrected.
    brain : Brain
        The mask and its score.
    tissues : array (3, X, Y, Z)
        Probabilities of CSF, GM and WM.

    Returns
    -------
    dict
        `snr_*`, `cnr`, `cjv`, `efc`, `fber`, `qi_1` and `icvs_*` with MRIQC's formulas, and what the mask is judged by.
    """
    values = {name: head.data[tissue > SURE] for name, tissue in zip(TISSUES, tissues, strict=True)}
    covered = foreground(head)
    air = _air(head, covered, brain.mask)
    shares = tissues.sum(axis=(1, 2, 3)) / tissues.sum()
    return {
        "brain_ml": volume_ml(brain.mask, head.affine),
        "correlation": brain.scores[brain.start],
        **{f"icvs_{name}": float(share) for name, share in zip(TISSUES, shares, strict=True)},
        **tissue_contrast(values, head.data[air]),
        "efc": entropy_focus(head.data),
        "fber": energy_ratio(head.data[covered], head.data[air]),
        "qi_1": artefact_share(head, covered, air),
        **brain.numbers,
    }


def tissue_contrast(values: dict[str, NDArray], air: NDArray) -> dict[str, float]:
    """Return signal- and contrast-to-noise ratios and the coefficient of joint variation.

    Parameters
    ----------
    values : dict of array (N,)
        Signal of `csf`, `gm` and `wm`.
    air : array (N,)
        Signal outside the head.
    """
    middle = {name: _median(some) for name, some in values.items()}
    spread = {name: float(some.std()) if some.size else float("nan") for name, some in values.items()}
    contrast = abs(middle["wm"] - middle["gm"])
    snr = {name: _ratio(middle[name], spread[name] * _sample(values[name].size)) for name in values}
    noise = np.sqrt((air.var() if air.size else 0.0) + spread["wm"] ** 2 + spread["gm"] ** 2)
    return {
        **{f"snr_{name}": value for name, value in snr.items()},
        "snr_total": float(np.mean(list(snr.values()))),
        "cnr": _ratio(contrast, noise),
        "cjv": _ratio(_robust_sd(values["wm"]) + _robust_sd(values["gm"]), contrast),
    }


def _sample(size: int) -> float:
    """Return what turns the standard deviation of all values into that of a sample."""
    return float(np.sqrt(size / max(size - 1, 1)))


def _ratio(one: float, other: float) -> float:
    return float(one / other) if other > 0 else float("nan")


def _median(values: NDArray) -> float:
    return float(np.median(values)) if values.size else float("nan")


def _robust_sd(values: NDArray) -> float:
    """Return the standard deviation that the median absolute deviation of a normal distribution tells."""
    return 1.4826 * _median(np.abs(values - _median(values))) if values.size else float("nan")


def _air(head: Image, covered: NDArray, brain: NDArray) -> NDArray:
    """Tell what was measured outside the head, no lower than the brain (X, Y, Z): zeros were written by a defacing."""
    air = ~covered & (head.data > 0)
    air[:, :, : int(np.flatnonzero(brain.any(axis=(0, 1)))[0]) if brain.any() else 0] = False
    return air


def artefact_share(head: Image, covered: NDArray, air: NDArray) -> float:
    """Return the share of the air, away from the head, that holds connected voxels far above the noise [2]_."""
    from scipy.ndimage import binary_opening, distance_transform_edt

    values = head.data[air]
    if values.size < 100:
        return 0.0
    coarse = at_voxel_mm(head.like(covered.astype(np.float32)), 4.0)
    distance = stretch(coarse.like(distance_transform_edt(coarse.data < 0.5).astype(np.float32)), head)
    bright = air & (head.data > _median(values) + ARTEFACT_SD * _robust_sd(values))
    bright = binary_opening(bright & (distance > 0.1 * distance[air].max())) & air
    return float(bright.sum() / values.size)
