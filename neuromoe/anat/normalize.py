"""Register a brain to the template and bring its maps there."""

from pathlib import Path
from typing import Any

from neuromoe.core.geometry import map_points
from neuromoe.core.images import load_image, save_image
from neuromoe.core.provenance import write_sidecar
from neuromoe.core.quality import write_quality
from neuromoe.core.template import Template
from neuromoe.core.transforms import write_transform


def normalize(
    *,
    preproc: Path,
    mask: Path,
    gm: Path,
    wm: Path,
    csf: Path,
    template: Path,
    t1w_template: Path,
    gm_template: Path,
    wm_template: Path,
    csf_template: Path,
    logjacobian: Path,
    t1w_to_template: Path,
    template_to_t1w: Path,
    quality: Path,
    registration_mm: float = 2.0,
    iterations: str = "100x50x10",
    registration_backend: str = "greedy",
    seed: int = 0,
) -> None:
    """Find the affine and deformable map to the template; write T1w, tissues and log-Jacobian there.

    Parameters
    ----------
    preproc, mask, gm, wm, csf : path
        What `anat extract` wrote.
    template : path
        The prepared template.
    t1w_template, gm_template, wm_template, csf_template : path
        The maps on the template's grid; one linear interpolation each.
    logjacobian : path
        Logarithm of the local volume of this brain over the template's; affine part included.
    t1w_to_template, template_to_t1w : path
        Both transforms, as ITK composites.
    quality : path
        Quality numbers.
    registration_mm : float, default=2.0
        The registration runs on voxels no finer than this, mm.
    iterations : str, default="100x50x10"
        Of the deformable registration, from the coarsest to the finest level.
    registration_backend : str, default="greedy"
        `greedy`, or `fsl`, FLIRT and FNIRT, to which the two settings above mean nothing.
    seed : int, default=0
        Of the registration.

    References
    ----------
    .. [1] Ashburner & Friston (2000), Voxel-based morphometry: the methods, NeuroImage 11,
       doi:10.1006/nimg.2000.0582.
    """
    from neuromoe.anat._jacobian import log_jacobian
    from neuromoe.anat._register import brain_image, on_template, overlap, register, register_by_fsl

    tissue_maps = (gm_template, wm_template, csf_template)
    target = Template.load(template)
    head, inside = load_image(preproc, ndim=3), load_image(mask, ndim=3)
    print("registration", flush=True)
    brain = brain_image(head, inside)
    if registration_backend == "fsl":
        chain, inverse = register_by_fsl(brain, target)
    else:
        chain, inverse = register(brain, target, voxel_mm=registration_mm, iterations=iterations, seed=seed)
    print("maps", flush=True)
    images = {t1w_template: head}
    images |= {path: load_image(tissue, ndim=3) for path, tissue in zip(tissue_maps, (gm, wm, csf), strict=True)}
    # Where each voxel of the template lies in the T1w: found once, used by every map.
    points = map_points(chain, target.grid.world())
    jacobian = log_jacobian(points, target.grid)
    parameters: dict[str, Any] = {"registration_mm": registration_mm, "iterations": iterations, "seed": seed}
    parameters |= {"registration_backend": registration_backend}
    for path, image in images.items():
        save_image(on_template(image, target.grid, points), path, target.grid.affine)
        write_sidecar(path, sources=[preproc, template], parameters=parameters, SpatialReference=target.label)
    save_image(jacobian * target.brain_mask, logjacobian, target.grid.affine)
    write_sidecar(logjacobian, sources=[t1w_to_template], SpatialReference=target.label)
    write_transform(t1w_to_template, chain)
    write_transform(template_to_t1w, inverse)
    numbers = overlap(head, inside, target, points) | {
        "log_jacobian_sd": float(jacobian[target.brain_mask].std()),
        "log_jacobian_min": float(jacobian[target.brain_mask].min()),
    }
    verdict, reasons = _judge(numbers)
    write_quality(quality, numbers, verdict, reasons)


def _judge(numbers: dict[str, float]) -> tuple[str, list[str]]:
    dice = numbers["template_dice"]
    if dice < 0.8:
        return "fail", [f"the brain overlaps the template's with a Dice of {dice:.2f}, less than 0.80"]
    if dice < 0.9:
        return "warn", [f"the brain overlaps the template's with a Dice of {dice:.2f}, less than 0.90"]
    return "pass", []
