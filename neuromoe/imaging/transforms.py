"""Spatial transforms of world points, and ITK's files for them.

Inside, a transform maps RAS+ world points of the target to RAS+ world points of the source (the direction that
resampling needs) and a chain is a tuple of them in the order of application. ITK's files are in LPS, and list a
composite in the reverse order; both are turned at the door.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.atomic import replacing, write_text
from neuromoe.core.errors import InputError
from neuromoe.imaging.geometry import apply_affine

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_AFFINE, _FIELD = "AffineTransform_double_3_3", "DisplacementFieldTransform_float_3_3"
_TEXT_HEADER = "#Insight Transform File V1.0\n"


@dataclass(frozen=True, eq=False)
class Affine:
    """A linear map of world points.

    Parameters
    ----------
    matrix : array (4, 4)
        RAS+ world to RAS+ world, mm.
    """

    matrix: NDArray

    def __call__(self, points: NDArray) -> NDArray:
        """Map points (N, 3), mm."""
        return apply_affine(self.matrix, points)

    def inverse(self) -> "Affine":
        """Return the map back."""
        return Affine(np.linalg.inv(self.matrix))


@dataclass(frozen=True, eq=False)
class Displacement:
    """A dense displacement; points outside its grid stay where they are.

    Parameters
    ----------
    field : array (X, Y, Z, 3), float32
        Displacement along the RAS+ world axes, mm.
    affine : array (4, 4)
        Voxel index of the field to RAS+ world, mm.
    """

    field: NDArray
    affine: NDArray

    def __call__(self, points: NDArray) -> NDArray:
        """Map points (N, 3), mm."""
        from scipy.ndimage import map_coordinates

        voxels = apply_affine(np.linalg.inv(self.affine), points).T
        shifts = [map_coordinates(self.field[..., axis], voxels, order=1, mode="constant") for axis in range(3)]
        return points + np.stack(shifts, axis=-1)


Chain = tuple[Affine | Displacement, ...]


def read_transform(path: Path | str) -> Chain:
    """Read a chain from an ITK composite (`.h5`) or a single ITK affine (`.txt`)."""
    if str(path).endswith(".h5"):
        return _read_composite(path)
    return tuple(Affine(matrix) for matrix in read_affines(path))


def write_transform(path: Path | str, chain: Sequence[Affine | Displacement]) -> None:
    """Write a chain as an ITK composite (`.h5`), or its one affine as `.txt`.

    The file carries no time stamp: the same chain gives the same bytes.
    """
    if str(path).endswith(".h5"):
        _write_composite(path, chain)
    else:
        (affine,) = chain
        if not isinstance(affine, Affine):
            raise TypeError("a text file holds one affine transform")
        write_affines(path, [affine.matrix])


def read_affines(path: Path | str) -> NDArray:
    """Read the affines of an ITK text file as RAS+ matrices (V, 4, 4)."""
    lines = Path(path).read_text().splitlines()
    parameters = [_numbers(line) for line in lines if line.startswith("Parameters:")]
    centers = [_numbers(line) for line in lines if line.startswith("FixedParameters:")]
    if not parameters or any(len(row) != 12 for row in parameters):
        raise InputError(
            expected="affine transforms of 12 parameters",
            found="none" if not parameters else "other transforms",
            where=path,
            fix="give the ITK text file that the step before wrote",
        )
    return np.stack([_from_itk(row, center) for row, center in zip(parameters, centers, strict=True)])


def write_affines(path: Path | str, matrices: Sequence[NDArray] | NDArray) -> None:
    """Write RAS+ matrices (V, 4, 4) as one ITK text file."""
    blocks = [
        f"#Transform {index}\nTransform: MatrixOffsetTransformBase_double_3_3\n"
        f"Parameters: {' '.join(f'{value:.10g}' for value in _to_itk(matrix))}\nFixedParameters: 0 0 0\n"
        for index, matrix in enumerate(matrices)
    ]
    write_text(path, _TEXT_HEADER + "\n".join(blocks))


def _numbers(line: str) -> NDArray:
    return np.array(line.split(":")[1].split(), float)


def _to_itk(matrix: NDArray) -> NDArray:
    lps = LPS @ matrix @ LPS
    return np.concatenate([lps[:3, :3].ravel(), lps[:3, 3]])


def _from_itk(parameters: NDArray, center: NDArray) -> NDArray:
    lps = np.eye(4)
    lps[:3, :3] = parameters[:9].reshape(3, 3)
    lps[:3, 3] = parameters[9:] + center[:3] - lps[:3, :3] @ center[:3]
    return LPS @ lps @ LPS


def _write_composite(path: Path | str, chain: Sequence[Affine | Displacement]) -> None:
    import h5py

    with replacing(path) as temporary, h5py.File(temporary, "w", track_order=False) as file:
        group = file.create_group("TransformGroup")
        _write_part(group, 0, "CompositeTransform_double_3_3", None, None)
        for index, transform in enumerate(reversed(chain), start=1):
            if isinstance(transform, Affine):
                _write_part(group, index, _AFFINE, np.zeros(3), _to_itk(transform.matrix))
            else:
                _write_part(group, index, _FIELD, *_field_to_itk(transform))


def _write_part(group, index: int, kind: str, fixed: NDArray | None, parameters: NDArray | None) -> None:
    import h5py

    part = group.create_group(str(index))
    part.create_dataset("TransformType", data=[kind], dtype=h5py.string_dtype("ascii"))
    if fixed is not None and parameters is not None:
        part.create_dataset("TransformFixedParameters", data=fixed)
        packing = {"compression": "gzip", "compression_opts": 4, "shuffle": True} if parameters.size > 99 else {}
        part.create_dataset("TransformParameters", data=parameters, **packing)


def _field_to_itk(transform: Displacement) -> tuple[NDArray, NDArray]:
    lps = LPS @ transform.affine
    spacing = np.sqrt((lps[:3, :3] ** 2).sum(axis=0))
    direction = lps[:3, :3] / spacing
    fixed = np.concatenate([transform.field.shape[:3], lps[:3, 3], spacing, direction.ravel()]).astype(float)
    vectors = transform.field * np.array([-1, -1, 1], np.float32)
    return fixed, vectors.transpose(2, 1, 0, 3).ravel().astype(np.float32)


def _field_from_itk(fixed: NDArray, parameters: NDArray) -> Displacement:
    shape = fixed[:3].astype(int)
    lps = np.eye(4)
    lps[:3, :3] = fixed[9:18].reshape(3, 3) * fixed[6:9]
    lps[:3, 3] = fixed[3:6]
    vectors = parameters.reshape(*shape[::-1], 3).transpose(2, 1, 0, 3) * np.array([-1, -1, 1], np.float32)
    return Displacement(np.ascontiguousarray(vectors, np.float32), LPS @ lps)


def _read_composite(path: Path | str) -> Chain:
    import h5py

    chain: list[Affine | Displacement] = []
    with h5py.File(path, "r") as file:
        group = file["TransformGroup"]
        for index in sorted(group, key=int, reverse=True):
            kind = group[index]["TransformType"][0].decode()
            if kind.startswith("Composite"):
                continue
            fixed, parameters = (group[index][f"Transform{name}Parameters"][()] for name in ("Fixed", ""))
            if kind.startswith("DisplacementField"):
                chain.append(_field_from_itk(fixed, parameters))
            else:
                chain.append(Affine(_from_itk(parameters, fixed)))
    return tuple(chain)
