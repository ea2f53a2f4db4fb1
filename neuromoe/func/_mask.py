"""The brain on the BOLD grid."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neuromoe.imaging.geometry import apply_affine
from neuromoe.imaging.images import Image, largest_piece, volume_ml

LEAST_ML, MOST_ML = 600.0, 2200.0


def epi_mask(boldref: Image, opening_mm: float = 5.0) -> NDArray[np.bool_]:
    """Find the brain in a mean BOLD volume by its brightness alone.

    The threshold is where the sorted voxel values have their widest gap between the 20th and 85th percentile;
    what thin bridges hold on to the largest part is cut off.

    Parameters
    ----------
    boldref : Image (X, Y, Z)
        Mean BOLD volume.
    opening_mm : float, default=5
        Bridges thinner than twice this are cut.

    Returns
    -------
    bool array (X, Y, Z)
    """
    smooth = ndimage.gaussian_filter(boldref.data, 2.0 / boldref.voxel_mm)
    ball = _ball(opening_mm, boldref.voxel_mm)
    opened = ndimage.binary_erosion(np.pad(smooth > _gap(smooth), 3), ball)
    kept = ndimage.binary_dilation(largest_piece(opened), ball)
    kept = ndimage.binary_closing(kept, _ball(opening_mm, boldref.voxel_mm))[3:-3, 3:-3, 3:-3]
    return _filled(kept & (smooth > 0.5 * _gap(smooth)))


def anatomical_mask(brain: NDArray, boldref: Image) -> NDArray[np.bool_]:
    """Keep of a brain mask from the T1w or the template, on the BOLD grid, what has signal in the BOLD.

    Parameters
    ----------
    brain : array (X, Y, Z)
        Share of brain in each BOLD voxel, 0 to 1.
    boldref : Image (X, Y, Z)
        Mean BOLD volume.

    Returns
    -------
    bool array (X, Y, Z)
    """
    inside = brain > 0.4
    level = np.median(boldref.data[inside]) if inside.any() else 0.0
    return _filled(largest_piece(inside & (boldref.data > 0.25 * level)))


def center_mm(mask: NDArray, affine: NDArray) -> NDArray:
    """Return the world point of a mask's centre, mm (3,)."""
    return apply_affine(affine, np.argwhere(mask).mean(axis=0))


def volume_verdict(mask: NDArray, affine: NDArray) -> tuple[str, list[str]]:
    """Judge a brain mask by its volume: a brain has 600 to 2200 ml, a cut field of view less."""
    found = volume_ml(mask, affine)
    if LEAST_ML <= found <= MOST_ML:
        return "pass", []
    verdict = "fail" if found > 1.3 * MOST_ML or found < 0.3 * LEAST_ML else "warn"
    return verdict, [f"brain mask of {found:.0f} ml (expected {LEAST_ML:.0f} to {MOST_ML:.0f})"]


def _gap(values: NDArray) -> float:
    # A few hundred quantiles rather than voxels, so that one stray value cannot make the widest gap.
    levels = np.quantile(values, np.linspace(0.2, 0.85, 261))
    widest = int(np.argmax(np.diff(levels)))
    return float((levels[widest] + levels[widest + 1]) / 2)


def _ball(radius_mm: float, voxel_mm: NDArray) -> NDArray[np.bool_]:
    half = np.maximum(1, np.floor(radius_mm / voxel_mm)).astype(int)
    offsets = np.meshgrid(*[np.arange(-h, h + 1) for h in half], indexing="ij")
    scaled = sum((o / h) ** 2 for o, h in zip(offsets, half, strict=True))
    return np.asarray(scaled <= 1.0)


def _filled(mask: NDArray) -> NDArray[np.bool_]:
    filled = ndimage.binary_fill_holes(mask)
    # Ventricles open to the outside through a cut field of view in 3-D, but not in every slice.
    slices = [ndimage.binary_fill_holes(filled[:, :, z]) for z in range(filled.shape[2])]
    return np.stack(slices, axis=2)
