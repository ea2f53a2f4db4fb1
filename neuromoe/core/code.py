"""A digest of the code that a step runs, blind to comments, docstrings and layout. Standard library only."""

import ast
import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import neuromoe

PACKAGE = Path(neuromoe.__file__).parent


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
    return ast.dump(_without_docstrings(_parsed(path))).encode()


@lru_cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return tree


@lru_cache
def _uses(path: Path) -> tuple[Path, ...]:
    """Return the package's files that a file needs: the modules it imports, and a report's page templates."""
    if path.suffix != ".py":
        return ()
    found = {module for name in _imported(path) if (module := _file(name))}
    templates = path.parent / "templates"
    return tuple(found | (set(templates.iterdir()) if templates.is_dir() else set()))


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(_parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _file(name: str) -> Path | None:
    first, *rest = name.split(".")
    if first != "neuromoe" or not rest:
        return None
    module, package = PACKAGE.joinpath(*rest).with_suffix(".py"), PACKAGE.joinpath(*rest, "__init__.py")
    return module if module.is_file() else package if package.is_file() else None
