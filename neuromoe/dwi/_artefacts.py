"""What else spoils the signals themselves: ringing, a drift of the scanner, and an uneven coil."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neuromoe.dwi._mask import otsu_threshold
from neuromoe.dwi._series import Run, Series
from neuromoe.imaging.gradients import Gradients
from neuromoe.imaging.images import Image

_DEGREES = {"linear": 1, "quadratic": 2}
# Far from the head a field of splines can be anything.
_LEAST_FIELD, _LARGEST_FIELD = 0.2, 5.0


def without_ringing(series: Series) -> Series:
    """Remove Gibbs ringing in the plane of the slices of each run, by local shifts of less than a voxel.

    References
    ----------
    Kellner E et al. 2016, doi:10.1002/mrm.26054.
    """
    return Series([replace(run, image=run.image.like(_smooth_edges(run))) for run in series.runs])


def _smooth_edges(run: Run) -> NDArray:
    from dipy.denoise.gibbs import gibbs_removal

    cleaned = gibbs_removal(
        run.image.data.astype(np.float64), slice_axis=run.slice_axis, inplace=False, num_processes=1
    )
    return np.maximum(cleaned, 0).astype(np.float32)


def without_drift(series: Series, kind: str) -> tuple[Series, list[str]]:
    """Undo a slow change of the signal's scale within each run.

    Parameters
    ----------
    series : Series
    kind : {"linear", "quadratic"}
        What the mean b=0 signal of the head follows over the volumes.

    Returns
    -------
    series : Series
        Each run with the scale of its first volume.
    reasons : list of str
        Where b=0 volumes are too few for the curve, or lie too close together: such a run is left as it is.

    References
    ----------
    Vos SB et al. 2017, doi:10.1002/mrm.26124.
    """
    scales = [drift(run.image.data, run.gradients, kind) for run in series.runs]
    runs = [
        run if scale is None else replace(run, image=run.image.like((run.image.data / scale).astype(np.float32)))
        for run, scale in zip(series.runs, scales, strict=True)
    ]
    left = sum(scale is None for scale in scales)
    reasons = [f"no drift undone in {left} run(s), whose b=0 volumes are too few or too close together"] if left else []
    return Series(runs), reasons


def drift(data: NDArray, gradients: Gradients, kind: str) -> NDArray | None:
    """Return each volume's scale (V,) over that of the first, or None where b=0 volumes do not tell it.

    Parameters
    ----------
    data : array (X, Y, Z, V)
    gradients : Gradients
    kind : {"linear", "quadratic"}
    """
    places = np.flatnonzero(gradients.is_b0)
    degree = _DEGREES[kind]
    # One volume more than the curve has numbers, and no more than half of the run left to extrapolation.
    if len(places) < degree + 2 or 2 * np.ptp(places) < len(gradients) - 1:
        return None
    b0 = data[..., places]
    head = b0.mean(axis=3) > 0.5 * otsu_threshold(np.minimum(b0.mean(axis=3), np.quantile(b0, 0.98)))
    curve = np.polynomial.Polynomial.fit(places, b0[head].mean(axis=0), degree)
    levels = curve(np.arange(len(gradients)))
    return levels / levels[0] if levels.min() > 0 else None


def without_bias(data: NDArray, affine: NDArray, gradients: Gradients, mask: NDArray) -> NDArray:
    """Divide all volumes (X, Y, Z, V) by the field that N4 finds in the mean b=0 volume.

    Ratios of volumes, and so the tensor, stay what they are.

    References
    ----------
    Tustison NJ et al. 2010, doi:10.1109/TMI.2010.2046908.
    """
    from neuromoe.registration.ants import bias_field

    b0 = Image(data[..., gradients.is_b0].mean(axis=3), affine)
    field = bias_field(b0, mask, shrink_factor=2).clip(_LEAST_FIELD, _LARGEST_FIELD)
    return (data / field[..., None]).astype(np.float32)
