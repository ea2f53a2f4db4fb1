"""A step's quality numbers and its verdict on its own result."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.atomic import write_json

VERDICTS = ("pass", "warn", "fail")


def write_quality(
    path: Path | str, numbers: Mapping[str, float], verdict: str = "pass", reasons: Sequence[str] = ()
) -> None:
    """Write quality numbers with the verdict `pass`, `warn` or `fail` and the reasons for it."""
    if verdict not in VERDICTS:
        raise ValueError(f"verdict is one of {VERDICTS}, not {verdict!r}")
    rounded = {name: round(float(value), 6) for name, value in numbers.items()}
    write_json(path, {"numbers": rounded, "verdict": verdict, "reasons": list(reasons)})


def read_quality(path: Path | str) -> dict[str, Any]:
    """Read what :func:`write_quality` wrote; a number that was not finite is None."""
    return json.loads(Path(path).read_text())


def worst(verdicts: Sequence[str]) -> str:
    """Return the worst verdict of several; `pass` where there is none.

    Examples
    --------
    >>> worst(["pass", "warn"])
    'warn'
    """
    return max(verdicts, key=VERDICTS.index, default="pass")


def energy_ratio(inside: NDArray, outside: NDArray) -> float:
    """Return the median energy inside over that outside (MRIQC's `fber`), -1 where there is none outside.

    Examples
    --------
    >>> energy_ratio(np.array([4.0, 6.0, 8.0]), np.array([1.0, 2.0, 3.0]))
    9.0
    """
    energy = float(np.median(outside**2)) if outside.size else 0.0
    return float(np.median(inside**2)) / energy if energy >= 1e-3 else -1.0


def entropy_focus(data: NDArray) -> float:
    """Return the entropy focus criterion: 0 if all energy is in one voxel, 1 if it is spread evenly (MRIQC's `efc`).

    References
    ----------
    Atkinson et al. 1997, doi:10.1109/42.650886, as a share of an even image's.

    Examples
    --------
    >>> round(entropy_focus(np.ones((4, 4, 4))), 3)
    1.0
    """
    values = np.abs(data[data != 0]).astype(float)
    energy = np.sqrt((values**2).sum())
    share = values / energy
    most = np.sqrt(data.size) * np.log(np.sqrt(data.size))
    return float(-(share * np.log(share)).sum() / most)
