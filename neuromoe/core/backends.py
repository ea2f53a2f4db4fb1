"""Which program does which part of a step: chosen once, when the job graph is built. Standard library only."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuromoe.core.atomic import write_json
from neuromoe.core.errors import InputError

# What a program may also be called; FSL renamed some between releases.
OTHER_NAMES = {"eddy": ("eddy_cpu", "eddy_openmp", "eddy")}
# Programs that envs/fsl.yaml does not bring.
NOT_IN_ENVIRONMENT = ("slicetimer",)
INSTALL = (
    "run with `--sdm conda`, which installs envs/fsl.yaml, or install FSL by its own installer (fslinstaller.py) and "
    "put its bin folder on PATH, or choose another backend"
)
NONE = "none"


@dataclass(frozen=True)
class Choice:
    """A setting that chooses a backend.

    Parameters
    ----------
    setting : str
        Where it stands in the configuration.
    ours : tuple of str
        Backends that need nothing more; `auto` takes the first.
    programs : tuple of str
        What the backend `fsl` runs; nothing where there is none.
    prefers_fsl : bool
        `auto` takes FSL where all its programs are there: nothing else does this.
    """

    setting: str
    ours: tuple[str, ...]
    programs: tuple[str, ...] = ()
    prefers_fsl: bool = False


CHOICES = (
    Choice("anat.extract.mask_backend", ("greedy",), ("bet",)),
    Choice("anat.extract.tissue_backend", ("ants", "torch"), ("fast",)),
    Choice("anat.normalize.registration_backend", ("greedy", "ants"), ("flirt", "fnirt", "invwarp")),
    Choice("dwi.correct.motion_backend", ("torch",), ("eddy",)),
    Choice("dwi.correct.fieldmap_backend", (NONE,), ("topup", "eddy"), prefers_fsl=True),
    Choice("dwi.correct.denoise_backend", ("numpy", "dipy")),
    Choice("dwi.normalize.tensor_backend", ("torch", "dipy"), ("dtifit",)),
    Choice("dwi.normalize.coregistration_backend", ("scipy",), ("epi_reg", "flirt")),
    Choice("func.correct.motion_backend", ("torch",), ("mcflirt",)),
    Choice("func.correct.slice_timing_backend", ("scipy",), ("slicetimer",)),
    Choice("func.correct.coregistration_backend", ("scipy",), ("epi_reg", "flirt")),
    Choice(
        "func.correct.fieldmap_backend",
        (NONE,),
        ("topup", "fsl_prepare_fieldmap", "prelude", "fugue", "flirt", "bet"),
        prefers_fsl=True,
    ),
)  # fmt: skip
PROGRAMS = tuple(dict.fromkeys(program for choice in CHOICES for program in choice.programs))

Which = Callable[[str], str | None]


def find_program(program: str, which: Which = shutil.which) -> str | None:
    """Return the path of a program under any of its names, or None."""
    return next((path for name in OTHER_NAMES.get(program, (program,)) if (path := which(name))), None)


def missing_program(program: str, setting: str | None = None) -> InputError:
    """Return the error of a program that is not installed."""
    asked = f"{setting}: fsl" if setting else "FSL"
    return InputError(
        expected=f"FSL's program {' or '.join(OTHER_NAMES.get(program, (program,)))} on PATH",
        found="none",
        where=asked,
        fix=INSTALL,
    )


def resolve(settings: Mapping[str, Any], which: Which = shutil.which) -> dict[str, str]:
    """Choose the backend of every setting, looking for FSL's programs one by one.

    Parameters
    ----------
    settings : mapping
        The configuration with its defaults.
    which : callable
        Finds a program on PATH.

    Returns
    -------
    dict
        Each setting that the configuration has, and the name of its backend.

    Raises
    ------
    InputError
        `fsl` is asked for and programs are missing; all of them are told together.

    Examples
    --------
    >>> settings = {"func": {"correct": {"motion_backend": "auto", "fieldmap_backend": "auto"}}}
    >>> resolve(settings, which=lambda program: None)
    {'func.correct.motion_backend': 'torch', 'func.correct.fieldmap_backend': 'none'}
    """
    chosen, missing = {}, []
    for choice in CHOICES:
        asked = _value(settings, choice.setting)
        if asked is None:
            continue
        lacking = [program for program in choice.programs if not find_program(program, which)]
        if asked == "fsl":
            missing += [(program, choice.setting) for program in lacking]
        automatic = "fsl" if choice.prefers_fsl and not lacking else choice.ours[0]
        chosen[choice.setting] = automatic if asked == "auto" else str(asked)
    _stop_if_missing(missing)
    return chosen


def _value(settings: Mapping[str, Any], setting: str) -> Any:
    for key in setting.split("."):
        settings = settings.get(key, {}) if isinstance(settings, Mapping) else {}
    return settings or None


def _stop_if_missing(missing: list[tuple[str, str]]) -> None:
    if missing:
        lines = [f"\n  {program}, which {setting}: fsl runs" for program, setting in missing]
        raise InputError(
            expected="FSL's programs on PATH",
            found=f"{len(missing)} missing:{''.join(lines)}\n",
            where="configuration",
            fix=INSTALL,
        )


def asks_for_fsl(settings: Mapping[str, Any]) -> bool:
    """Tell whether the configuration names FSL for any part.

    Examples
    --------
    >>> asks_for_fsl({"func": {"correct": {"motion_backend": "fsl"}}}), asks_for_fsl({})
    (True, False)
    """
    return any(_value(settings, choice.setting) == "fsl" for choice in CHOICES)


def lacking_programs(setting: str, which: Which = shutil.which) -> list[str]:
    """Return the programs that the backend `fsl` of a setting runs and that are not installed."""
    (choice,) = (choice for choice in CHOICES if choice.setting == setting)
    return [program for program in choice.programs if not find_program(program, which)]


def with_backends(settings: dict[str, Any], chosen: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings with each backend by its own name, never `auto`."""
    result = json.loads(json.dumps(settings))
    for setting, name in chosen.items():
        *keys, last = setting.split(".")
        block = result
        for key in keys:
            block = block[key]
        block[last] = name
    return result


def check_record(path: Path | str, chosen: Mapping[str, str]) -> None:
    """Refuse a choice that differs from that of an earlier run in the same output.

    Raises
    ------
    InputError
        The sessions that are done would have been made by other programs than those still to come.
    """
    path = Path(path)
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    differ = [key for key in before if key in chosen and before[key] != chosen[key]]
    if differ:
        lines = [f"\n  {key}: {before[key]} before, {chosen[key]} now" for key in differ]
        raise InputError(
            expected="the backends that the earlier run of this output_dir used",
            found=f"others:{''.join(lines)}\n",
            where=path,
            fix="name the earlier ones in the configuration (and let their programs be found), or take another "
            "output_dir, or delete this file to have every session made again",
        )


def write_record(path: Path | str, chosen: Mapping[str, str]) -> None:
    """Write what was chosen, for later runs and for the jobs."""
    write_json(path, dict(chosen))


def read_record(path: Path | str) -> dict[str, str]:
    """Read what :func:`write_record` wrote."""
    return json.loads(Path(path).read_text(encoding="utf-8"))
