"""Tell what this machine offers."""

import os
import platform
import shutil
from pathlib import Path

PACKAGES = (
    "antspyx",
    "dipy",
    "nibabel",
    "nilearn",
    "nipype",
    "picsl_greedy",
    "scikit-learn",
    "snakemake",
    "torch",
)


def doctor(*, template: str = "nilearn", output_dir: Path = Path()) -> None:
    """Print versions, threads, memory, free disk, optional tools and the state of the template.

    Parameters
    ----------
    template : str, default="nilearn"
        The setting `template` whose state is looked up.
    output_dir : path, default=.
        The folder whose disk is looked at.
    """
    for title, lines in {
        "software": _software(),
        "machine": _machine(output_dir),
        "FSL (optional)": _fsl(),
        "template": [_template_state(template)],
    }.items():
        print(title)
        for line in lines:
            print(f"  {line}")


def _software() -> list[str]:
    from neuromoe.core.provenance import versions

    found = {"python": platform.python_version()} | versions(PACKAGES)
    missing = [name for name in PACKAGES if name not in found]
    return [f"{name:14} {number}" for name, number in found.items()] + [f"{name:14} MISSING" for name in missing]


def _machine(folder: Path) -> list[str]:
    import psutil

    memory = psutil.virtual_memory()
    free = shutil.disk_usage(folder).free
    return [
        f"cores          {len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()}",
        f"memory         {memory.total / 2**30:.1f} GiB, {memory.available / 2**30:.1f} GiB available",
        f"disk           {free / 2**30:.0f} GiB free at {folder.resolve()}",
    ]


def _fsl() -> list[str]:
    from neuromoe.core.backends import PROGRAMS, find_program

    home = os.environ.get("FSLDIR", "not set")
    return [f"{'FSLDIR':20} {home}", *(f"{name:20} {find_program(name) or 'not found'}" for name in PROGRAMS)]


def _template_state(template: str) -> str:
    from neuromoe.core.errors import InputError
    from neuromoe.imaging.template import BUNDLED, read_description

    if template == BUNDLED:
        return "nilearn: bundled, offline, brain only; for real data a whole-head template is better"
    if Path(template).is_dir():
        try:
            description = read_description(template)
        except InputError as err:
            return f"not usable: {err}"
        gone = [
            name for name in (description["head"], description["brain_mask"]) if not (Path(template) / name).is_file()
        ]
        return f"{template}: " + (f"lacks {', '.join(gone)}" if gone else f"whole head, space {description['label']}")
    home = Path(os.environ.get("TEMPLATEFLOW_HOME", Path.home() / ".cache" / "templateflow"))
    here = any((home / f"tpl-{template}").glob("*.nii.gz")) if home.is_dir() else False
    return f"TemplateFlow {template}: " + (f"in {home}" if here else "is fetched on first use (needs a network)")
