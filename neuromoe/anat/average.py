"""Average the sessions of one person without preferring any, and register the average to the template."""

from pathlib import Path

from neuromoe.core.provenance import write_sidecar
from neuromoe.core.quality import write_quality
from neuromoe.imaging.images import load_image, save_image
from neuromoe.imaging.template import Template
from neuromoe.imaging.transforms import write_transform
from neuromoe.registration.ants import single_threaded


def average(
    *,
    preprocs: list[Path],
    masks: list[Path],
    template: Path,
    average_t1w: Path,
    average_mask: Path,
    average_to_template: Path,
    template_to_average: Path,
    quality: Path,
    registration_mm: float = 2.0,
    preset: str = "fast",
    iterations: str | None = None,
    registration_backend: str = "greedy",
    ants_transform: str = "SyN",
    seed: int = 0,
) -> None:
    """Average a person's sessions halfway between them and find the average's map to the template.

    Parameters
    ----------
    preprocs, masks : list of path
        What `anat extract` wrote of each session.
    template : path
        The prepared template.
    average_t1w : path
        Median of the sessions' T1w, around the brain; 1 is the median of a brain.
    average_mask : path
        The brain of at least half of the sessions.
    average_to_template, template_to_average : path
        Both transforms, as ITK composites; `anat normalize` puts each session's own change before them.
    quality : path
        Quality numbers of the average's registration to the template.
    registration_mm, preset, iterations, registration_backend, ants_transform : optional
        Of the average's registration to the template, as `anat normalize` has them; `registration_mm` of the
        rigid registrations, too.
    seed : int, default=0
        Of the registrations.

    References
    ----------
    .. [1] Reuter et al. (2012), Within-subject template estimation for unbiased longitudinal image analysis, NeuroImage
       61, doi:10.1016/j.neuroimage.2012.02.084.
    """
    single_threaded(seed)
    from neuromoe.anat._attempts import Settings, judge, register_well
    from neuromoe.anat._within import mean_head

    heads, brains = ([load_image(path, ndim=3) for path in paths] for paths in (preprocs, masks))
    print(f"average of {len(heads)} sessions", flush=True)
    head, mask, _ = mean_head(heads, brains, registration_mm=registration_mm, seed=seed)
    print("registration", flush=True)
    settings = Settings.of(registration_backend, preset, ants_transform, registration_mm, iterations, seed)
    found, record = register_well(head, mask, Template.load(template), settings)
    verdict, reasons = judge(found.numbers)
    save_image(head, average_t1w)
    save_image(mask, average_mask, dtype="uint8")
    parameters = {"registration_mm": registration_mm, "preset": preset, "iterations": iterations, "seed": seed}
    parameters |= {"registration_backend": registration_backend, "ants_transform": ants_transform}
    for path in (average_t1w, average_mask):
        write_sidecar(
            path,
            sources=[*preprocs, *masks],
            parameters=parameters,
            SkullStripped=False,
            Registration=record,
            Verdict=verdict,
            Reasons=reasons,
        )
    write_transform(average_to_template, found.chain)
    write_transform(template_to_average, found.inverse)
    write_quality(quality, found.numbers | {"sessions": len(heads)}, verdict, reasons)
