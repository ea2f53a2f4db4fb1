"""Diffusion by FSL's programs: topup and eddy in place of our correction, dtifit in place of our fit."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.errors import InputError
from neuromoe.core.provenance import metadata_of
from neuromoe.dwi._artefacts import without_bias
from neuromoe.dwi._checks import noise_of
from neuromoe.dwi._correction import (
    Corrected,
    Settings,
    heeded,
    mask_of,
    median_in,
    motion_numbers,
    orientation_of,
    prepare,
    raw_numbers,
    series_numbers,
)
from neuromoe.dwi._series import Series
from neuromoe.dwi._tensor import Maps
from neuromoe.fsl import PhaseEncoding, correct_diffusion, dtifit, phase_encoding
from neuromoe.imaging.geometry import Grid, rigid_matrix
from neuromoe.imaging.gradients import Gradients, stored_affine
from neuromoe.imaging.images import Image

Opposed = tuple[Image, PhaseEncoding]


@dataclass(frozen=True, eq=False)
class EddyPlan:
    """How eddy is run.

    Parameters
    ----------
    encodings : list of PhaseEncoding
        Of each volume of the joined series.
    beside : list of (Image, PhaseEncoding)
        Further images for topup.
    with_topup : bool
        Images of opposed phase encoding are there.
    """

    encodings: list[PhaseEncoding]
    beside: list[Opposed]
    with_topup: bool


def plan_eddy(
    series: Series,
    dwi: Sequence[Path],
    sidecars: Sequence[Path] | None,
    beside: list[Opposed],
    *,
    by_eddy: bool,
    with_field: bool,
) -> EddyPlan | None:
    """Say how eddy is run, or None where our own correction is.

    Parameters
    ----------
    series : Series
        The runs.
    dwi, sidecars : sequence of path
        The runs' images, and the JSON files of all of them.
    beside : list of (Image, PhaseEncoding)
        Images of the folder `fmap`.
    by_eddy : bool
        Run eddy, also where nothing is opposed.
    with_field : bool
        Run topup and eddy where phase encodings are opposed.

    Raises
    ------
    InputError
        Eddy is asked for and a run does not say how it was read out.
    """
    of_runs = [
        phase_encoding(metadata_of(path, sidecars), stored_affine(path), run.image.data.shape)
        for path, run in zip(dwi, series.runs, strict=True)
    ]
    known = [encoding for encoding in of_runs if encoding] + [encoding for _, encoding in beside]
    opposed = with_field and None not in of_runs and any(one.opposes(other) for one in known for other in known)
    if not (opposed or by_eddy):
        return None
    encodings: list[PhaseEncoding] = []
    for path, run, encoding in zip(dwi, series.runs, of_runs, strict=True):
        if encoding is None:
            raise InputError(
                expected="PhaseEncodingDirection and TotalReadoutTime (or EffectiveEchoSpacing), which eddy needs",
                found="not both", where=path, fix="add them to the JSON file, or set dwi.correct.motion_backend: torch",
            )  # fmt: skip
        encodings += [encoding] * len(run.gradients)
    return EddyPlan(encodings, beside if opposed else [], opposed)


def correct_by_eddy(series: Series, plan: EddyPlan, settings: Settings) -> Corrected:
    """Denoise each run, join them, and let topup and eddy correct them; numbers as for our own correction."""
    from scipy.ndimage import binary_dilation

    as_acquired = series
    series, sigma, prepared = prepare(series, settings)
    gradients, joined, voxel_mm = (
        series.gradients,
        Image(series.on_one_grid(), series.grid.affine),
        series.grid.voxel_mm,
    )
    around = binary_dilation(mask_of(joined.data, gradients, voxel_mm), iterations=2)
    eddy = correct_diffusion(joined, gradients, around, plan.encodings, with_topup=plan.with_topup, beside=plan.beside)
    data = eddy.image.data
    # Beyond a field of view that moved away eddy writes zeros.
    mask = mask_of(data, eddy.gradients, voxel_mm) & (data[..., gradients.is_b0] > 0).all(axis=3)
    numbers = series_numbers(data, eddy.gradients, mask, joined.affine)
    numbers["outlier_slices"] = float(len(eddy.outliers))
    found = orientation_of(data, eddy.gradients, mask, joined.affine, settings.gradient_check)
    numbers |= {"fiber_coherence": found.given, "fiber_coherence_best": found.best} if found else {}
    # Eddy has turned the gradients already: what is wrong with them is said, not put right.
    _, reasons = heeded(eddy.gradients, found, "warn")
    noise = noise_of(joined.data[..., gradients.is_b0][..., 0], mask) if sigma is None else median_in(sigma, mask)
    numbers["b0_snr"] = median_in(data[..., gradients.is_b0].mean(axis=3), mask) / max(noise, 1e-6)
    # Displacement sums sizes along the axes: that eddy's x runs the other way round does not matter.
    center = Grid(mask.shape, joined.affine).center_mm
    motion = np.stack([rigid_matrix(row, center) for row in eddy.parameters])
    numbers |= motion_numbers(motion, mask, joined.affine, series.run_of_volume) | raw_numbers(as_acquired, mask)
    image = eddy.image
    if settings.bias:
        image = image.like(without_bias(data, image.affine, eddy.gradients, mask))
    return Corrected(image, eddy.gradients, joined.like(mask), motion, numbers, [*prepared, *reasons])


def fit_maps_by_fsl(series: Image, gradients: Gradients, mask: NDArray) -> tuple[Maps, float]:
    """Fit tensors in the mask by dtifit; results as `_normalization.fit_maps` has them."""
    maps = dtifit(series, gradients, mask)
    parts = {name: getattr(maps, name)[mask] for name in ("fa", "md", "ad", "rd", "v1")}
    return Maps(**parts), float(np.median(maps.residual[mask])) if mask.any() else float("nan")
