"""CSF, grey and white matter of a T1-weighted brain."""

import numpy as np
from numpy.typing import NDArray

from neuromoe.anat._head import at_voxel_mm, stretch
from neuromoe.anat._mixture import mixture_probabilities
from neuromoe.imaging.geometry import map_points
from neuromoe.imaging.images import Image, sample
from neuromoe.imaging.template import Template
from neuromoe.imaging.transforms import Chain
from neuromoe.registration.ants import tissue_probabilities

# Atropos is dear on fine voxels.
VOXEL_MM = {"ants": 1.25, "torch": 1.0}


def segment(
    head: Image,
    mask: NDArray,
    template: Template,
    to_template: Chain,
    *,
    voxel_mm: float | None = None,
    backend: str = "ants",
) -> NDArray:
    """Segment a brain; a fine image is segmented on coarser voxels and the probabilities brought back.

    Parameters
    ----------
    head : Image (X, Y, Z)
        Bias-corrected.
    mask : array (X, Y, Z) of bool
        The brain.
    template : Template
        Its tissues are the priors.
    to_template : tuple of transforms
        World points of the head to world points of the template.
    voxel_mm : float, optional
        Edge of the coarser voxels, mm; without it that of :data:`VOXEL_MM`.
    backend : str, default="ants"
        `ants`, Atropos, or `torch`, :func:`neuromoe.anat._mixture.mixture_probabilities`.

    Returns
    -------
    array (3, X, Y, Z), float32
        Probabilities of CSF, GM and WM; they sum to one in the mask.
    """
    voxel_mm = voxel_mm or VOXEL_MM[backend]
    work, inside = (head, mask) if head.voxel_mm.min() >= voxel_mm else _coarser(head, mask, voxel_mm)
    box = tuple(slice(max(0, int(i.min()) - 2), int(i.max()) + 3) for i in np.nonzero(inside))
    probabilities = np.zeros((3, *inside.shape), np.float32)
    cropped = Image(np.clip(work.data[box], *np.percentile(work.data[inside], [0.1, 99.9])), _moved(work.affine, box))
    points = map_points(to_template, cropped.grid.world())
    tissues = (template.csf, template.gm, template.wm)
    priors = np.stack([sample(tissue, points).reshape(cropped.data.shape) for tissue in tissues])
    if backend == "torch":
        found = mixture_probabilities(cropped.data, inside[box], priors)
    else:
        found = tissue_probabilities(cropped, inside[box], priors=priors)
    probabilities[(slice(None), *box)] = found
    if work is not head:
        probabilities = np.stack([stretch(work.like(part), head) for part in probabilities])
    return _normalized(probabilities, mask)


def _coarser(head: Image, mask: NDArray, voxel_mm: float) -> tuple[Image, NDArray]:
    work = at_voxel_mm(head, voxel_mm)
    return work, at_voxel_mm(head.like(mask.astype(np.float32)), voxel_mm).data > 0.5


def _moved(affine: NDArray, box: tuple[slice, ...]) -> NDArray:
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ np.array([part.start for part in box])
    return moved


def _normalized(probabilities: NDArray, mask: NDArray) -> NDArray:
    """Let the probabilities sum to one in the mask; where none was found the voxel is CSF, at the brain's edge."""
    total = probabilities.sum(axis=0)
    probabilities[0][mask & (total <= 1e-3)] = 1
    total = probabilities.sum(axis=0)
    return np.where(mask, probabilities / np.where(total > 0, total, 1), 0).astype(np.float32)


def by_intensity(head: Image, mask: NDArray) -> NDArray:
    """Cut the mask into thirds by intensity (3, X, Y, Z): what is left to show where segmentation failed."""
    low, high = np.quantile(head.data[mask], [1 / 3, 2 / 3])
    parts = [head.data <= low, (head.data > low) & (head.data <= high), head.data > high]
    return np.stack([part & mask for part in parts]).astype(np.float32)
