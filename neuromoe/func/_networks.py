"""Networks whose connectivity is mapped: bundled centres, a table of centres, or an atlas of labels."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.errors import InputError
from neuromoe.core.tables import read_table
from neuromoe.func._maps import sphere
from neuromoe.imaging.images import Image, load_image, sample

BUNDLED = "bundled"
BUNDLED_SOURCE = "Dosenbach et al. 2010, doi:10.1126/science.1194144"
_IMAGES = (".nii", ".nii.gz")


@dataclass(frozen=True, eq=False)
class Network:
    """A network as voxels of the template.

    Parameters
    ----------
    name : str
        Its name.
    source : str
        Where its places come from.
    members : array (M,) of int
        Indices of its voxels among the points it was looked for in; may be empty.
    """

    name: str
    source: str
    members: NDArray[np.intp]


def find_networks(wanted: str | None, points: NDArray, radius_mm: float) -> list[Network]:
    """Find the voxels of the networks that a setting names.

    Parameters
    ----------
    wanted : str or None
        `bundled`, the path of an image of whole-numbered labels or of a table with columns name, x, y, z in the
        template's mm (rows of one name are one network); None wants none.
    points : array (N, 3)
        Voxels of the template, mm.
    radius_mm : float
        Of the sphere around each centre; does not matter to labels.

    Raises
    ------
    InputError
        A file that is missing, or is neither.

    References
    ----------
    Dosenbach et al. 2010, doi:10.1126/science.1194144: the bundled 160 centres, in six networks
    """
    if wanted is None:
        return []
    if wanted == BUNDLED:
        return _around(_bundled_centers(), BUNDLED_SOURCE, points, radius_mm)
    path = Path(wanted)
    if not path.is_file():
        raise InputError(
            expected="`bundled`, or the path of an atlas or of a table of centres",
            found="no such file",
            where=path,
            fix="correct func.normalize.networks",
        )
    if path.name.endswith(_IMAGES):
        return _labelled(load_image(path, ndim=3), path, points)
    return _around(_read_centers(path), path.name, points, radius_mm)


def _bundled_centers() -> dict[str, NDArray]:
    """Return the centres that come with nilearn, MNI mm."""
    from nilearn.datasets import fetch_coords_dosenbach_2010

    found = fetch_coords_dosenbach_2010()
    centers = np.column_stack([np.asarray(found.rois[axis], float) for axis in "xyz"])
    return {name: centers[np.asarray(found.networks) == name] for name in sorted(set(found.networks))}


def _read_centers(path: Path) -> dict[str, NDArray]:
    try:
        rows = read_table(path)
        places: dict[str, list[list[float]]] = {}
        for row in rows:
            places.setdefault(row["name"], []).append([float(row[axis]) for axis in "xyz"])
    except (KeyError, ValueError) as err:
        raise InputError(
            expected="a tab-separated table with columns name, x, y, z (mm)",
            found=f"{type(err).__name__}: {err}",
            where=path,
            fix="correct the table that func.normalize.networks names",
        ) from err
    if not places:
        raise InputError(
            expected="at least one network", found="no rows", where=path, fix="fill the table or unset networks"
        )
    return {name: np.array(centers) for name, centers in places.items()}


def _around(centers: Mapping[str, NDArray], source: str, points: NDArray, radius_mm: float) -> list[Network]:
    return [Network(name, source, np.flatnonzero(_near(points, places, radius_mm))) for name, places in centers.items()]


def _near(points: NDArray, centers: NDArray, radius_mm: float) -> NDArray[np.bool_]:
    return np.any([sphere(points, center, radius_mm) for center in centers.tolist()], axis=0)


def _labelled(atlas: Image, path: Path, points: NDArray) -> list[Network]:
    labels = np.unique(atlas.data)
    if not np.array_equal(labels, np.rint(labels)) or not (labels > 0).any():
        raise InputError(
            expected="an atlas of whole-numbered labels above 0",
            found=f"values {', '.join(f'{value:g}' for value in labels[:5])}...",
            where=path,
            fix="correct func.normalize.networks",
        )
    found = np.rint(sample(atlas, points, order=0)).astype(int)
    names = _label_names(path)
    return [
        Network(names.get(label, f"label-{label}"), path.name, np.flatnonzero(found == label))
        for label in labels[labels > 0].astype(int).tolist()
    ]


def _label_names(path: Path) -> dict[int, str]:
    """Read the names of labels from the table beside an atlas (BIDS: columns index and name), where there is one."""
    table = path.with_name(path.name.partition(".nii")[0] + ".tsv")
    rows = read_table(table) if table.is_file() else []
    return {int(row["index"]): row["name"] for row in rows if row.get("index", "").isdigit() and "name" in row}
