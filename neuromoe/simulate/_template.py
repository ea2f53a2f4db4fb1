"""The ICBM 152 brain that comes with nilearn, read without importing nilearn."""

import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.errors import InputError
from neuromoe.imaging.images import Image
from neuromoe.simulate._places import effect_on

LABEL = "MNI152NLin2009aSym"
T1, GM, WM, BRAIN = range(4)
_FILE = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
_SCALE = np.float32(1 / 255)
# Median template intensities of voxels that are nearly pure.
PURE_GM, PURE_CSF = 167 / 255, 62 / 255


def bundled_brain(block_mm: int = 1) -> Image:
    """Load T1, GM, WM and brain mask as one image of channels.

    Parameters
    ----------
    block_mm : int, default=1
        Means over blocks of this edge replace the 1 mm voxels: the partial volume of a coarser scan.

    Returns
    -------
    Image (X, Y, Z, 4), float32
        Values 0 to 1; the order is `T1, GM, WM, BRAIN`.

    Raises
    ------
    InputError
        nilearn, or its template files, are not installed.
    """
    t1, affine = _bundled("t1")
    volumes = [t1, _bundled("gm")[0], _bundled("wm")[0], np.where(t1 > 0, 255, 0).astype(np.uint8)]
    data = np.stack([_block_means(volume, block_mm) for volume in volumes], axis=-1)
    coarse = affine @ np.diag([block_mm, block_mm, block_mm, 1.0])
    coarse[:3, 3] += affine[:3, :3] @ np.full(3, (block_mm - 1) / 2)
    # A border of zeros: sampling takes the nearest edge, and the brain stem is cut by the template's field of
    # view.
    coarse[:3, 3] -= coarse[:3, :3] @ np.ones(3)
    return Image(np.pad(data, ((1, 1), (1, 1), (1, 1), (0, 0))), coarse)


def thin(brain: Image, strength: float) -> Image:
    """Turn a share of the grey matter of the `thinning` places to CSF, in the tissue and in T1."""
    place = effect_on("thinning", brain.grid)
    data = brain.data.copy()
    lost = data[..., GM] * place * np.float32(strength)
    data[..., GM] -= lost
    data[..., T1] -= lost * np.float32(PURE_GM - PURE_CSF)
    return brain.like(data)


def _bundled(name: str) -> tuple[NDArray, NDArray]:
    import nibabel as nib

    spec = importlib.util.find_spec("nilearn")
    folders = list(spec.submodule_search_locations or []) if spec else []
    path = Path(folders[0], "datasets", "data", _FILE.format(name)) if folders else Path(_FILE.format(name))
    if not path.is_file():
        raise InputError(
            expected="nilearn with its ICBM 152 template",
            found="no such file",
            where=path,
            fix="install nilearn",
        )
    image = nib.Nifti1Image.from_filename(path)
    return np.asanyarray(image.dataobj), np.asarray(image.affine, float)


def _block_means(volume: NDArray, block: int) -> NDArray:
    if block == 1:
        return volume * _SCALE
    x, y, z = (length // block for length in volume.shape)
    kept = volume[: x * block, : y * block, : z * block].astype(np.float32)
    kept = kept.reshape(x, block, y, block, z * block).sum(axis=(1, 3))
    return kept.reshape(x, y, z, block).sum(axis=3) * (_SCALE / np.float32(block**3))
