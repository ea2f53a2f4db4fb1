"""Distortion by the off-resonance field: topup, eddy and fieldmaps."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.backends import OTHER_NAMES
from neuromoe.core.provenance import metadata_of
from neuromoe.fsl.job import FslError, Job, turned_round
from neuromoe.fsl.space import PhaseEncoding, flirt_to_world, matrix_text, phase_encoding, world_to_flirt
from neuromoe.imaging.gradients import Gradients, fsl_to_world, stored_affine, write_gradients
from neuromoe.imaging.images import Image, load_image, resample
from neuromoe.imaging.transforms import Affine

_SIEMENS_RANGE = 4096.0
_OUTLIER = re.compile(r"Slice\s+(\d+)\s+in scan\s+(\d+)\s+is an outlier")


@dataclass(frozen=True, eq=False)
class Eddy:
    """What eddy makes of a diffusion series.

    Parameters
    ----------
    image : Image (X, Y, Z, V)
        Corrected for motion, eddy currents, and the field where one was given; outlier slices replaced.
    gradients : Gradients
        Turned with the head.
    parameters : array (V, 6)
        Translations (mm) and rotations (rad) of each volume, along the axes of the file that eddy was given.
    outliers : list of (int, int)
        Slice and volume, from 0, that were replaced.
    """

    image: Image
    gradients: Gradients
    parameters: NDArray
    outliers: list[tuple[int, int]]


def correct_diffusion(
    series: Image,
    gradients: Gradients,
    mask: NDArray,
    encodings: Sequence[PhaseEncoding],
    *,
    with_topup: bool = False,
    beside: Sequence[tuple[Image, PhaseEncoding]] = (),
    several_shells: bool = True,
) -> Eddy:
    """Correct a diffusion series by eddy, and by topup before where volumes oppose each other.

    Parameters
    ----------
    series : Image (X, Y, Z, V)
        All runs on one grid, not moved.
    gradients : Gradients
        World directions.
    mask : array (X, Y, Z) of bool
        A brain mask, rather too large than too small.
    encodings : sequence of PhaseEncoding
        Of each volume.
    with_topup : bool, default=False
        Estimate the field from the b=0 volumes of opposed phase encoding.
    beside : sequence of (Image, PhaseEncoding)
        Further volumes without diffusion weighting for topup, such as those of the folder `fmap`.
    several_shells : bool, default=True
        Tell eddy that the b-values lie on shells, which it refuses to believe of multi-shell data with few directions.

    References
    ----------
    .. [1] Andersson & Sotiropoulos (2016), An integrated approach to correction for off-resonance effects and subject
       movement in diffusion MR imaging, NeuroImage 125, doi:10.1016/j.neuroimage.2015.10.019.
    .. [2] Andersson et al. (2016), Incorporating outlier detection and replacement, NeuroImage 141,
       doi:10.1016/j.neuroimage.2016.06.058.
    """
    rows = list(dict.fromkeys(encoding.row() for encoding in encodings))
    stored = turned_round(series).affine
    with Job() as job:
        table = job.write_text("acqparams.txt", "".join(f"{row}\n" for row in rows))
        field = {}
        if with_topup:
            b0 = np.flatnonzero(gradients.is_b0)
            pairs = [(series.volume(int(v)), encodings[v]) for v in b0] + list(beside)
            _topup(job, series.like(_stacked(pairs, series)), [encoding for _, encoding in pairs])
            field = {
                "in_topup_fieldcoef": str(job.path("topup_fieldcoef.nii.gz")),
                "in_topup_movpar": str(job.path("topup_movpar.txt")),
            }
        write_gradients(job.path("bvals"), job.path("bvecs"), gradients, stored)
        index = " ".join(str(rows.index(encoding.row()) + 1) for encoding in encodings)
        job.run(
            "Eddy",
            programs=OTHER_NAMES["eddy"],
            in_file=job.write(series, "series.nii.gz"),
            in_mask=job.write(series.like(mask), "mask.nii.gz"),
            in_acqp=table,
            in_index=job.write_text("index.txt", f"{index}\n"),
            in_bvec=str(job.path("bvecs")),
            in_bval=str(job.path("bvals")),
            out_base=str(job.path("eddied")),
            repol=True,
            initrand=True,
            is_shelled=several_shells,
            **field,
        )
        return _read_eddy(job, series, gradients, stored)


def _read_eddy(job: Job, series: Image, gradients: Gradients, stored: NDArray) -> Eddy:
    image = job.read("eddied.nii.gz", like=series, ndim=4)
    vectors = job.table("eddied.eddy_rotated_bvecs").T
    parameters = job.table("eddied.eddy_parameters")[:, :6]
    volumes = series.data.shape[3]
    if not len(vectors) == len(parameters) == image.data.shape[3] == volumes:
        raise FslError(f"eddy wrote {len(vectors)} b-vectors and {image.data.shape[3]} volumes of {volumes}")
    turned = Gradients(gradients.bvals_s_mm2, fsl_to_world(vectors, stored), gradients.notes)
    return Eddy(series.like(np.maximum(image.data, 0)), turned, parameters, _outliers(job))


def _outliers(job: Job) -> list[tuple[int, int]]:
    report = job.path("eddied.eddy_outlier_report")
    text = report.read_text() if report.is_file() else ""
    return [(int(number), int(volume)) for number, volume in _OUTLIER.findall(text)]


def _topup(job: Job, volumes: Image, encodings: Sequence[PhaseEncoding]) -> Image:
    """Run topup on volumes of opposed phase encoding; its files stay in the folder."""
    # The usual settings halve the matrix; FSL has others for one that cannot be halved.
    halves = all(size % 2 == 0 for size in volumes.data.shape[:3])
    job.run(
        "TOPUP",
        programs=["topup"],
        in_file=job.write(volumes, "opposed.nii.gz"),
        encoding_file=job.write_text("opposed.txt", "".join(f"{encoding.row()}\n" for encoding in encodings)),
        config="b02b0.cnf" if halves else "b02b0_1.cnf",
        out_base=str(job.path("topup")),
        out_field=str(job.path("topup_field.nii.gz")),
        out_corrected=str(job.path("topup_corrected.nii.gz")),
        out_logfile=str(job.path("topup.log")),
    )
    return job.read("topup_field.nii.gz", like=volumes.volume(0), ndim=3)


def _stacked(pairs: Sequence[tuple[Image, PhaseEncoding]], like: Image) -> NDArray:
    images = (image for image, _ in pairs)
    parts = [image.data if image.grid.same_as(like.grid) else resample(image, like.grid) for image in images]
    return np.stack(parts, axis=3)


def field_from_pair(
    image: Image, opposed: Image, encoding: PhaseEncoding, other: PhaseEncoding, *, target: Image | None = None
) -> Image:
    """Find the field from two images of opposed phase encoding by topup.

    Parameters
    ----------
    image, opposed : Image (X, Y, Z)
        The two, of one contrast.
    encoding, other : PhaseEncoding
        Of the two.
    target : Image (X, Y, Z), optional
        The image that the field is for, where it is neither. FLIRT lays `image` on it: both should be distorted
        alike.

    Returns
    -------
    Image (X, Y, Z)
        Off-resonance on the grid of `target`, else of `image`, Hz.

    References
    ----------
    .. [1] Andersson, Skare & Ashburner (2003), How to correct susceptibility distortions in spin-echo echo-planar
       images, NeuroImage 20, doi:10.1016/S1053-8119(03)00336-7.
    """
    with Job() as job:
        stack = image.like(_stacked([(image, encoding), (opposed, other)], image))
        field = _topup(job, stack, [encoding, other])
        if target is None:
            return field
        place = _laid_on(job, job.write(image, "magnitude.nii.gz"), image, target)
    return target.like(resample(field, target.grid, [place]))


def _laid_on(job: Job, moving_file: str, moving: Image, target: Image) -> Affine:
    """Find where an image of the same session lies, from the header's position."""
    job.run(
        "FLIRT",
        programs=["flirt"],
        in_file=moving_file,
        reference=job.write(target, "image.nii.gz"),
        in_matrix_file=job.write_text(
            "header.mat", matrix_text(world_to_flirt(Affine(np.eye(4)), target.grid, moving.grid))
        ),
        out_file=str(job.path("on_image.nii.gz")),
        out_matrix_file=str(job.path("on_image.mat")),
        dof=6,
        cost="normmi",
        no_search=True,
    )
    return flirt_to_world(job.table("on_image.mat"), target.grid, moving.grid)


def read_encoded(paths: Sequence[Path], sidecars: Sequence[Path] | None) -> list[tuple[Image, PhaseEncoding]]:
    """Read echo-planar images that say how they were read out: the mean of each, with its phase encoding."""
    found = []
    for path in paths:
        image = load_image(path)
        image = image if image.data.ndim == 3 else image.like(image.data.mean(axis=3))
        encoding = phase_encoding(metadata_of(path, sidecars), stored_affine(path), image.data.shape)
        found += [(image, encoding)] if encoding else []
    return found


def phase_difference(first: Image, second: Image) -> Image:
    """Subtract two phase images of any unit, whose range is one turn; the result lies between -pi and pi, rad."""
    angles = [_to_radians(image.data) for image in (first, second)]
    return first.like(np.angle(np.exp(1j * (angles[1] - angles[0]))).astype(np.float32))


def _to_radians(phase: NDArray) -> NDArray:
    low, high = float(phase.min()), float(phase.max())
    # Already radians; scanners otherwise store integers that span one turn.
    if high - low <= 2 * np.pi * 1.001:
        return phase.astype(float)
    return (phase - low) / (high - low) * 2 * np.pi - np.pi


def field_from_phase(
    phase: Image, magnitude: Image, image: Image, *, echo_difference_s: float, smoothing_mm: float = 2.0
) -> Image:
    """Find the field from a phase-difference image by fsl_prepare_fieldmap and FUGUE.

    Parameters
    ----------
    phase : Image (X, Y, Z)
        Phase difference, any unit; its range is one turn.
    magnitude : Image (X, Y, Z)
        Of the same scan.
    image : Image (X, Y, Z)
        The echo-planar image that the field is for; FLIRT lays the magnitude on it.
    echo_difference_s : float
        Time between the two echoes, s.
    smoothing_mm : float, default=2.0
        Standard deviation of the smoothing of the field, mm.

    Returns
    -------
    Image (X, Y, Z)
        Off-resonance on the grid of `image`, Hz.

    References
    ----------
    .. [1] Jenkinson (2003), Fast, automated, N-dimensional phase-unwrapping algorithm, Magn. Reson. Med. 49,
       doi:10.1002/mrm.10354.
    """
    scaled = phase.like((_to_radians(phase.data) + np.pi) / (2 * np.pi) * _SIEMENS_RANGE)
    with Job() as job:
        head = job.write(magnitude, "magnitude.nii.gz")
        brain = str(job.path("brain.nii.gz"))
        job.run("BET", programs=["bet"], in_file=head, out_file=brain, mask=True, robust=True, frac=0.6)
        job.run(
            "PrepareFieldmap",
            programs=["fsl_prepare_fieldmap"],
            in_phase=job.write(scaled, "phase.nii.gz"),
            in_magnitude=brain,
            delta_TE=echo_difference_s * 1000,
            out_fieldmap=str(job.path("raw_field.nii.gz")),
        )
        # nipype appends an empty volume, which FEAT's window wants.
        raw = job.read("raw_field.nii.gz")
        raw = raw.volume(0) if raw.data.ndim == 4 else raw
        job.run(
            "FUGUE",
            programs=["fugue"],
            fmap_in_file=job.write(raw, "field.nii.gz"),
            mask_file=str(job.path("brain_mask.nii.gz")),
            smooth3d=smoothing_mm,
            fmap_out_file=str(job.path("smooth_field.nii.gz")),
        )
        place = _laid_on(job, head, magnitude, image)
        smooth = job.read("smooth_field.nii.gz", like=magnitude, ndim=3)
    on_image = resample(smooth, image.grid, [place])
    return image.like((on_image / (2 * np.pi)).astype(np.float32))
