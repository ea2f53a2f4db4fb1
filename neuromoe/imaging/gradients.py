"""Diffusion gradient tables: RAS+ world directions inside, FSL's convention only at the door.

FSL's bvec files follow the stored axes of the image they lie beside, with x turned round where those axes are
right-handed (a positive determinant). Read carelessly after a reorientation, they are silently wrong.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.atomic import write_text
from neuromoe.core.errors import InputError

B0_MAX_S_MM2 = 50.0
LEAST_DIRECTIONS = 6
_NORM_TOLERANCE = 0.1


@dataclass(frozen=True, eq=False)
class Gradients:
    """One b-value and one direction for each volume.

    Parameters
    ----------
    bvals_s_mm2 : array (V,)
        b-values, s/mm^2.
    directions : array (V, 3)
        Unit vectors along the RAS+ world axes; zeros for b=0.
    notes : tuple of str
        What was put right while reading.
    """

    bvals_s_mm2: NDArray
    directions: NDArray
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.bvals_s_mm2)

    @property
    def is_b0(self) -> NDArray:
        """Which volumes have no diffusion weighting, bool (V,)."""
        return self.bvals_s_mm2 <= B0_MAX_S_MM2

    def __getitem__(self, volumes: NDArray | slice) -> "Gradients":
        return replace(self, bvals_s_mm2=self.bvals_s_mm2[volumes], directions=self.directions[volumes])

    def rotated(self, rotations: NDArray) -> "Gradients":
        """Turn each direction by its matrix (V, 3, 3)."""
        return replace(self, directions=np.einsum("vij,vj->vi", rotations, self.directions))

    def shells(self, tolerance: float = 0.05) -> list[NDArray]:
        """Group the weighted volumes into shells, weakest first.

        Parameters
        ----------
        tolerance : float, default=0.05
            b-values within this share of a shell's median belong to it.

        Returns
        -------
        list of int array
            The positions of each shell's volumes.

        Examples
        --------
        >>> table = Gradients(np.array([0, 995, 1000, 2000, 1005]), np.zeros((5, 3)))
        >>> [shell.tolist() for shell in table.shells()]
        [[1, 2, 4], [3]]
        """
        left = np.flatnonzero(~self.is_b0)
        shells = []
        while len(left):
            values = self.bvals_s_mm2[left]
            seed = values.min()
            middle = np.median(values[values <= seed * (1 + 2 * tolerance)])
            inside = values <= middle * (1 + tolerance)
            shells.append(left[inside])
            left = left[~inside]
        return shells


def determines_tensor(directions: NDArray) -> bool:
    """Tell whether directions (V, 3) of one shell determine the tensor's six numbers."""
    if len(directions) < LEAST_DIRECTIONS:
        return False
    x, y, z = directions.T
    design = np.stack([x * x, y * y, z * z, 2 * x * y, 2 * x * z, 2 * y * z], axis=1)
    return bool(np.linalg.svd(design, compute_uv=False)[-1] > 1e-2)


def concatenate(tables: Iterable[Gradients]) -> Gradients:
    """Join the tables of several runs."""
    tables = list(tables)
    return Gradients(
        np.concatenate([table.bvals_s_mm2 for table in tables]),
        np.concatenate([table.directions for table in tables]),
        tuple(note for table in tables for note in table.notes),
    )


def fsl_to_world(bvecs: NDArray, affine: NDArray) -> NDArray:
    """Turn FSL's b-vectors into RAS+ world directions.

    Parameters
    ----------
    bvecs : array (V, 3)
        In FSL's convention for an image with this affine.
    affine : array (4, 4)
        The image's voxel to world matrix as stored, before any reorientation.

    Returns
    -------
    array (V, 3)

    Examples
    --------
    >>> fsl_to_world(np.array([[1.0, 0, 0]]), np.diag([2.0, 2, 2, 1]))
    array([[-1.,  0.,  0.]])
    >>> fsl_to_world(np.array([[1.0, 0, 0]]), np.diag([-2.0, 2, 2, 1]))
    array([[-1.,  0.,  0.]])
    """
    return np.asarray(bvecs, float) @ _fsl_axes(affine).T + 0.0


def world_to_fsl(directions: NDArray, affine: NDArray) -> NDArray:
    """Turn RAS+ world directions into FSL's convention; the inverse of :func:`fsl_to_world`."""
    return np.asarray(directions, float) @ _fsl_axes(affine) + 0.0


def _fsl_axes(affine: NDArray) -> NDArray:
    # The nearest orthogonal matrix, so that a sheared header bends no angle between directions.
    left, _, right = np.linalg.svd(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    axes = left @ right
    handed = -1.0 if np.linalg.det(axes) > 0 else 1.0
    return axes @ np.diag([handed, 1.0, 1.0])


def stored_affine(image: Path | str) -> NDArray:
    """Read an image's voxel to world matrix (4, 4) as its file has it, which the table follows."""
    import nibabel as nib
    from nibabel.spatialimages import SpatialImage

    return np.asarray(cast(SpatialImage, nib.load(image)).affine, float)


def read_gradients(bval: Path | str, bvec: Path | str, affine: NDArray, volumes: int) -> Gradients:
    """Read FSL's gradient table and check it.

    Parameters
    ----------
    bval, bvec : path
        b-values in s/mm^2, and b-vectors as three rows (three columns are accepted, with a note).
    affine : array (4, 4)
        The image's voxel to world matrix as stored in its file.
    volumes : int
        Number of volumes of the image.

    Raises
    ------
    InputError
        Counts that differ, entries that are no numbers, b-values in other units, no b=0 volume, or directions
        that are missing or not of unit length.
    """
    bvals = _numbers(bval).ravel()
    if len(bvals) != volumes:
        raise InputError(
            expected=f"{volumes} b-values, one for each volume", found=str(len(bvals)), where=bval,
            fix="convert the series again, or drop the volumes that the table does not cover",
        )  # fmt: skip
    _check_bvals(bvals, bval)
    vectors, notes = _three_columns(_numbers(bvec), volumes, bvec)
    is_b0 = bvals <= B0_MAX_S_MM2
    vectors, norm_notes = _unit(np.where(is_b0[:, None], 0.0, vectors), ~is_b0, bvec)
    return Gradients(bvals, fsl_to_world(vectors, affine), (*notes, *norm_notes))


def write_gradients(bval: Path | str, bvec: Path | str, gradients: Gradients, affine: NDArray) -> None:
    """Write the table as FSL's files for an image with this affine."""
    vectors = world_to_fsl(gradients.directions, affine)
    write_text(bval, " ".join(f"{value:g}" for value in gradients.bvals_s_mm2) + "\n")
    write_text(bvec, "".join(" ".join(f"{value:.6f}" for value in row) + "\n" for row in vectors.T))


def _numbers(path: Path | str) -> NDArray:
    try:
        rows = [
            [float(word) for word in line.replace(",", " ").split()] for line in Path(path).read_text().splitlines()
        ]
    except (OSError, ValueError) as err:
        raise InputError(
            expected="a text file of numbers", found=str(err), where=path, fix="convert the series again"
        ) from err
    rows = [row for row in rows if row]
    if not rows or len({len(row) for row in rows}) != 1:
        raise InputError(
            expected="rows of the same length",
            found=f"rows of {[len(row) for row in rows]} numbers",
            where=path,
            fix="convert the series again",
        )
    return np.array(rows)


def _check_bvals(bvals: NDArray, path: Path | str) -> None:
    if not np.isfinite(bvals).all() or bvals.min() < 0:
        raise InputError(
            expected="b-values of zero and above",
            found=f"{bvals[~(bvals >= 0)]}",
            where=path,
            fix="correct them",
        )
    largest = bvals.max()
    if 0 < largest < 20 or largest > 100_000:
        raise InputError(
            expected="b-values in s/mm^2 (such as 1000)", found=f"a largest value of {largest:g}", where=path,
            fix="multiply values in ms/um^2 by 1000; divide values in s/m^2 by 1 000 000",
        )  # fmt: skip
    if not (bvals <= B0_MAX_S_MM2).any():
        raise InputError(
            expected=f"at least one volume of b=0 (up to {B0_MAX_S_MM2:g} s/mm^2)",
            found=f"b-values from {bvals.min():g} to {largest:g}", where=path,
            fix="add the series' b=0 volume, or leave the image out",
        )  # fmt: skip


def _three_columns(vectors: NDArray, volumes: int, path: Path | str) -> tuple[NDArray, list[str]]:
    if vectors.shape == (3, volumes):
        return vectors.T, []
    if vectors.shape == (volumes, 3):
        return vectors, [f"{Path(path).name} has its vectors as rows; BIDS wants three rows"]
    raise InputError(
        expected=f"3 rows of {volumes} numbers",
        found=f"{vectors.shape[0]} rows of {vectors.shape[1]}", where=path,
        fix="convert the series again, or drop the volumes that the table does not cover",
    )  # fmt: skip


def _unit(vectors: NDArray, weighted: NDArray, path: Path | str) -> tuple[NDArray, list[str]]:
    norms = np.linalg.norm(vectors, axis=1)
    good = np.abs(norms - 1) <= _NORM_TOLERANCE
    bad = np.flatnonzero(weighted & ~good)
    if len(bad):
        raise InputError(
            expected="a vector of length 1 for each weighted volume",
            found=f"length {norms[bad[0]]:.3g} at volume {bad[0]} ({len(bad)} such volumes)", where=path,
            fix="fill in the missing directions, or scale the vectors and put the strength into the b-values",
        )  # fmt: skip
    off = weighted & (np.abs(norms - 1) > 0.01)
    notes = [f"{Path(path).name}: {off.sum()} vectors scaled to length 1"] if off.any() else []
    return np.where(weighted[:, None], vectors / np.where(weighted, norms, 1.0)[:, None], 0.0), notes
