"""What an image's header says about its place, and whether that can be trusted."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.errors import InputError

VOXEL_MM = (0.3, 8.0)
# Half a millimetre at the image's corners is rounding; a cosine of .02 is 1.1 degrees.
AGREEMENT_MM, SHEAR = 0.5, 0.02


def check_header(path: Path | str) -> list[str]:
    """Check where a NIfTI file says that its voxels lie.

    The sform is used where its code is above zero, else the qform where its code is; with neither, the voxel sizes
    alone.

    Parameters
    ----------
    path : path
        A NIfTI file.

    Returns
    -------
    list of str
        Doubts, one sentence each.

    Raises
    ------
    InputError
        The voxels are not in millimetres, or shorter than 0.3 or longer than 8 mm.
    """
    import nibabel as nib

    image: Any = nib.load(path)
    header, affine = image.header, np.asarray(image.affine, float)
    unit = header.get_xyzt_units()[0]
    if unit in ("meter", "micron"):
        raise InputError(expected="millimetres", found=f"{unit}s", where=path, fix="convert it again, in millimetres")
    edges = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    low, high = VOXEL_MM
    if not ((edges >= low) & (edges <= high)).all():
        found = " x ".join(f"{edge:.3g}" for edge in edges) + " mm"
        raise InputError(expected=f"voxels of {low:g} to {high:g} mm", found=found, where=path, fix="check its units")
    return _doubts(header, image.shape[:3], affine, edges)


def _doubts(header: Any, shape: tuple[int, ...], affine: NDArray, edges: NDArray) -> list[str]:
    sform, qform = int(header["sform_code"]), int(header["qform_code"])
    doubts = []
    if sform <= 0 and qform <= 0:
        doubts.append("the header has neither qform nor sform: left and right cannot be known")
    if sform > 0 and qform > 0:
        apart = corners_apart_mm(header.get_sform(), header.get_qform(), shape)
        if apart > AGREEMENT_MM:
            doubts.append(f"qform and sform are up to {apart:.1f} mm apart; the sform was used")
    cosines = (affine[:3, :3] / edges).T @ (affine[:3, :3] / edges)
    if abs(cosines - np.eye(3)).max() > SHEAR:
        doubts.append("the header's axes are not at right angles")
    return doubts


def corners_apart_mm(one: NDArray, other: NDArray, shape: tuple[int, ...]) -> float:
    """Return the largest distance between the corners of two boxes of voxels, mm.

    Examples
    --------
    >>> corners_apart_mm(np.eye(4), np.diag([2.0, 1, 1, 1]), (11, 5, 5))
    10.0
    """
    corners = np.array(np.meshgrid(*([0, size - 1] for size in shape))).reshape(3, -1)
    difference = np.asarray(one) - np.asarray(other)
    return float(np.linalg.norm(difference[:3, :3] @ corners + difference[:3, 3:], axis=0).max())
