"""Reading from long series only the volumes that a picture needs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromoe.imaging.images import Image


def read_volume(path: Path, index: int = 0) -> Image:
    """Read one volume of a series, axes turned to the closest RAS+ order; a 3-D image is its own volume."""
    import nibabel as nib

    image: Any = nib.load(path)
    if len(image.shape) > 3:
        image = image.slicer[..., index]
    image = nib.as_closest_canonical(image)
    data = np.nan_to_num(np.asarray(image.dataobj, np.float32))
    return Image(data, np.asarray(image.affine, float))


def iterate_volumes(path: Path) -> Iterator[NDArray]:
    """Yield a series' volumes (X, Y, Z) one at a time, as `read_volume` would, in one pass over the file."""
    import nibabel as nib

    # An open handle keeps the decompressor's place; opening again for each volume would be quadratic.
    image: Any = nib.load(path, keep_file_open=True)
    orientation = nib.orientations.io_orientation(image.affine)
    for index in range(image.shape[3]):
        volume = np.nan_to_num(np.asarray(image.dataobj[..., index], np.float32))
        yield nib.orientations.apply_orientation(volume, orientation)


def b0_index(image: Path) -> int:
    """Return the volume of the smallest b-value by the .bval beside the image; 0 where there is none."""
    bval = image.with_name(image.name.split(".")[0] + ".bval")
    if not bval.is_file():
        return 0
    return int(np.argmin(np.array(bval.read_text().split(), float)))
