"""Motion and slice timing of a BOLD run by FSL's MCFLIRT and slicetimer."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neuromoe.fsl.job import FslError, Job
from neuromoe.fsl.space import flirt_to_world, path_of_matrices
from neuromoe.imaging.images import Image


def mcflirt(series: Image, *, reference_volume: int | None = None, repetition_time_s: float | None = None) -> NDArray:
    """Estimate head motion by MCFLIRT.

    Parameters
    ----------
    series : Image (X, Y, Z, V)
        As acquired.
    reference_volume : int, optional
        The volume that the others are laid on; the middle one by default.
    repetition_time_s : float, optional
        For the header alone.

    Returns
    -------
    array (V, 4, 4)
        World points of the reference to world points of each volume.

    References
    ----------
    .. [1] Jenkinson et al. (2002), doi:10.1006/nimg.2002.1132.
    """
    volumes = series.data.shape[3]
    reference = volumes // 2 if reference_volume is None else reference_volume
    with Job() as job:
        source = job.write(series, "series.nii.gz", repetition_time_s=repetition_time_s)
        target = job.path("moved.nii.gz")
        job.run(
            "MCFLIRT",
            programs=["mcflirt"],
            in_file=source,
            out_file=str(target),
            ref_vol=reference,
            save_mats=True,
            save_plots=True,
        )
        parameters = job.table("moved.nii.gz.par")
        if parameters.shape != (volumes, 6):
            raise FslError(f"mcflirt wrote {parameters.shape} parameters for {volumes} volumes, expected 6 for each")
        files = path_of_matrices(job.path("moved.nii.gz.mat"), volumes)
        return np.stack([flirt_to_world(np.loadtxt(file), series.grid, series.grid).matrix for file in files])


def slicetimer(series: Image, slice_times_s: NDArray, *, axis: int, repetition_time_s: float) -> NDArray[np.float32]:
    """Bring every slice to the middle of the slice times by slicetimer.

    Slices that follow each other at even steps over the whole repetition time are told by their order; others
    (multi-band, pauses) by their shift in fractions of the repetition time, later where the number is above zero.

    Parameters
    ----------
    series : Image (X, Y, Z, V)
        Not moved.
    slice_times_s : array (slices,)
        When each slice along `axis` was excited, s after the volume's start.
    axis : int
        The slices' axis.
    repetition_time_s : float
        Time between volumes, s.

    Returns
    -------
    array (X, Y, Z, V)
    """
    times = np.asarray(slice_times_s, float)
    times = times[::-1] if axis == 0 else times  # the first axis is written the other way round
    with Job() as job:
        source = job.write(series, "series.nii.gz", repetition_time_s=repetition_time_s)
        job.run(
            "SliceTimer",
            programs=["slicetimer"],
            in_file=source,
            out_file=str(job.path("timed.nii.gz")),
            time_repetition=repetition_time_s,
            slice_direction=axis + 1,
            **_timing_table(job, times, repetition_time_s),
        )
        return job.read("timed.nii.gz", like=series, ndim=4).data


def _timing_table(job: Job, times: NDArray, repetition_time_s: float) -> dict[str, str]:
    steps = np.arange(len(times)) * repetition_time_s / len(times)
    if np.allclose(np.sort(times) - times.min(), steps, atol=0.002 * repetition_time_s):
        order = np.argsort(times, kind="stable") + 1
        return {"custom_order": job.write_text("order.txt", _column(order))}
    shifts = ((times.min() + times.max()) / 2 - times) / repetition_time_s
    return {"custom_timings": job.write_text("timings.txt", _column(shifts))}


def _column(values: Sequence[float] | NDArray) -> str:
    return "".join(f"{value:g}\n" for value in values)
