"""Which effects are planted, where and how strong. Standard library only."""

import difflib
from dataclasses import dataclass
from typing import Any

from neuromoe.core.errors import InputError


@dataclass(frozen=True)
class Effect:
    """One planted effect at full severity.

    Parameters
    ----------
    default : float
        Strength, as a share.
    places : tuple of str
        Names in `PLACES`.
    """

    default: float
    places: tuple[str, ...]
    meaning: str


@dataclass(frozen=True)
class Place:
    """A soft place: a Gaussian about each centre, and about its mirror image.

    Parameters
    ----------
    centers_mm : tuple of points
        Template world, right side or midline.
    sd_mm : float
        Of the Gaussian.
    """

    centers_mm: tuple[tuple[float, float, float], ...]
    sd_mm: float

    def all_centers_mm(self) -> list[tuple[float, float, float]]:
        """Return the centres with their mirror images; those on the midline once."""
        mirrored = [(-x, y, z) for x, y, z in self.centers_mm if x]
        return [*self.centers_mm, *mirrored]


PLACES = {
    "midbrain": Place(((9.0, -18.0, -12.0),), 6.0),
    "pons": Place(((0.0, -28.0, -34.0),), 9.0),
    "putamen": Place(((26.0, 2.0, 1.0),), 9.0),
    "motor": Place(((38.0, -24.0, 56.0), (0.0, -8.0, 60.0)), 12.0),
    "temporal": Place(((34.0, 6.0, -32.0),), 13.0),
}
EFFECTS = {
    "fa_drop": Effect(0.35, ("midbrain", "pons"), "share of the diffusion tensor's anisotropy lost"),
    "md_rise": Effect(0.20, ("midbrain", "pons"), "rise of mean diffusivity"),
    "amplitude_drop": Effect(0.50, ("putamen", "motor"), "share of the motor network's BOLD amplitude lost"),
    "volume_drop": Effect(0.25, ("putamen", "midbrain"), "share of the volume lost at the places' centres"),
    "thinning": Effect(0.30, ("temporal",), "share of grey matter turned to CSF"),
}


def strengths(effects: dict[str, Any] | None = None) -> dict[str, float]:
    """Return every effect's strength: the defaults, and what `effects` says otherwise.

    Raises
    ------
    InputError
        A name that is no effect, or a strength outside 0 to 0.6 (at severity 1.6 nothing may turn negative).

    Examples
    --------
    >>> strengths({"fa_drop": 0.0})["fa_drop"]
    0.0
    """
    chosen = {name: effect.default for name, effect in EFFECTS.items()}
    for name, value in (effects or {}).items():
        if name not in chosen:
            nearest = difflib.get_close_matches(name, chosen, n=1) or [", ".join(chosen)]
            raise InputError(expected="a planted effect", found=repr(name), where="effects", fix=f"write {nearest[0]}")
        if not isinstance(value, int | float) or not 0 <= value <= 0.6:
            raise InputError(
                expected="a share from 0 to 0.6", found=repr(value), where=f"effects {name}", fix="correct it"
            )
        chosen[name] = float(value)
    return chosen
