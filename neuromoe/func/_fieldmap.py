"""Distortion of a BOLD run, corrected by its fieldmap through FSL."""

from collections.abc import Sequence
from pathlib import Path

from numpy.typing import NDArray

from neuromoe.core.errors import InputError
from neuromoe.core.provenance import metadata_of, read_metadata
from neuromoe.fsl import (
    PhaseEncoding,
    field_from_pair,
    field_from_phase,
    field_to_displacement,
    phase_difference,
    phase_encoding,
    read_encoded,
)
from neuromoe.imaging.gradients import stored_affine
from neuromoe.imaging.images import Image, load_image, resample
from neuromoe.registration.distortion import Undistorted, undistorted


def undistort(
    reference: Image,
    bold: Path,
    sidecars: Sequence[Path] | None,
    fieldmaps: Sequence[Path],
    fieldmap_sidecars: Sequence[Path] | None,
) -> Undistorted:
    """Correct the reference of a run by its fieldmap.

    Parameters
    ----------
    reference : Image (X, Y, Z)
        As acquired.
    bold : path
        The run.
    sidecars : sequence of path
        Its JSON files.
    fieldmaps, fieldmap_sidecars : sequence of path
        Opposed echo-planar images, or phase and magnitude; and their JSON files.

    Raises
    ------
    InputError
        The run or the fieldmap does not say how it was acquired.
    """
    encoding = phase_encoding(read_metadata(sidecars), stored_affine(bold), reference.data.shape)
    if encoding is None:
        raise InputError(
            expected="PhaseEncodingDirection and TotalReadoutTime (or EffectiveEchoSpacing), which a fieldmap needs",
            found="not both", where=bold, fix="add them to the JSON file, or set func.correct.fieldmap_backend: none",
        )  # fmt: skip
    by_suffix = {path.name.split(".")[0].split("_")[-1]: path for path in fieldmaps}
    if "epi" in by_suffix:
        field = _by_pair(reference, encoding, fieldmaps, fieldmap_sidecars)
    else:
        field = _by_phase(reference, by_suffix, fieldmap_sidecars)
    return apply_field(reference, field, encoding)


def apply_field(reference: Image, field_hz: Image, encoding: PhaseEncoding) -> Undistorted:
    """Take the distortion of a known field out of an image."""
    return undistorted(reference, field_to_displacement(field_hz, encoding), encoding.axis)


def _by_pair(
    reference: Image, encoding: PhaseEncoding, fieldmaps: Sequence[Path], sidecars: Sequence[Path] | None
) -> Image:
    images = read_encoded(fieldmaps, sidecars)
    # First the one that is distorted as the run: it lies best on it.
    images = sorted(images, key=lambda one: (one[1].axis, one[1].sign) != (encoding.axis, encoding.sign))
    pairs = [(one, other) for one in images for other in images if one[1].opposes(other[1])]
    if pairs:
        # A pair of one contrast is better than the run with an image of another.
        (first, own), (other, its_own) = pairs[0]
        return field_from_pair(first, other, own, its_own, target=reference)
    opposed = [(image, own) for image, own in images if own.opposes(encoding)]
    if not opposed:
        raise InputError(
            expected="an image whose phase encoding opposes the run's",
            found=f"{len(images)} images, none of which does", where=fieldmaps[0],
            fix="correct PhaseEncodingDirection or IntendedFor, or set func.correct.fieldmap_backend: none",
        )  # fmt: skip
    return field_from_pair(reference, opposed[0][0], encoding, opposed[0][1])


def _by_phase(reference: Image, by_suffix: dict[str, Path], sidecars: Sequence[Path] | None) -> Image:
    told = {suffix: metadata_of(path, sidecars) for suffix, path in by_suffix.items()}
    magnitude = next(name for name in ("magnitude1", "magnitude", "magnitude2") if name in by_suffix)
    if "phasediff" in by_suffix:
        phase = load_image(by_suffix["phasediff"], ndim=3)
        apart_s = float(told["phasediff"]["EchoTime2"]) - float(told["phasediff"]["EchoTime1"])
    else:
        phase = phase_difference(*(load_image(by_suffix[name], ndim=3) for name in ("phase1", "phase2")))
        apart_s = float(told["phase2"]["EchoTime"]) - float(told["phase1"]["EchoTime"])
    return field_from_phase(phase, load_image(by_suffix[magnitude], ndim=3), reference, echo_difference_s=apart_s)


def distorted(inside: NDArray, found: Undistorted) -> NDArray:
    """Bring a map of the undistorted reference onto the reference as acquired."""
    return resample(found.reference.like(inside), found.reference.grid, [found.back])
