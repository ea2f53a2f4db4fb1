"""A digest of the code that a step runs, blind to comments, docstrings and layout. Standard library only."""

import hashlib
import marshal
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import CodeType

import neuromoe

PACKAGE = Path(neuromoe.__file__).parent
_IMPORT = re.compile(r"^\s*(?:from|import) (neuromoe[\w.]*)(?: import (\([^)]*\)|[^\n]+))?", re.M)


@lru_cache
def code_digest(stage: str, step: str) -> str:
    """Digest the module of a step and every module of the package that it imports, directly or not.

    Parameters
    ----------
    stage, step : str
        Names of the package and of its module.

    Returns
    -------
    str
        12 hexadecimal digits that change when the code changes, and do not when a comment or a docstring does.
    """
    total = hashlib.sha256()
    for path in sorted(_reached(PACKAGE / stage / f"{step}.py")):
        total.update(str(path.relative_to(PACKAGE)).encode())
        total.update(_content(path))
    return total.hexdigest()[:12]


def _reached(start: Path) -> set[Path]:
    reached, waiting = set(), [start]
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            waiting += _uses(path)
    return reached


@lru_cache
def _content(path: Path) -> bytes:
    if path.suffix != ".py":
        return path.read_bytes()
    # Without docstrings and assertions, as Python's own -OO.
    code = compile(_text(path), "", "exec", dont_inherit=True, optimize=2)
    return marshal.dumps(_without_lines(code))


@lru_cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _without_lines(code: CodeType) -> CodeType:
    """Take out where each instruction stands in the file, so that a comment moves nothing."""
    constants = tuple(_without_lines(one) if isinstance(one, CodeType) else one for one in code.co_consts)
    return code.replace(co_consts=constants, co_firstlineno=1, co_linetable=b"")


@lru_cache
def _uses(path: Path) -> tuple[Path, ...]:
    """Return the package's files that a file needs: the modules it imports, and a report's page templates."""
    if path.suffix != ".py":
        return ()
    found = {module for name in _imported(_text(path)) if (module := _file(name))}
    templates = path.parent / "templates"
    return tuple(found | (set(templates.iterdir()) if templates.is_dir() else set()))


def _imported(text: str) -> Iterator[str]:
    """Yield the dotted names that a module imports from the package.

    Examples
    --------
    >>> list(_imported("from neuromoe.core import errors, code"))
    ['neuromoe.core', 'neuromoe.core.errors', 'neuromoe.core.code']
    """
    for package, names in _IMPORT.findall(text):
        yield package
        yield from (f"{package}.{name}" for name in re.findall(r"\w+", names))


def _file(name: str) -> Path | None:
    first, *rest = name.split(".")
    if first != "neuromoe" or not rest:
        return None
    module, package = PACKAGE.joinpath(*rest).with_suffix(".py"), PACKAGE.joinpath(*rest, "__init__.py")
    return module if module.is_file() else package if package.is_file() else None
