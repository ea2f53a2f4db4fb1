"""The head in a T1-weighted image: crop the neck, even out the intensity."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.errors import InputError
from neuromoe.imaging.images import Image, solid

COARSE_MM = 4.0
# A head from the vertex to below the cerebellum is shorter.
HEIGHT_MM = 180.0


def foreground(image: Image) -> NDArray:
    """Tell head from air by Otsu's threshold on the smoothed image, keeping the largest piece (X, Y, Z)."""
    from dipy.segment.threshold import otsu
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(image.data, 2.0 / image.voxel_mm)
    # Otsu on the whole range calls the bright fat the head; half of it keeps brain and muscle.
    return solid(smooth > 0.5 * otsu(smooth))


def crop_neck(image: Image, *, height_mm: float = HEIGHT_MM) -> Image:
    """Keep what lies within `height_mm` below the top of the head.

    Parameters
    ----------
    image : Image (X, Y, Z)
        A head in RAS+ order.
    height_mm : float, default=180
        The rest is neck.

    Returns
    -------
    Image
        With the slices below left out.
    """
    coarse = at_voxel_mm(image, COARSE_MM)
    covered = np.flatnonzero(foreground(coarse).any(axis=(0, 1)))
    top = int(np.ceil((covered.max() + 1) * COARSE_MM / image.voxel_mm[2]))
    bottom = max(0, top - int(round(height_mm / image.voxel_mm[2])))
    affine = image.affine.copy()
    affine[:3, 3] += image.affine[:3, 2] * bottom
    return Image(image.data[:, :, bottom:], affine)


def correct_bias(image: Image, *, voxel_mm: float = 2.0, shrink_factor: int = 4) -> Image:
    """Divide by the bias field that N4 finds on a coarse copy of the head.

    Parameters
    ----------
    image : Image (X, Y, Z)
        A head.
    voxel_mm : float, default=2.0
        Voxels of the coarse copy; the field is smooth, so little is lost.
    shrink_factor : int, default=4
        N4's own subsampling of that copy.
    """
    from neuromoe.registration.ants import bias_field

    coarse = at_voxel_mm(crop_neck(image), voxel_mm)
    field = bias_field(coarse, foreground(coarse), shrink_factor=shrink_factor)
    return image.like(image.data / np.clip(stretch(coarse.like(field), image), 0.1, 10))


def stretch(field: Image, image: Image) -> NDArray:
    """Interpolate a field onto the grid of `image`, which has the same axes; outside goes on its border value.

    One axis after the other: for a large image this costs a tenth of an interpolation at points.
    """
    values = field.data
    first = np.linalg.inv(field.affine) @ image.affine
    for axis in range(3):
        position = first[axis, 3] + first[axis, axis] * np.arange(image.data.shape[axis])
        position = np.clip(position, 0, values.shape[axis] - 1)
        lower = np.minimum(position.astype(int), max(values.shape[axis] - 2, 0))
        weight = (position - lower).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        upper = np.minimum(lower + 1, values.shape[axis] - 1)
        values = values.take(lower, axis) * (1 - weight) + values.take(upper, axis) * weight
    return values


def at_voxel_mm(image: Image, voxel_mm: float) -> Image:
    """Resample to cubic voxels of `voxel_mm`, smoothing first along axes that become coarser.

    What the image's border cuts goes on to the border of the new voxels.
    """
    from scipy.ndimage import gaussian_filter

    ratio = voxel_mm / image.voxel_mm
    smooth = gaussian_filter(image.data, np.where(ratio > 1.2, 0.4 * ratio, 0.0))
    grid = image.grid.at_voxel_mm(voxel_mm)
    return Image(stretch(image.like(smooth), Image(np.empty(grid.shape, np.float32), grid.affine)), grid.affine)


def check_content(image: Image, path: Path) -> None:
    """Refuse an image in which nothing varies or nothing is bright.

    Raises
    ------
    InputError
        All values are the same, or none is above zero.
    """
    low, high = image.data.min(), image.data.max()
    if low == high or high <= 0:
        raise InputError(
            expected="an image of a head",
            found=f"values from {low:g} to {high:g}",
            where=path,
            fix="copy the image again, or leave it out by bids.index.exclude",
        )
