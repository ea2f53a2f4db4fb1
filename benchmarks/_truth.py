"""How far results are from a phantom's truth."""

import numpy as np
from _cases import Case
from numpy.typing import NDArray

from neuromoe.imaging.geometry import apply_affine, map_points
from neuromoe.imaging.images import Image, dice, load_image, resample
from neuromoe.imaging.template import Template
from neuromoe.imaging.transforms import Chain, read_affines, read_transform


def truth_on(case: Case, modality: str, ending: str, image: Image) -> NDArray:
    """Bring an image of the truth onto the grid of a result."""
    path = next((case.truth / modality).glob(f"*{ending}"))
    return resample(load_image(path), image.grid)


def mask_dice(case: Case, mask: Image) -> float:
    """Compare a mask of the T1w with the true brain."""
    return dice(mask.data > 0.5, truth_on(case, "anat", "_desc-brain_mask.nii.gz", mask) > 0.5)


def registration_mm(case: Case, chain: Chain) -> float:
    """Send the template's brain to the T1w by `chain` and back by the truth; return the mean distance, mm."""
    template = Template.load(case.template)
    points = template.grid.world()[template.brain_mask.ravel()]
    true = read_transform(next((case.truth / "anat").glob("*_from-MNI*_to-T1w_*.h5")))
    return float(np.linalg.norm(map_points(true, map_points(chain, points)) - points, axis=1).mean())


def motion_mm(case: Case, modality: str, motion: NDArray) -> float:
    """Return the mean error of brain points over all volumes, each seen from the first volume, mm."""
    true = read_affines(next((case.truth / modality).glob("*_from-orig_to-*ref_*.txt")))[: len(motion)]
    mask = load_image(next((case.truth / modality).glob("*_desc-brain_mask.nii.gz")))
    points = mask.grid.world()[mask.data.ravel() > 0.5][::20]
    found, expected = (matrices @ np.linalg.inv(matrices[0]) for matrices in (motion, true))
    errors = [np.linalg.norm(apply_affine(a, points) - apply_affine(b, points), axis=1).mean()
              for a, b in zip(found, expected, strict=True)]  # fmt: skip
    return float(np.mean(errors))


def fa_error(case: Case, fa: Image) -> float:
    """Return the mean absolute error of fractional anisotropy in white matter that was fitted."""
    true = truth_on(case, "dwi", "_param-fa_dwimap.nii.gz", fa)
    white = (true > 0.35) & (fa.data > 0)
    return float(np.abs(fa.data - true)[white].mean())
