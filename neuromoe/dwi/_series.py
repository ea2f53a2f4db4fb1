"""The runs of a session as one series."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.errors import InputError
from neuromoe.imaging.geometry import Grid, apply_affine, map_points
from neuromoe.imaging.gradients import Gradients, concatenate, read_gradients, stored_affine
from neuromoe.imaging.images import Image, load_image, resample
from neuromoe.imaging.transforms import Affine


@dataclass(frozen=True, eq=False)
class Run:
    """One image with its gradient table.

    Parameters
    ----------
    image : Image (X, Y, Z, V)
        As acquired.
    gradients : Gradients
        World directions.
    slice_axis : int, default=2
        Axis of the image along which the third stored axis, that of the slices, lies.
    """

    image: Image
    gradients: Gradients
    slice_axis: int = 2


def read_runs(dwi: Sequence[Path], bval: Sequence[Path], bvec: Sequence[Path]) -> list[Run]:
    """Read the runs of a session and check each against its gradient table.

    Raises
    ------
    InputError
        Lists of different lengths, images that are not 4-D, or a gradient table that does not fit.
    """
    if not len(dwi) == len(bval) == len(bvec) or not dwi:
        raise InputError(
            expected="as many bval and bvec files as images, at least one",
            found=f"{len(dwi)} images, {len(bval)} bval, {len(bvec)} bvec",
            where=dwi[0] if dwi else "dwi", fix="give the three lists in the same order",
        )  # fmt: skip
    return [_read(*paths) for paths in zip(dwi, bval, bvec, strict=True)]


def _read(dwi: Path, bval: Path, bvec: Path) -> Run:
    image = load_image(dwi, ndim=4)
    # The table follows the axes of the file, not those of the reoriented image.
    gradients = read_gradients(bval, bvec, stored_affine(dwi), image.data.shape[3])
    if min(image.data.shape[:3]) < 3 or not (image.data > 0).any():
        raise InputError(
            expected="at least three voxels along each axis and values above zero",
            found=f"shape {image.data.shape}, largest value {image.data.max():g}", where=dwi,
            fix="convert the series again, or leave it out",
        )  # fmt: skip
    return Run(image, gradients, int(np.abs(np.linalg.inv(image.affine) @ stored_affine(dwi))[:3, 2].argmax()))


@dataclass(frozen=True, eq=False)
class Series:
    """All volumes of a session, each on the grid it was acquired on.

    Parameters
    ----------
    runs : list of Run
        In the order of acquisition.
    """

    runs: list[Run]

    @property
    def grid(self) -> Grid:
        """The grid of the first run, on which the result lies."""
        return self.runs[0].image.grid

    @property
    def gradients(self) -> Gradients:
        """The joined gradient tables."""
        return concatenate(run.gradients for run in self.runs)

    @property
    def slice_axis(self) -> int:
        """The axis of the grid along which the first run's slices lie."""
        return self.runs[0].slice_axis

    @property
    def run_of_volume(self) -> NDArray:
        """Which run each volume is from, int (V,)."""
        return np.repeat(np.arange(len(self.runs)), [len(run.gradients) for run in self.runs])

    @property
    def on_first_grid(self) -> NDArray:
        """Which volumes were acquired on the first run's grid, bool (V,)."""
        same = np.array([run.image.grid.same_as(self.grid) for run in self.runs])
        return same[self.run_of_volume]

    def with_volumes(self, joined: NDArray, chosen: NDArray) -> "Series":
        """Take the chosen volumes (bool (V,)) from `joined` (X, Y, Z, V), all others as they are."""
        runs = []
        for index, run in enumerate(self.runs):
            mine = np.flatnonzero(self.run_of_volume == index)
            changed = chosen[mine]
            data = run.image.data.copy() if changed.any() else run.image.data
            data[..., changed] = joined[..., mine[changed]]
            runs.append(replace(run, image=run.image.like(data)))
        return Series(runs)

    def on_one_grid(self) -> NDArray:
        """Return all volumes (X, Y, Z, V) on the first run's grid, for estimation only."""
        parts = [
            run.image.data if run.image.grid.same_as(self.grid) else resample(run.image, self.grid) for run in self.runs
        ]
        return np.concatenate(parts, axis=3)

    def scaled(self) -> "Series":
        """Give all runs the first one's mean b=0 signal, since scanners scale each run by itself."""
        first = _b0_level(self.runs[0])
        return Series(
            [replace(run, image=run.image.like(run.image.data * (first / _b0_level(run)))) for run in self.runs]
        )

    def moved(self, motion: NDArray, *, order: int = 3) -> NDArray:
        """Bring every volume onto the grid in one interpolation.

        Parameters
        ----------
        motion : array (V, 4, 4)
            Grid world to each volume's world, mm.
        order : int, default=3
            Spline order.

        Returns
        -------
        array (X, Y, Z, V), float32
            Never negative.
        """
        from scipy.ndimage import affine_transform

        volumes = (_padded(run.image.volume(index)) for run in self.runs for index in range(run.image.data.shape[3]))
        moved = np.empty((*self.grid.shape, len(motion)), np.float32)
        for index, (volume, matrix) in enumerate(zip(volumes, motion, strict=True)):
            voxels = np.linalg.inv(volume.affine) @ matrix @ self.grid.affine
            moved[..., index] = affine_transform(
                volume.data, voxels[:3, :3], voxels[:3, 3], self.grid.shape, np.float32, order=order, cval=0
            )
        return np.maximum(moved, 0)

    def covered(self, motion: NDArray) -> NDArray:
        """Tell which voxels of the grid lie inside the field of view of every volume, bool (X, Y, Z)."""
        inside = np.ones(np.prod(self.grid.shape), bool)
        affines = [run.image.grid for run in self.runs for _ in range(run.image.data.shape[3])]
        world = self.grid.world()
        for grid, matrix in zip(affines, motion, strict=True):
            voxels = apply_affine(np.linalg.inv(grid.affine), map_points([Affine(matrix)], world))
            inside &= ((voxels >= -0.5) & (voxels <= np.array(grid.shape) - 0.5)).all(axis=1)
        return inside.reshape(self.grid.shape)


def of_one_phase(runs: list[Run], phases: Sequence[str | None]) -> tuple[list[int], list[str]]:
    """Keep the runs of the phase encoding that has most directions.

    Runs of opposed phase encoding are stretched where the others are squeezed: one tensor of both is blurred.

    Parameters
    ----------
    runs : list of Run
    phases : sequence of str or None
        The phase encoding of each; a run without one goes with the others.

    Returns
    -------
    kept : list of int
        Positions of the runs.
    reasons : list of str
        What was left out.
    """
    known = list(dict.fromkeys(phase for phase in phases if phase))
    if len(known) < 2:
        return list(range(len(runs))), []
    counts = {
        phase: sum(int((~run.gradients.is_b0).sum()) for run, own in zip(runs, phases, strict=True) if own == phase)
        for phase in known
    }
    best = max(known, key=lambda phase: counts[phase])
    kept = [index for index, phase in enumerate(phases) if phase in (None, best)]
    others = ", ".join(phase for phase in known if phase != best)
    return kept, [
        f"runs of phase encoding {others} are not used with those of {best}, since distortion is not corrected"
    ]


def _padded(image: Image, width: int = 2) -> Image:
    # The outermost slices are cut where the brain goes on: zeros beyond them would be mixed into what
    # motion brings in.
    affine = image.affine.copy()
    affine[:3, 3] = apply_affine(image.affine, [-width] * 3)
    return Image(np.pad(image.data, width, mode="edge"), affine)


def _b0_level(run: Run) -> float:
    b0 = run.image.data[..., run.gradients.is_b0].mean(axis=3)
    return max(float(b0[b0 > b0.mean()].mean()), 1e-6) if (b0 > b0.mean()).any() else 1.0
