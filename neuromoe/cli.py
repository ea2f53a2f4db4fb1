"""The command line: every step is a command, made from its function's signature and docstring.

Only the module that is asked for is imported, so that help and the job graph stay fast.
"""

import importlib
import json
import pkgutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cyclopts

import neuromoe
from neuromoe.core.errors import InputError

PACKAGE = Path(neuromoe.__file__).parent
LIBRARY = ("commands", "model", "cohort", "registration", "fsl", "imaging", "core")


def stages() -> dict[str, list[str]]:
    """Return the steps of each stage, read from the names of the files."""
    found = {}
    for folder in sorted(path for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()):
        if folder.name not in LIBRARY:
            found[folder.name] = steps(folder.name)
    return found


def steps(stage: str) -> list[str]:
    """Return the public modules of a package: a stage's steps, or the commands for people."""
    modules = pkgutil.iter_modules([str(PACKAGE / stage)])
    return sorted(module.name for module in modules if not module.name.startswith("_"))


def step_function(stage: str, step: str) -> Callable[..., None]:
    """Import a step's module and return its public function, which has the step's name."""
    return getattr(importlib.import_module(f"neuromoe.{stage}.{step}"), step)


def main(words: list[str] | None = None) -> None:
    """Run the command line; an error of the user's input ends with its message and status 1."""
    words = sys.argv[1:] if words is None else words
    try:
        _app(words)(words)
    except InputError as err:
        sys.exit(f"error: {err}")


def _app(words: list[str]) -> cyclopts.App:
    app = cyclopts.App(
        name="neuromoe",
        help=neuromoe.__doc__,
        version=neuromoe.__version__,
        help_format="plaintext",
        default_parameter=cyclopts.Parameter(consume_multiple=True, json_dict=True, json_list=True),
    )
    first, second = (*words, "", "")[:2]
    for stage, names in stages().items():
        package = importlib.import_module(f"neuromoe.{stage}")
        group = cyclopts.App(name=stage, help=package.__doc__, group="Stages")
        app.command(group)
        for step in names:
            _add(group, stage, step, asked=first == stage and second in ("", "-h", "--help", step))
    for command in steps("commands"):
        _add(app, "commands", command, asked=first in ("", "-h", "--help", command))
    return app


def _add(app: cyclopts.App, package: str, step: str, *, asked: bool) -> None:
    """Add a command; one that is not asked for stays unimported and is only a name."""
    name = step.replace("_", "-")
    app.command(
        _with_objects(step_function(package, step)) if asked else f"neuromoe.{package}.{step}:{step}",
        name=name,
    )


def _with_objects(function: Callable[..., None]) -> Callable[..., None]:
    """Let parameters of type dict take one word of JSON."""
    from typing import Annotated, get_type_hints

    hints = get_type_hints(function)
    for name, hint in hints.items():
        if "dict[" in str(hint):
            function.__annotations__[name] = Annotated[
                hint, cyclopts.Parameter(converter=_from_json, accepts_keys=False)
            ]
    return function


def _from_json(_type: Any, tokens: Any) -> Any:
    return json.loads(tokens[0].value)
