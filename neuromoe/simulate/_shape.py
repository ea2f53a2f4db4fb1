"""The person's form: how the world of the T1w maps to the template's world.

The map is `T(p) = V(A p + u(A p))`: affine A, smooth random displacement u, planted local volume changes V.
It is laid down once as a displacement on a 5 mm grid and from then on that grid, trilinearly, IS the map:
what is stored as truth is what made the images.
"""

import numpy as np
from numpy.typing import NDArray

from neuromoe.imaging.geometry import apply_affine, rotation_matrix
from neuromoe.imaging.transforms import Displacement
from neuromoe.simulate._effects import EFFECTS, PLACES
from neuromoe.simulate._sampling import regular_grid, smooth_noise, trilinear

LOW_MM, HIGH_MM, SPACING_MM = (-130.0, -146.0, -176.0), (130.0, 130.0, 126.0), 5.0
COMPONENTS_MM = (
    (18.0, 2.0),
    (8.0, 0.35),
)  # Smoothing and standard deviation per axis: 3.5 mm root mean square.
MINIMUM_JACOBIAN = 0.35
_PRECISION = 64  # Displacements are whole 64ths of a mm: their files compress twice as well.


class Shape:
    """A person's map to the template.

    Parameters
    ----------
    displacement : Displacement
        T1w world to template world, mm.
    """

    def __init__(self, displacement: Displacement) -> None:
        self.displacement = displacement
        self._to_voxel = np.linalg.inv(displacement.affine)
        self._jacobian = jacobian_matrices(displacement)

    def to_template(self, points_mm: NDArray) -> NDArray:
        """Map T1w world points (N, 3) to template world points."""
        return points_mm + trilinear(self.displacement.field, apply_affine(self._to_voxel, points_mm))

    def jacobian(self, points_mm: NDArray) -> NDArray:
        """Return the map's Jacobian matrices (N, 3, 3) at T1w world points."""
        flat = self._jacobian.reshape(*self._jacobian.shape[:3], 9)
        return trilinear(flat, apply_affine(self._to_voxel, points_mm)).reshape(-1, 3, 3)


def draw_shape(rng: np.random.Generator, volume_drop: float) -> Shape:
    """Draw a person's form.

    Parameters
    ----------
    volume_drop : float
        Share of the volume that is missing at the centres of the `volume_drop` places.
    """
    grid = regular_grid(LOW_MM, HIGH_MM, SPACING_MM)
    points = grid.world()
    matrix = _affine(rng)
    noise = [
        [sd_mm * smooth_noise(rng, grid.shape, smoothing_mm / SPACING_MM) for _ in range(3)]
        for smoothing_mm, sd_mm in COMPONENTS_MM
    ]
    random = np.sum(noise, axis=0).reshape(3, -1).T
    strength = 1.0
    while True:
        moved = shrink_places(apply_affine(matrix, points) + strength * random, volume_drop)
        field = (np.round((moved - points) * _PRECISION) / _PRECISION).reshape(*grid.shape, 3)
        displacement = Displacement(field.astype(np.float32), grid.affine)
        if np.linalg.det(jacobian_matrices(displacement)).min() > MINIMUM_JACOBIAN:
            return Shape(displacement)
        strength *= 0.9


def shrink_places(points_mm: NDArray, volume_drop: float) -> NDArray:
    """Push template points away from the centres of the `volume_drop` places.

    About a centre c the map is `x + k (x - c) exp(-|x - c|^2 / 2 s^2)`. Its determinant at c is (1 + k)^3, so
    a person's volume there is (1 + k)^-3 of the template's.
    """
    gain = (1 - volume_drop) ** (-1 / 3) - 1
    result = points_mm.copy()
    for place in (PLACES[name] for name in EFFECTS["volume_drop"].places):
        for center in place.all_centers_mm():
            offset = points_mm - np.array(center)
            result += gain * offset * np.exp(-(offset**2).sum(axis=-1, keepdims=True) / (2 * place.sd_mm**2))
    return result


def jacobian_matrices(displacement: Displacement) -> NDArray:
    """Return the Jacobian matrices (X, Y, Z, 3, 3) of the map on the displacement's own grid."""
    gradients = np.gradient(displacement.field, *np.diag(displacement.affine)[:3], axis=(0, 1, 2))
    return (np.stack(gradients, axis=-1) + np.eye(3)).astype(np.float32)


def _affine(rng: np.random.Generator) -> NDArray:
    """Draw position, tilt and size of the head: T1w world to template world."""
    angles = np.deg2rad(np.clip(rng.normal(0, [4.0, 2.0, 2.5]), -9, 9))
    scales = np.clip(rng.normal(1.0, 0.03) * rng.normal(1.0, 0.02, 3), 0.92, 1.09)
    matrix = np.eye(4)
    matrix[:3, :3] = rotation_matrix(angles) @ np.diag(scales)
    matrix[:3, 3] = np.clip(rng.normal(0, [2.5, 4.0, 4.0]), -8, 8)
    return matrix
