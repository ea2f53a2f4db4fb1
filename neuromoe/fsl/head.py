"""Brain, tissues and registration by FSL's BET, FAST, FLIRT, FNIRT and epi_reg."""

import numpy as np
from numpy.typing import NDArray

from neuromoe.fsl.job import Job
from neuromoe.fsl.space import flirt_to_world, matrix_text, warp_to_chain, world_to_flirt
from neuromoe.imaging.geometry import Grid
from neuromoe.imaging.images import Image
from neuromoe.imaging.transforms import Affine, Chain


def bet(head: Image, *, fraction: float = 0.5) -> NDArray:
    """Find the brain by BET, its centre estimated again and again.

    Parameters
    ----------
    head : Image (X, Y, Z)
        A head; values must not be negative.
    fraction : float, default=0.5
        Intensity threshold, 0 to 1; smaller gives a larger brain.

    Returns
    -------
    array (X, Y, Z) of bool

    References
    ----------
    .. [1] Smith (2002), Fast robust automated brain extraction, Human Brain Mapping 17, doi:10.1002/hbm.10062.
    """
    with Job() as job:
        source = job.write(head, "head.nii.gz")
        target = str(job.path("brain.nii.gz"))
        job.run("BET", programs=["bet"], in_file=source, out_file=target, mask=True, robust=True, frac=fraction)
        return job.read("brain_mask.nii.gz", like=head, ndim=3).data > 0.5


def fast(head: Image, mask: NDArray) -> NDArray:
    """Segment a T1-weighted brain into CSF, GM and WM by FAST.

    Parameters
    ----------
    head : Image (X, Y, Z)
        A T1w image.
    mask : array (X, Y, Z) of bool
        The brain.

    Returns
    -------
    array (3, X, Y, Z), float32
        Partial volumes of CSF, GM and WM; zero outside the mask.

    Raises
    ------
    FslError
        FAST failed: the mask holds no brain.

    References
    ----------
    .. [1] Zhang, Brady & Smith (2001), Segmentation of brain MR images through a hidden Markov random field model and
       the expectation-maximization algorithm, IEEE Trans. Med. Imaging 20, doi:10.1109/42.906424.
    """
    with Job() as job:
        brain = job.write(head.like(np.where(mask, head.data, 0)), "brain.nii.gz")
        job.run(
            "FAST",
            programs=["fast"],
            in_files=brain,
            out_basename=str(job.path("tissue")),
            img_type=1,
            number_classes=3,
            segments=True,
        )
        # In a T1w FAST numbers the classes from dark to bright.
        parts = [job.read(f"tissue_pve_{index}.nii.gz", like=head, ndim=3).data for index in range(3)]
    return np.stack([np.clip(part, 0, 1) * mask for part in parts]).astype(np.float32)


def flirt(
    fixed: Image,
    moving: Image,
    *,
    dof: int = 12,
    cost: str = "corratio",
    initial: Affine | None = None,
) -> Affine:
    """Find the linear map from `fixed` to `moving` by FLIRT.

    Parameters
    ----------
    fixed, moving : Image (X, Y, Z)
        The images.
    dof : int, default=12
        6 is rigid, 7 a similarity, 12 affine.
    cost : str, default="corratio"
        `corratio`, `normcorr`, `mutualinfo`, `normmi` or `leastsq`.
    initial : Affine, optional
        Where to start; the search over angles is left out then.

    Returns
    -------
    Affine
        World points of `fixed` to those of `moving`.

    References
    ----------
    .. [1] Jenkinson et al. (2002), Improved optimization for the robust and accurate linear registration and motion
       correction of brain images, NeuroImage 17, doi:10.1006/nimg.2002.1132.
    """
    with Job() as job:
        return _flirt(job, job.write(fixed, "fixed.nii.gz"), job.write(moving, "moving.nii.gz"), fixed.grid,
                      moving.grid, dof, cost, initial)  # fmt: skip


def _flirt(
    job: Job,
    fixed: str,
    moving: str,
    fixed_grid: Grid,
    moving_grid: Grid,
    dof: int,
    cost: str,
    initial: Affine | None,
) -> Affine:
    start = {}
    if initial is not None:
        matrix = world_to_flirt(initial, fixed_grid, moving_grid)
        start = {"in_matrix_file": job.write_text("start.mat", matrix_text(matrix)), "no_search": True}
    job.run(
        "FLIRT",
        programs=["flirt"],
        in_file=moving,
        reference=fixed,
        out_file=str(job.path("flirted.nii.gz")),
        out_matrix_file=str(job.path("linear.mat")),
        dof=dof,
        cost=cost,
        **start,
    )
    return flirt_to_world(job.table("linear.mat"), fixed_grid, moving_grid)


def fnirt(fixed: Image, moving: Image, *, linear: Affine | None = None) -> tuple[Chain, Chain]:
    """Register two brains by FLIRT and FNIRT.

    Parameters
    ----------
    fixed, moving : Image (X, Y, Z)
        Of one contrast.
    linear : Affine, optional
        World points of `fixed` to those of `moving`; without it FLIRT finds it.

    Returns
    -------
    chain, inverse : tuple of transforms
        World points of `fixed` to those of `moving`, and back.

    References
    ----------
    .. [1] Andersson, Jenkinson & Smith (2010), Non-linear registration, aka spatial normalisation, FMRIB technical
       report TR07JA2.
    """
    with Job() as job:
        target, source = job.write(fixed, "fixed.nii.gz"), job.write(moving, "moving.nii.gz")
        if linear is None:
            linear = _flirt(job, target, source, fixed.grid, moving.grid, 12, "corratio", None)
        matrix = job.write_text("affine.mat", matrix_text(world_to_flirt(linear, fixed.grid, moving.grid)))
        job.run(
            "FNIRT",
            programs=["fnirt"],
            in_file=source,
            ref_file=target,
            affine_file=matrix,
            fieldcoeff_file=str(job.path("coefficients.nii.gz")),
            field_file=str(job.path("warp.nii.gz")),
            warped_file=str(job.path("warped.nii.gz")),
            log_file=str(job.path("fnirt.log")),
        )
        job.run(
            "InvWarp",
            programs=["invwarp"],
            warp=str(job.path("warp.nii.gz")),
            reference=source,
            inverse_warp=str(job.path("inverse.nii.gz")),
            relative=True,
        )
        chain = warp_to_chain(job.read("warp.nii.gz", like=fixed, ndim=4), moving.grid, linear)
        back = warp_to_chain(job.read("inverse.nii.gz", like=moving, ndim=4), fixed.grid, linear.inverse())
    return chain, back


def epi_reg(moving: Image, head: Image, brain: NDArray, white: NDArray) -> Affine:
    """Lay an echo-planar image onto a T1w by its boundary of grey and white matter (epi_reg).

    Parameters
    ----------
    moving : Image (X, Y, Z)
        The mean BOLD or b=0 volume.
    head : Image (X, Y, Z)
        The T1w.
    brain, white : array (X, Y, Z) of bool
        Brain and white matter of the T1w.

    Returns
    -------
    Affine
        World points of the T1w to those of `moving`.

    References
    ----------
    .. [1] Greve & Fischl (2009), Accurate and robust brain image alignment using boundary-based registration,
       NeuroImage 48, doi:10.1016/j.neuroimage.2009.06.060.
    """
    with Job() as job:
        job.run(
            "EpiReg",
            programs=["epi_reg"],
            epi=job.write(moving, "epi.nii.gz"),
            t1_head=job.write(head, "head.nii.gz"),
            t1_brain=job.write(head.like(np.where(brain, head.data, 0)), "brain.nii.gz"),
            wmseg=job.write(head.like(white), "white.nii.gz"),
            out_base="epi2struct",
            no_clean=False,
        )
        return flirt_to_world(job.table("epi2struct.mat"), head.grid, moving.grid)
