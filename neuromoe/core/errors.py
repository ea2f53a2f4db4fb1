"""The exception that a user meets when the input is not as it should be."""

from pathlib import Path


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
