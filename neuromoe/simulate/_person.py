"""A person as a world of tissue properties, and sampling of it at any scanner point."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuromoe.imaging.geometry import Grid
from neuromoe.imaging.images import Image
from neuromoe.simulate._body import draw_body
from neuromoe.simulate._effects import strengths
from neuromoe.simulate._people import Person
from neuromoe.simulate._protocol import SIZES, Size
from neuromoe.simulate._sampling import regular_grid, sample, stream
from neuromoe.simulate._shape import Shape, draw_shape
from neuromoe.simulate._template import BRAIN, bundled_brain, thin

# The template's brain lies within these corners, with a margin of 5 mm.
BRAIN_LOW_MM, BRAIN_HIGH_MM = (-77.0, -112.0, -79.0), (77.0, 78.0, 87.0)


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Everything about a person that all scans share.

    Parameters
    ----------
    brain : Image (X, Y, Z, 4)
        The template's T1, GM, WM and brain, with this person's thinning; template space.
    body : Image (X, Y, Z, 3)
        T1, T2 and diffusivity around the brain; template space.
    shape : Shape
        T1w world to template world.
    planted : dict
        Strength of each effect in this person.
    """

    person: Person
    size: Size
    seed: int
    brain: Image
    body: Image
    shape: Shape
    planted: dict[str, float]

    def rng(self, name: str) -> np.random.Generator:
        """Return this person's random numbers for one purpose."""
        return stream(self.seed, self.person.participant_id, name)


@dataclass(frozen=True, eq=False)
class Tissue:
    """Tissue at N points: shares of brain, GM, WM and CSF (the three sum to the brain's), and the rest.

    Parameters
    ----------
    t1 : array (N,)
        The template's T1 intensity where there is brain, times its share.
    body : array (N, 3)
        T1, T2 and diffusivity of what is not brain.
    """

    t1: NDArray
    gm: NDArray
    wm: NDArray
    csf: NDArray
    brain: NDArray
    body: NDArray


def draw_anatomy(person: Person, seed: int, effects: dict[str, float] | None = None) -> Anatomy:
    """Build a person from the seed."""
    size = SIZES[person.size]
    planted = {name: person.severity * strength for name, strength in strengths(effects).items()}
    whole = bundled_brain(size.template_mm)
    mask = whole.like(whole.data[..., BRAIN])
    body = draw_body(stream(seed, person.participant_id, "body"), mask, voxel_mm=size.body_mm, age_years=person.age)
    shape = draw_shape(stream(seed, person.participant_id, "shape"), planted["volume_drop"])
    return Anatomy(person, size, seed, thin(whole, planted["thinning"]), body, shape, planted)


def tissue_at(anatomy: Anatomy, template_points_mm: NDArray) -> Tissue:
    """Look up the tissue at template points (N, 3)."""
    inside = ((template_points_mm > BRAIN_LOW_MM) & (template_points_mm < BRAIN_HIGH_MM)).all(axis=1)
    values = np.zeros((len(template_points_mm), 4), np.float32)
    values[inside] = sample(anatomy.brain, template_points_mm[inside])
    t1, gm, wm, brain = values.T
    # Interpolation keeps the template's shares, which sum to the mask's at most up to rounding.
    csf = np.maximum(brain - gm - wm, 0)
    return Tissue(t1, gm, wm, csf, brain, sample(anatomy.body, template_points_mm))


def property_grid(anatomy: Anatomy) -> Grid:
    """Return the grid, T1w world, on which a person's diffusion and BOLD properties are laid down."""
    return regular_grid((-116.0, -134.0, -96.0), (116.0, 116.0, 112.0), anatomy.size.property_mm)
