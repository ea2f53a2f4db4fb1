"""Reading and writing images: RAS+ inside, checked at the door."""

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from neuromoe.core.atomic import replacing
from neuromoe.core.errors import InputError
from neuromoe.imaging.geometry import Grid, Transform, apply_affine, map_points


@dataclass(frozen=True, eq=False)
class Image:
    """An array and where it lies.

    Parameters
    ----------
    data : array (X, Y, Z[, V])
        Values.
    affine : array (4, 4)
        Voxel index to RAS+ world, mm.
    """

    data: NDArray
    affine: NDArray

    @property
    def grid(self) -> Grid:
        """The grid of the first three axes."""
        x, y, z = self.data.shape[:3]
        return Grid((x, y, z), self.affine)

    @property
    def voxel_mm(self) -> NDArray:
        """Edge lengths of a voxel, mm (3,)."""
        return self.grid.voxel_mm

    def volume(self, index: int) -> "Image":
        """Return one volume of a 4-D image."""
        return Image(self.data[..., index], self.affine)

    def like(self, data: NDArray) -> "Image":
        """Put other values on the same grid."""
        return Image(data, self.affine)


def load_image(path: Path | str, ndim: int | None = None, dtype: DTypeLike = np.float32) -> Image:
    """Read an image, check it and turn its axes to the closest RAS+ order.

    Parameters
    ----------
    path : path
        A NIfTI file.
    ndim : int, optional
        The dimensions that the caller needs. A 4-D image of one volume is taken as 3-D.
    dtype : dtype, default=float32
        Type of the returned values.

    Raises
    ------
    InputError
        The file cannot be read, has other dimensions, a singular header, or values that are not finite.
    """
    import nibabel as nib

    try:
        image = nib.as_closest_canonical(nib.load(path))
        data = np.asanyarray(image.dataobj).astype(dtype, copy=False)
    except (OSError, EOFError, ValueError, nib.filebasedimages.ImageFileError) as err:
        raise InputError(
            expected="a readable NIfTI image", found=str(err), where=path, fix="copy or convert it again"
        ) from err
    if ndim == 3 and data.ndim == 4 and data.shape[3] == 1:
        data = data[..., 0]
    _check(data, image.affine, ndim, path)
    return Image(data, np.asarray(image.affine, float))


def _check(data: NDArray, affine: NDArray, ndim: int | None, path: Path | str) -> None:
    if ndim is not None and data.ndim != ndim:
        raise InputError(
            expected=f"{ndim} dimensions",
            found=f"{data.ndim}, shape {data.shape}",
            where=path,
            fix="give the right file, or leave it out by the index's filters",
        )
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-6:
        raise InputError(
            expected="an invertible voxel-to-world matrix",
            found="a singular or undefined one",
            where=path,
            fix="set the header's qform or sform from the scanner's DICOM files",
        )
    if data.dtype.kind == "f" and not np.isfinite(data).all():
        bad = int((~np.isfinite(data)).sum())
        raise InputError(
            expected="finite values",
            found=f"{bad} voxels NaN or infinite",
            where=path,
            fix="convert it again",
        )


def save_image(
    image: Image | NDArray,
    path: Path | str,
    affine: NDArray | None = None,
    dtype: DTypeLike = np.float32,
    repetition_time_s: float | None = None,
) -> None:
    """Write an image atomically; the same values give the same bytes.

    Parameters
    ----------
    image : Image or array
        What to write; an array needs `affine`.
    path : path
        A name that ends in `.nii` or `.nii.gz`.
    affine : array (4, 4), optional
        Voxel index to RAS+ world, mm.
    dtype : dtype, default=float32
        Type on disk.
    repetition_time_s : float, optional
        Goes into the fourth voxel size of a 4-D image.
    """
    import nibabel as nib

    data, affine = (image.data, image.affine) if isinstance(image, Image) else (image, affine)
    nifti = nib.Nifti1Image(np.asarray(data).astype(dtype), affine)
    nifti.header.set_xyzt_units("mm", "sec")
    if repetition_time_s is not None:
        nifti.header["pixdim"][4] = repetition_time_s
    content = nifti.to_bytes()
    with replacing(path) as temporary:
        if str(path).endswith(".gz"):
            content = gzip.compress(content, compresslevel=4, mtime=0)
        temporary.write_bytes(content)


def sample(image: Image, points: NDArray, *, order: int = 1, cval: float = 0.0) -> NDArray:
    """Interpolate a 3-D image at world points (N, 3); outside its field of view the value is `cval`."""
    from scipy.ndimage import map_coordinates

    voxels = apply_affine(np.linalg.inv(image.affine), points).T
    for axis, size in enumerate(image.data.shape):
        # A point on the border must not fall outside by a rounding error.
        edge = np.clip(voxels[axis], 0, size - 1)
        voxels[axis] = np.where(np.abs(voxels[axis] - edge) < 1e-4, edge, voxels[axis])
    return map_coordinates(image.data, voxels, order=order, cval=cval, output=np.float32)


def resample(
    image: Image, grid: Grid, chain: Sequence[Transform] = (), *, order: int = 1, cval: float = 0.0
) -> NDArray:
    """Bring an image onto `grid` in one interpolation.

    Parameters
    ----------
    image : Image (X, Y, Z) or (X, Y, Z, V)
        The moving image.
    grid : Grid
        Where the result lies.
    chain : sequence of transforms
        Applied in order to the world points of `grid`; gives world points of `image`.
    order : int, default=1
        Spline order; 0 is the nearest voxel.
    cval : float, default=0
        The value outside the image's field of view.

    Returns
    -------
    array (*grid.shape[, V]), float32
    """
    volumes = [image] if image.data.ndim == 3 else [image.volume(v) for v in range(image.data.shape[3])]
    result = np.empty((len(volumes), *grid.shape), np.float32)
    for slab, points in _slabs(grid):
        points = map_points(chain, points)
        for values, volume in zip(result, volumes, strict=True):
            values[slab] = sample(volume, points, order=order, cval=cval).reshape(values[slab].shape)
    return result[0] if image.data.ndim == 3 else np.moveaxis(result, 0, -1)


def _slabs(grid: Grid, points: int = 1_000_000) -> Iterator[tuple[slice, NDArray]]:
    """Cut a grid along its first axis, so that the memory for the points stays small."""
    thickness = max(1, points // (grid.shape[1] * grid.shape[2]))
    for start in range(0, grid.shape[0], thickness):
        affine = grid.affine.copy()
        affine[:3, 3] += affine[:3, 0] * start
        shape = (min(thickness, grid.shape[0] - start), grid.shape[1], grid.shape[2])
        yield slice(start, start + shape[0]), Grid(shape, affine).world()


def volume_ml(mask: NDArray, affine: NDArray) -> float:
    """Return the volume of a mask, ml.

    Examples
    --------
    >>> volume_ml(np.ones((10, 10, 10), bool), np.diag([2.0, 2.0, 3.0, 1.0]))
    12.0
    """
    return float(np.count_nonzero(mask) * abs(np.linalg.det(affine[:3, :3])) / 1000)


def dice(one: NDArray, other: NDArray) -> float:
    """Return the overlap of two masks, 0 to 1; 0 where both are empty.

    Examples
    --------
    >>> round(dice(np.array([1, 1, 0], bool), np.array([1, 0, 0], bool)), 3)
    0.667
    """
    total = int(np.count_nonzero(one)) + int(np.count_nonzero(other))
    return 2 * int(np.count_nonzero(one & other)) / max(total, 1)


def largest_piece(mask: NDArray) -> NDArray[np.bool_]:
    """Keep the largest connected piece of a mask (X, Y, Z), by faces; nothing of an empty one.

    Examples
    --------
    >>> largest_piece(np.array([1, 0, 1, 1], bool)).astype(int)
    array([0, 0, 1, 1])
    """
    from scipy.ndimage import label

    pieces, count = label(mask)
    return pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:]) if count else np.zeros(mask.shape, bool)


def solid(mask: NDArray) -> NDArray[np.bool_]:
    """Keep the largest piece of a mask (X, Y, Z) and fill its holes."""
    from scipy.ndimage import binary_fill_holes

    return binary_fill_holes(largest_piece(mask))
