"""The exception that a user meets when the input is not as it should be."""

from dataclasses import asdict
from pathlib import Path
from typing import Any


class InputError(ValueError):
    """Say what was expected, what was found, where, and what to do.

    Parameters
    ----------
    expected, found : str
        What the step needs and what it met instead.
    where : str or path
        The file or setting at fault.
    fix : str
        What the user can do about it.

    Examples
    --------
    >>> print(InputError(expected="3 rows", found="4 rows", where="dwi.bvec", fix="transpose it"))
    dwi.bvec: expected 3 rows, found 4 rows. What to do: transpose it
    """

    def __init__(self, *, expected: str, found: str, where: str | Path, fix: str) -> None:
        super().__init__(f"{where}: expected {expected}, found {found}. What to do: {fix}")
        self.expected, self.found, self.where, self.fix = expected, found, str(where), fix


def settings_error(settings: Any, *, expected: str, of: str) -> InputError:
    """Return the error of a dataclass of settings that do not go together: it shows them all.

    Parameters
    ----------
    settings : dataclass
    expected : str
        What they should be.
    of : str
        Whose settings they are.
    """
    found = ", ".join(f"{name} {value!r}" for name, value in asdict(settings).items())
    return InputError(expected=expected, found=found, where=f"the settings of {of}", fix="correct them")
