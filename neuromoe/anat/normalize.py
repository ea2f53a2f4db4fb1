"""Register a brain to the template and bring its maps there."""

from pathlib import Path
from typing import Any

import numpy as np

from neuromoe.core.provenance import write_sidecar
from neuromoe.core.quality import write_quality
from neuromoe.imaging.images import load_image, save_image
from neuromoe.imaging.template import Template
from neuromoe.imaging.transforms import write_transform
from neuromoe.registration.ants import single_threaded


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
    modulated: Path,
    t1w_to_template: Path,
    template_to_t1w: Path,
    quality: Path,
    average_t1w: Path | None = None,
    average_mask: Path | None = None,
    average_to_template: Path | None = None,
    template_to_average: Path | None = None,
    registration_mm: float = 2.0,
    preset: str = "fast",
    iterations: str | None = None,
    registration_backend: str = "greedy",
    ants_transform: str = "SyN",
    seed: int = 0,
) -> None:
    """Find the affine and deformable map to the template; write T1w, tissues and log-Jacobian there.

    With the average of the person's sessions, the session is registered to that, rigidly and then deformably, and goes
    on to the template by the map that all sessions of the person share.

    Parameters
    ----------
    preproc, mask, gm, wm, csf : path
        What `anat extract` wrote.
    template : path
        The prepared template.
    t1w_template, gm_template, wm_template, csf_template : path
        The maps on the template's grid; one linear interpolation each.
    modulated : path
        Grey matter on the template's grid times the local volume: its sum is the volume of the person's grey matter.
    logjacobian : path
        Logarithm of the local volume of this brain over the template's; affine part included.
    t1w_to_template, template_to_t1w : path
        Both transforms, as ITK composites.
    quality : path
        Quality numbers.
    average_t1w, average_mask, average_to_template, template_to_average : path, optional
        What `anat average` wrote.
    registration_mm : float, default=2.0
        The registration runs on voxels no finer than this, mm.
    preset : str, default="fast"
        `sloppy`, `fast` or `precise`: greedy's iterations, levels and smoothing.
    iterations : str, optional
        Of greedy's deformable part, from the coarsest to the finest level, in place of the preset's.
    registration_backend : str, default="greedy"
        `greedy`, `ants`, or `fsl`, FLIRT and FNIRT, to which the settings above mean nothing.
    ants_transform : str, default="SyN"
        What `ants` runs: `SyN`, `SyNQuick`, `antsRegistrationSyN[s]`, `antsRegistrationSyNRepro[s]` or
        `antsRegistrationSyNQuickRepro[s]`.
    seed : int, default=0
        Of the registration.

    References
    ----------
    .. [1] Ashburner & Friston (2000), Voxel-based morphometry: the methods, NeuroImage 11,
       doi:10.1006/nimg.2000.0582.
    .. [2] Reuter et al. (2012), Within-subject template estimation for unbiased longitudinal image analysis, NeuroImage
       61, doi:10.1016/j.neuroimage.2012.02.084.
    """
    single_threaded(seed)
    from neuromoe.anat._attempts import Settings, judge, register_well
    from neuromoe.anat._jacobian import log_jacobian
    from neuromoe.anat._register import on_template
    from neuromoe.anat._within import Average, register_by_average

    target = Template.load(template)
    head, inside = load_image(preproc, ndim=3), load_image(mask, ndim=3)
    print("registration", flush=True)
    shared = [path for path in (average_t1w, average_mask, average_to_template, template_to_average) if path]
    if shared:
        person = Average.load(*shared)
        found, record = register_by_average(head, inside, person, target, registration_mm=registration_mm, seed=seed)
    else:
        settings = Settings.of(registration_backend, preset, ants_transform, registration_mm, iterations, seed)
        found, record = register_well(head, inside, target, settings)
    verdict, reasons = judge(found.numbers)
    print(f"maps; registration: {verdict} {'; '.join(reasons)}", flush=True)
    parameters: dict[str, Any] = {"registration_mm": registration_mm, "preset": preset, "iterations": iterations}
    parameters |= {"registration_backend": registration_backend, "ants_transform": ants_transform, "seed": seed}
    fields = {"SpatialReference": target.label, "Registration": record, "Verdict": verdict, "Reasons": reasons}
    tissues = zip((gm_template, wm_template, csf_template), (gm, wm, csf), strict=True)
    carried = {}
    for path, source in [(t1w_template, preproc), *tissues]:
        image = head if source == preproc else load_image(source, ndim=3)
        carried[path] = on_template(image, target.grid, found.points)
        save_image(carried[path], path, target.grid.affine)
        write_sidecar(path, sources=[source, template, *shared], parameters=parameters, **fields)
    jacobian = log_jacobian(found.volumes)
    save_image(jacobian * target.brain_mask, logjacobian, target.grid.affine)
    write_sidecar(logjacobian, sources=[t1w_to_template], parameters=parameters, **fields)
    save_image(carried[gm_template] * np.exp(jacobian), modulated, target.grid.affine)
    write_sidecar(modulated, sources=[gm_template, logjacobian], parameters=parameters, **fields)
    write_transform(t1w_to_template, found.chain)
    write_transform(template_to_t1w, found.inverse)
    spread = {
        "log_jacobian_sd": float(jacobian[target.brain_mask].std()),
        "log_jacobian_min": float(jacobian[target.brain_mask].min()),
    }
    write_quality(quality, found.numbers | spread | {"registrations": len(record["Tried"])}, verdict, reasons)
