"""A head around a template of the brain alone, so that whole heads can be registered to it."""

import numpy as np
from numpy.typing import NDArray

from neuromoe.imaging.images import Image

CSF_MM, SKULL_MM, SCALP_MM = 2.0, 5.0, 6.0
CSF_LEVEL, SKULL_LEVEL, SCALP_LEVEL, MUSCLE_LEVEL = 0.25, 0.1, 0.85, 0.5
# Centre and half axes, mm in MNI space: where a head has a face and a neck.
FACE = ((0, 55, -45), (55, 45, 60))
NECK = ((0, -25, -95), (55, 55, 75))


def add_head(brain: Image, mask: NDArray) -> Image:
    """Put shells of CSF, skull and scalp around a brain, and ellipsoids for face and neck below it.

    Parameters
    ----------
    brain : Image (X, Y, Z)
        A T1-weighted brain in MNI space, zero outside.
    mask : array (X, Y, Z) of bool
        The brain.

    Returns
    -------
    Image
        On the same grid.
    """
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    outside_mm = distance_transform_edt(~mask, sampling=brain.voxel_mm)
    white = np.percentile(brain.data[mask], 95)
    head = np.zeros_like(brain.data)
    head[_ellipsoid(brain, *NECK) | _ellipsoid(brain, *FACE)] = MUSCLE_LEVEL * white
    edges = np.cumsum([CSF_MM, SKULL_MM, SCALP_MM])
    levels = np.array([CSF_LEVEL, SKULL_LEVEL, SCALP_LEVEL]) * white
    for edge_mm, level in reversed(list(zip(edges, levels, strict=True))):
        head[outside_mm <= edge_mm] = level
    head = gaussian_filter(head, 1.0 / brain.voxel_mm)
    return brain.like(np.where(mask, brain.data, head).astype(np.float32))


def _ellipsoid(image: Image, center_mm: tuple, half_axes_mm: tuple) -> NDArray:
    distances = (image.grid.world() - center_mm) / half_axes_mm
    return ((distances**2).sum(axis=1) <= 1).reshape(image.data.shape)
