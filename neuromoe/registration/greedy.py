"""Registration with greedy, in memory.

References
----------
.. [1] Yushkevich et al. (2016), Fast automatic segmentation of hippocampal subfields and medial temporal lobe
   subregions in 3 Tesla and 7 Tesla T2-weighted MRI, Alzheimer's & Dementia 12, doi:10.1016/j.jalz.2016.06.205.
"""

import io
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromoe.imaging.images import Image
from neuromoe.imaging.transforms import LPS, Affine, Chain, Displacement

_PATCH = "NCC 2x2x2"


@dataclass(frozen=True)
class Deformation:
    """How greedy looks for a deformation.

    Parameters
    ----------
    metric : str
        greedy's name and radius in voxels.
    iterations : str
        Iterations from the coarsest to the finest level.
    smoothing : str
        Standard deviation of the smoothing of each step and of the whole field.
    step : float
        The largest displacement of an iteration, voxels.
    """

    metric: str = _PATCH
    iterations: str = "100x50x10"
    smoothing: str = "1.732vox 0.707vox"
    step: float = 1.0


_USUAL = Deformation()


def to_sitk(image: Image) -> Any:
    """Turn an image (X, Y, Z) into a SimpleITK image, whose world is LPS."""
    import SimpleITK as sitk

    lps = LPS @ image.affine
    spacing = np.sqrt((lps[:3, :3] ** 2).sum(axis=0))
    out = sitk.GetImageFromArray(np.ascontiguousarray(image.data.transpose(2, 1, 0), np.float32))
    out.SetSpacing(spacing.tolist())
    out.SetOrigin(lps[:3, 3].tolist())
    out.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    return out


def greedy_affine(
    fixed: Image,
    moving: Image,
    *,
    initial: Affine | None = None,
    fixed_mask: Image | None = None,
    dof: int = 12,
    metric: str = _PATCH,
    iterations: str = "100x50x10",
    seed: int = 0,
) -> Affine:
    """Find the linear map from `fixed` to `moving`.

    Parameters
    ----------
    fixed, moving : Image (X, Y, Z)
        The images.
    initial : Affine, optional
        Where to start; without it, the centres of the two grids are laid on each other.
    fixed_mask : Image, optional
        The metric is computed where this is above zero.
    dof : int, default=12
        6 is rigid, 7 a similarity, 12 affine.
    metric : str, default="NCC 2x2x2"
        greedy's name and radius in voxels; "NMI" for images of different contrast.
    iterations : str, default="100x50x10"
        Iterations from the coarsest to the finest level.
    seed : int, default=0
        Of the noise and jitter that greedy adds; without it two runs differ.

    Returns
    -------
    Affine
        World points of `fixed` to world points of `moving`.

    Raises
    ------
    RuntimeError
        It failed, or its matrix is singular: the images have nothing in common.
    """
    turn = _far_turn(initial)
    moving = Image(moving.data, np.linalg.inv(turn) @ moving.affine)
    initial = None if initial is None else Affine(np.linalg.inv(turn) @ initial.matrix)
    names: dict[str, Any] = {"fixed": to_sitk(fixed), "moving": to_sitk(moving), "result": None}
    start = "-ia-image-centers" if initial is None else "-ia START"
    mask = _mask(names, fixed_mask)
    command = f"-a -dof {dof} -m {metric} -i fixed moving {start} {mask} -n {iterations} -o result"
    matrix = np.asarray(_run(command, names, seed, initial)["result"], float)
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:3, :3])) < 1e-3:
        raise RuntimeError(f"greedy found no linear map with `{command}`")
    return Affine(turn @ matrix)


def _far_turn(initial: Affine | None) -> NDArray:
    """Return the rotation (4, 4) of a start that turns by more than 90 degrees, else the identity.

    greedy describes rotations by axis and angle, which has no derivative at 180 degrees: it stays there or fails.
    """
    turn = np.eye(4)
    if initial is not None:
        left, _, right = np.linalg.svd(initial.matrix[:3, :3])
        if np.trace(left @ right) < 1:
            turn[:3, :3] = left @ right
    return turn


def greedy_deformable(
    fixed: Image,
    moving: Image,
    *,
    initial: Affine,
    fixed_mask: Image | None = None,
    how: Deformation = _USUAL,
    seed: int = 0,
) -> tuple[Chain, Chain]:
    """Find the deformation from `fixed` to `moving`, on top of a linear map, and its inverse.

    Parameters are those of :func:`greedy_field`.

    Returns
    -------
    chain, inverse : tuple of transforms
        `fixed` to `moving`, and back.
    """
    names, command = _deformation(fixed, moving, fixed_mask, how)
    results = _run(f"{command} -oinv back", names | {"back": None}, seed, initial)
    forward, backward = (_field(results[name], fixed.affine) for name in ("warp", "back"))
    return (forward, initial), (initial.inverse(), backward)


def greedy_field(
    fixed: Image,
    moving: Image,
    *,
    initial: Affine,
    fixed_mask: Image | None = None,
    how: Deformation = _USUAL,
    seed: int = 0,
) -> Displacement:
    """Find the deformation from `fixed` to `moving`, on top of a linear map, without its inverse, which is dear.

    Parameters
    ----------
    fixed, moving : Image (X, Y, Z)
        The images; the deformation is estimated at the resolution of `fixed`.
    initial : Affine
        World points of `fixed` to world points of `moving`.
    fixed_mask : Image, optional
        The metric is computed where this is above zero.
    how : Deformation, optional
        Metric, iterations, smoothing and step.
    seed : int, default=0
        Of the noise that greedy adds to the images.

    Returns
    -------
    Displacement
        To be followed by `initial`.
    """
    names, command = _deformation(fixed, moving, fixed_mask, how)
    return _field(_run(command, names, seed, initial)["warp"], fixed.affine)


def _deformation(fixed: Image, moving: Image, mask: Image | None, how: Deformation) -> tuple[dict[str, Any], str]:
    """Return greedy's images and its command."""
    names: dict[str, Any] = {"fixed": to_sitk(fixed), "moving": to_sitk(moving), "warp": None}
    inside = _mask(names, mask)
    settings = f"-m {how.metric} -n {how.iterations} -s {how.smoothing} -e {how.step:g}"
    return names, f"-i fixed moving -it START {inside} {settings} -o warp -wp 0"


def greedy_inverse(forward: Displacement) -> Displacement:
    """Return the inverse of a deformation, by that of its fourth root."""
    import SimpleITK as sitk

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "warp.nii"
        # greedy takes a field from a file only.
        sitk.WriteImage(_vectors(forward), str(path))
        return _field(_run(f"-iw {path} back -exp 2 -wp 0", {"back": None}, 0)["back"], forward.affine)


def _mask(names: dict[str, Any], mask: Image | None) -> str:
    if mask is None:
        return ""
    names["mask"] = to_sitk(mask)
    return "-gm mask"


def _run(command: str, names: dict[str, Any], seed: int, start: Affine | None = None) -> Any:
    """Run greedy; where the command says START it finds the matrix `start`, which it takes from a file only."""
    from picsl_greedy import Greedy3D

    greedy, said = Greedy3D(), io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        matrix = Path(folder) / "start.mat"
        np.savetxt(matrix, np.eye(4) if start is None else start.matrix, fmt="%.12g")
        command = f"-threads 1 -V 0 -seed {seed + 1} {command}".replace("START", str(matrix))
        try:
            greedy.execute(command, out=said, err=said, **names)
        except Exception as err:
            raise RuntimeError(f"greedy failed on `{command}`: {err}\n{said.getvalue()}") from err
    return greedy


def _vectors(displacement: Displacement) -> Any:
    """Turn a displacement in RAS into a SimpleITK image of vectors in LPS."""
    import SimpleITK as sitk

    vectors = displacement.field.transpose(2, 1, 0, 3) * np.array([-1, -1, 1], np.float32)
    out = sitk.GetImageFromArray(np.ascontiguousarray(vectors, np.float32), isVector=True)
    out.CopyInformation(to_sitk(Image(displacement.field[..., 0], displacement.affine)))
    return out


def _field(warp: Any, affine: NDArray) -> Displacement:
    import SimpleITK as sitk

    vectors = sitk.GetArrayFromImage(warp).transpose(2, 1, 0, 3) * np.array([-1, -1, 1], np.float32)
    return Displacement(np.ascontiguousarray(vectors, np.float32), affine)
