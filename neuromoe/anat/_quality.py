"""Quality numbers of a T1-weighted image, after MRIQC.

References
----------
.. [1] Esteban et al. (2017), MRIQC: advancing the automatic prediction of image quality in MRI from unseen sites,
   PLoS ONE 12, doi:10.1371/journal.pone.0184661.
"""

import numpy as np
from numpy.typing import NDArray

from neuromoe.anat._brain import Brain
from neuromoe.anat._head import foreground
from neuromoe.anat._plausible import volume_ml
from neuromoe.core.images import Image


def tissue_quality(head: Image, brain: Brain, tissues: NDArray) -> dict[str, float]:
    """Return brain volume (ml), tissue fractions, contrast and noise numbers.

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
        `cnr` and `cjv` as MRIQC defines them, `snr_wm`, `efc`, and what the mask is judged by.
    """
    csf, gm, wm = (head.data[tissue > 0.8] for tissue in tissues)
    # Air around a defaced head holds zeros written by the defacing: only what was measured is noise.
    measured = head.data[~foreground(head) & (head.data > 0)]
    air_sd = float(measured.std()) if measured.size else 0.0
    contrast = abs(_mean(wm) - _mean(gm))
    return {
        "brain_ml": volume_ml(brain.mask, head),
        "correlation": brain.scores[brain.start],
        "csf_fraction": float(tissues[0].sum() / tissues.sum()),
        "gm_fraction": float(tissues[1].sum() / tissues.sum()),
        "wm_fraction": float(tissues[2].sum() / tissues.sum()),
        "cnr": contrast / float(np.sqrt(air_sd**2 + _sd(wm) ** 2 + _sd(gm) ** 2)),
        "cjv": (_sd(wm) + _sd(gm)) / contrast,
        "snr_wm": _mean(wm) / _sd(wm),
        "efc": entropy_focus(head.data),
        **brain.numbers,
    }


def _mean(values: NDArray) -> float:
    return float(values.mean()) if values.size else float("nan")


def _sd(values: NDArray) -> float:
    return float(values.std()) if values.size else float("nan")


def entropy_focus(data: NDArray) -> float:
    """Return the entropy focus criterion: 0 if all energy is in one voxel, 1 if it is spread evenly.

    Examples
    --------
    >>> round(entropy_focus(np.ones((4, 4, 4))), 3)
    1.0
    """
    values = np.abs(data[data != 0]).astype(float)
    energy = np.sqrt((values**2).sum())
    share = values / energy
    most = np.sqrt(data.size) * np.log(np.sqrt(data.size))
    return float(-(share * np.log(share)).sum() / most)
