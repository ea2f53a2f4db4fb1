"""The diffusion tensor by FSL's dtifit."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuromoe.fsl.job import Job, turned_round
from neuromoe.imaging.gradients import Gradients, fsl_to_world, world_to_fsl, write_gradients
from neuromoe.imaging.images import Image


@dataclass(frozen=True, eq=False)
class TensorMaps:
    """What a tensor says; zero outside the mask.

    Parameters
    ----------
    fa : array (X, Y, Z)
        Fractional anisotropy, 0 to 1.
    md, ad, rd : array (X, Y, Z)
        Mean, axial and radial diffusivity, mm^2/s.
    v1 : array (X, Y, Z, 3)
        Main direction along the RAS+ world axes.
    residual : array (X, Y, Z)
        Root mean square of what the tensor leaves, as a share of the b=0 signal.
    """

    fa: NDArray
    md: NDArray
    ad: NDArray
    rd: NDArray
    v1: NDArray
    residual: NDArray


def dtifit(series: Image, gradients: Gradients, mask: NDArray) -> TensorMaps:
    """Fit the tensor by dtifit, with weighted least squares.

    Parameters
    ----------
    series : Image (X, Y, Z, V)
        Aligned; volumes of b=0 and of one shell.
    gradients : Gradients
        World directions.
    mask : array (X, Y, Z) of bool
        Where to fit.

    References
    ----------
    .. [1] Behrens et al. (2003), Characterization and propagation of uncertainty in diffusion-weighted MR imaging,
       Magn. Reson. Med. 50, doi:10.1002/mrm.10609.
    """
    stored = turned_round(series).affine
    with Job() as job:
        write_gradients(job.path("bvals"), job.path("bvecs"), gradients, stored)
        job.run(
            "DTIFit",
            programs=["dtifit"],
            dwi=job.write(series, "series.nii.gz"),
            mask=job.write(series.like(mask), "mask.nii.gz"),
            bvals=str(job.path("bvals")),
            bvecs=str(job.path("bvecs")),
            base_name="tensor",
            save_tensor=True,
            args="--wls",
        )
        flat = series.like(mask)
        names = ("FA", "MD", "L1", "L2", "L3", "S0")
        fa, md, l1, l2, l3, s0 = (job.read(f"tensor_{name}.nii.gz", like=flat, ndim=3).data for name in names)
        v1 = job.read("tensor_V1.nii.gz", like=flat, ndim=4).data
        tensor = job.read("tensor_tensor.nii.gz", like=flat, ndim=4).data
    # Main directions are told like b-vectors: along the axes of the file that was given.
    directions = fsl_to_world(v1.reshape(-1, 3), stored).reshape(v1.shape).astype(np.float32)
    return TensorMaps(
        fa=np.clip(fa, 0, 1) * mask,
        md=md * mask,
        ad=l1 * mask,
        rd=(l2 + l3) / 2 * mask,
        v1=directions * mask[..., None],
        residual=_residual(series.data, gradients, world_to_fsl(gradients.directions, stored), tensor, s0) * mask,
    )


def _residual(series: NDArray, gradients: Gradients, vectors: NDArray, tensor: NDArray, s0: NDArray) -> NDArray:
    x, y, z = vectors.T
    # dtifit writes xx, xy, xz, yy, yz, zz along the axes of the b-vectors.
    design = np.stack([x * x, 2 * x * y, 2 * x * z, y * y, 2 * y * z, z * z], axis=1) * gradients.bvals_s_mm2[:, None]
    left = s0[..., None] * np.exp(-tensor @ design.T) - series
    return np.sqrt((left**2).mean(axis=3)) / np.maximum(s0, 1e-6)
