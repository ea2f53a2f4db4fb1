"""Clean a T1-weighted image and find the brain and its tissues, on the image's own grid."""

from pathlib import Path

from neuromoe.core.provenance import write_sidecar
from neuromoe.core.quality import worst, write_quality
from neuromoe.imaging.header import check_header
from neuromoe.imaging.images import load_image, save_image
from neuromoe.imaging.template import Template
from neuromoe.registration.ants import single_threaded


def extract(
    *,
    t1w: Path,
    template: Path,
    preproc: Path,
    mask: Path,
    gm: Path,
    wm: Path,
    csf: Path,
    quality: Path,
    registration_mm: float = 4.0,
    segmentation_mm: float | None = None,
    bias_shrink_factor: int = 4,
    mask_backend: str = "greedy",
    tissue_backend: str = "ants",
    seed: int = 0,
) -> None:
    """Correct the bias field, mask the brain and segment it into three tissues.

    Parameters
    ----------
    t1w : path
        A T1-weighted image (X, Y, Z), in any orientation.
    template : path
        The prepared template.
    preproc : path
        The bias-corrected whole head, in RAS+ order.
    mask : path
        The brain, 0 or 1.
    gm, wm, csf : path
        Probabilities of the tissues.
    quality : path
        Quality numbers and the verdict on the mask.
    registration_mm : float, default=4.0
        Voxels of the registration that brings the template's mask, mm.
    segmentation_mm : float, optional
        A finer image is segmented on cubic voxels of this edge, mm; without it 1.25 by `ants`, 1 by `torch`.
    bias_shrink_factor : int, default=4
        N4's subsampling of a copy of the head on 2 mm voxels.
    mask_backend : str, default="greedy"
        What finds the brain: `greedy`, by the template, or `fsl`, by BET. The template's way is found either way.
    tissue_backend : str, default="ants"
        What finds the tissues: `ants`, by Atropos, `torch`, by a mixture of normal distributions, or `fsl`, by FAST.
    seed : int, default=0
        Of the registration.

    Raises
    ------
    InputError
        The image cannot be read, is not 3-D, holds nothing, or its header gives other units or impossible voxels.
    """
    single_threaded(seed)
    from neuromoe.anat._brain import find_brain, with_mask
    from neuromoe.anat._head import check_content, correct_bias
    from neuromoe.anat._plausible import judge
    from neuromoe.anat._quality import tissue_quality
    from neuromoe.anat._tissues import by_intensity, segment
    from neuromoe.fsl import bet, fast

    raw = load_image(t1w, ndim=3)
    check_content(raw, t1w)
    doubts = check_header(t1w)
    print("bias field", flush=True)
    head = correct_bias(raw, shrink_factor=bias_shrink_factor)
    print("brain mask", flush=True)
    target = Template.load(template)
    brain = find_brain(head, target, voxel_mm=registration_mm, seed=seed)
    if mask_backend == "fsl":
        brain = with_mask(brain, bet(head))
    verdict, reasons = judge(brain, head)
    if doubts:
        verdict, reasons = worst([verdict, "warn"]), [*reasons, *doubts]
    print(f"tissues; mask: {verdict} {'; '.join(reasons)}", flush=True)
    try:
        if tissue_backend == "fsl":
            tissues = fast(head, brain.mask)
        else:
            way = brain.to_template
            tissues = segment(head, brain.mask, target, way, voxel_mm=segmentation_mm, backend=tissue_backend)
    except RuntimeError as err:
        verdict, reasons = "fail", [*reasons, str(err)]
        tissues = by_intensity(head, brain.mask)
    parameters = {
        "registration_mm": registration_mm,
        "segmentation_mm": segmentation_mm,
        "bias_shrink_factor": bias_shrink_factor,
        "mask_backend": mask_backend,
        "tissue_backend": tissue_backend,
        "seed": seed,
    }
    save_image(head, preproc)
    save_image(head.like(brain.mask), mask, dtype="uint8")
    for path, tissue in zip((csf, gm, wm), tissues, strict=True):
        save_image(head.like(tissue), path)
    judged = {"Verdict": verdict, "Reasons": reasons}
    for path in (preproc, mask, gm, wm, csf):
        write_sidecar(path, sources=[t1w, template], parameters=parameters, SkullStripped=False, **judged)
    numbers = tissue_quality(head, brain, tissues)
    write_quality(quality, numbers, verdict, reasons)
