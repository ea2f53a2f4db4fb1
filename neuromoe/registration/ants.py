"""ANTs, on images of this package.

ITK is bit-reproducible with one thread and a fixed seed only, and reads both from the environment when it starts:
call :func:`single_threaded` before anything imports ants.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromoe.imaging.images import Image, load_image
from neuromoe.imaging.transforms import LPS, Affine, Chain, Displacement

# What antspyx calls the kinds of registration that have an affine and a deformable part.
KINDS = {
    "SyN": "SyN",
    "SyNQuick": "antsRegistrationSyNQuick[s]",
    "antsRegistrationSyN[s]": "antsRegistrationSyN[s]",
    "antsRegistrationSyNRepro[s]": "antsRegistrationSyNRepro[s]",
    "antsRegistrationSyNQuickRepro[s]": "antsRegistrationSyNQuickRepro[s]",
}


def single_threaded(seed: int = 0) -> None:
    """Fix ITK's number of threads and ANTs' seed for this process."""
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"
    # ANTs takes zero for "by the clock".
    os.environ["ANTS_RANDOM_SEED"] = str(seed + 1)


def to_ants(image: Image) -> Any:
    """Turn an image (X, Y, Z) into an ANTsImage, whose world is LPS."""
    import ants

    lps = LPS @ image.affine
    spacing = np.sqrt((lps[:3, :3] ** 2).sum(axis=0))
    return ants.from_numpy(
        np.ascontiguousarray(image.data, np.float32),
        origin=lps[:3, 3].tolist(),
        spacing=spacing.tolist(),
        direction=lps[:3, :3] / spacing,
    )


def bias_field(image: Image, mask: NDArray, *, shrink_factor: int = 4, iterations: int = 20) -> NDArray:
    """Estimate the bias field by N4.

    Parameters
    ----------
    image : Image (X, Y, Z)
        A head; its values must not be negative.
    mask : array (X, Y, Z) of bool
        Where the field is estimated.
    shrink_factor : int, default=4
        Voxels that are taken together.
    iterations : int, default=20
        At each of four resolutions. More of them take away the brain's own slow change from white matter to cortex.

    Returns
    -------
    array (X, Y, Z), float32
        The multiplicative field, everywhere on the grid, with mean 1 in the mask.

    References
    ----------
    .. [1] Tustison et al. (2010), N4ITK: improved N3 bias correction, IEEE Trans. Med. Imaging 29,
       doi:10.1109/TMI.2010.2046908.
    """
    import ants

    field = ants.n4_bias_field_correction(
        to_ants(image),
        mask=to_ants(image.like(mask)),
        shrink_factor=shrink_factor,
        convergence={"iters": [iterations] * 4, "tol": 1e-6},
        return_bias_field=True,
    ).numpy()
    return (field / field[mask].mean()).astype(np.float32)


def tissue_probabilities(
    image: Image,
    mask: NDArray,
    *,
    priors: NDArray | None = None,
    prior_weight: float = 0.5,
    smoothing: float = 0.1,
    iterations: int = 5,
) -> NDArray:
    """Segment a T1-weighted brain into CSF, GM and WM by Atropos.

    Parameters
    ----------
    image : Image (X, Y, Z)
        A bias-corrected T1w image.
    mask : array (X, Y, Z) of bool
        The brain.
    priors : array (3, X, Y, Z), optional
        Probabilities of CSF, GM and WM; without them the start is k-means, ordered by intensity.
    prior_weight : float, default=0.5
        Weight of the priors against the intensities.
    smoothing : float, default=0.1
        Weight of the Markov random field.
    iterations : int, default=5
        At most.

    Returns
    -------
    array (3, X, Y, Z), float32
        Probabilities of CSF, GM and WM; zero outside the mask.

    Raises
    ------
    RuntimeError
        Atropos found no three tissues: the mask holds no brain.

    References
    ----------
    .. [1] Avants et al. (2011), An open source multivariate framework for n-tissue segmentation,
       Neuroinformatics 9, doi:10.1007/s12021-011-9109-y.
    """
    import ants

    # antspyx hands priors over through files, whose float32 origins Atropos calls another space: none is given.
    image = Image(image.data, np.diag([*image.voxel_mm.round(3), 1.0]))
    start = "kmeans[3]" if priors is None else [to_ants(image.like(prior)) for prior in _nowhere_zero(priors)]
    try:
        with _own_temporary_folder():
            result = ants.atropos(
                a=to_ants(image),
                x=to_ants(image.like(mask)),
                i=start,
                m=f"[{smoothing},1x1x1]",
                c=f"[{iterations},0]",
                priorweight=prior_weight,
                # A constant seed: by default Atropos draws a new one, and two runs differ.
                r=0,
            )
    except Exception as err:  # antspyx raises nothing more specific
        raise RuntimeError(f"Atropos found no three tissues: {err}") from err
    return np.stack([part.numpy() * mask for part in result["probabilityimages"]]).astype(np.float32)


def _nowhere_zero(priors: NDArray) -> NDArray:
    """Leave every tissue a chance everywhere, and let the chances sum to one."""
    priors = np.clip(priors, 0, None) + 0.01
    return priors / priors.sum(axis=0)


def ants_deformable(fixed: Image, moving: Image, *, kind: str = "SyN", seed: int = 0) -> tuple[Chain, Chain]:
    """Find the affine and deformable map from `fixed` to `moving`.

    Parameters
    ----------
    fixed, moving : Image (X, Y, Z)
        The images; the deformation is estimated at the resolution of `fixed`.
    kind : str, default="SyN"
        One of :data:`KINDS`.
    seed : int, default=0
        Of the sampling of the metric; the kinds with `Repro` draw nothing.

    Returns
    -------
    chain, inverse : tuple of transforms
        `fixed` to `moving`, and back.

    Raises
    ------
    RuntimeError
        ANTs failed: the images have nothing in common.

    References
    ----------
    .. [1] Avants et al. (2008), Symmetric diffeomorphic image registration with cross-correlation, Medical Image
       Analysis 12, doi:10.1016/j.media.2007.06.004.
    """
    single_threaded(seed)
    import ants

    try:
        with _own_temporary_folder() as folder:
            found = ants.registration(to_ants(fixed), to_ants(moving), KINDS[kind], outprefix=f"{folder}/found_")
            return chains(found)
    except Exception as err:  # antspyx raises nothing more specific
        raise RuntimeError(f"ANTs' {kind} found no map: {err}") from err


def chains(found: dict[str, Any]) -> tuple[Chain, Chain]:
    """Read the two files of `ants.registration` as a chain from fixed to moving points, and its inverse."""
    warp, linear = found["fwdtransforms"]
    affine = ants_affine(linear)
    return (_displacement(warp), affine), (affine.inverse(), _displacement(found["invtransforms"][1]))


def ants_affine(path: Path | str) -> Affine:
    """Read ANTs' linear transform."""
    import ants

    transform = ants.read_transform(str(path))
    parameters, center = np.array(transform.parameters, float), np.array(transform.fixed_parameters, float)[:3]
    lps = np.eye(4)
    lps[:3, :3] = parameters[:9].reshape(3, 3)
    lps[:3, 3] = parameters[9:] + center - lps[:3, :3] @ center
    return Affine(LPS @ lps @ LPS)


def _displacement(path: Path | str) -> Displacement:
    shifts = load_image(path)
    vectors = shifts.data.reshape(*shifts.data.shape[:3], 3) * np.array([-1, -1, 1], np.float32)
    return Displacement(np.ascontiguousarray(vectors, np.float32), shifts.affine)


@contextmanager
def _own_temporary_folder() -> Iterator[str]:
    """Let what antspyx leaves among the temporary files go with a folder of this process's own."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder
        try:
            yield folder
        finally:
            tempfile.tempdir = before
