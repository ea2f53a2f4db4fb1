"""A corrected run as `func normalize` needs it: its motion, its way from the template, its noise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from neuromoe.core.errors import InputError
from neuromoe.core.provenance import read_metadata
from neuromoe.func._confounds import Confounds, make_confounds
from neuromoe.func._mask import center_mm
from neuromoe.func._sampling import aligned
from neuromoe.func._series import header_repetition_time, repetition_time
from neuromoe.func._tissues import noise_masks, pull_share, push_share
from neuromoe.imaging.images import Image, load_image
from neuromoe.imaging.template import Template
from neuromoe.imaging.transforms import Affine, Chain, Displacement, read_affines, read_transform
from neuromoe.registration.distortion import inverted


@dataclass(frozen=True, eq=False)
class Run:
    """One run with its motion and the way from the template.

    Parameters
    ----------
    image : Image (X, Y, Z, V)
        Slice-timed, not moved.
    boldref : Image (X, Y, Z)
        The reference.
    brain : bool array (X, Y, Z)
        Its brain mask.
    motion : array (V, 4, 4)
        Reference world to each volume's world, mm.
    placed : tuple of transforms
        T1w world, or template world where there is no T1w, to reference world.
    chain : tuple of transforms
        Template world to reference world.
    repetition_time_s : float
        Time between volumes, s.
    """

    image: Image
    boldref: Image
    brain: NDArray
    motion: NDArray
    placed: Chain
    chain: Chain
    repetition_time_s: float


def read_run(
    bold: Path,
    boldref: Path,
    mask: Path,
    motion: Path,
    transform: Path,
    t1w_to_template: Path | None,
    *,
    sidecars: Sequence[Path] | None,
    repetition_time_s: float | None,
) -> Run:
    """Read what `func correct` wrote, and the T1w's way to the template.

    Raises
    ------
    InputError
        The motion has more or fewer volumes than the run, or the mask is empty.
    """
    image, matrices = load_image(bold, ndim=4), read_affines(motion)
    if len(matrices) != image.data.shape[3]:
        raise InputError(
            expected=f"{image.data.shape[3]} affines, one per volume",
            found=str(len(matrices)),
            where=motion,
            fix="run func_correct again for this run",
        )
    brain = load_image(mask, ndim=3).data > 0.5
    if not brain.any():
        raise InputError(
            expected="a brain mask with voxels",
            found="none",
            where=mask,
            fix="look at the run: is it a brain?",
        )
    if repetition_time_s is None:
        metadata = read_metadata(sidecars)
        repetition_time_s = repetition_time(metadata, header_repetition_time(nib.load(bold).header), bold)
    placed = read_transform(transform)
    chain = placed if t1w_to_template is None else read_transform(t1w_to_template) + placed
    return Run(image, load_image(boldref, ndim=3), brain, matrices, placed, chain, repetition_time_s)


def noise_masks_of(run: Run, target: Template, wm: Path | None, csf: Path | None) -> dict[str, NDArray[np.bool_]]:
    """Return the masks of white matter and CSF, from the T1w's tissues or the template's."""
    if wm is None or csf is None:
        tissues = {"wm": target.wm, "csf": target.csf}
        shares = {name: push_share(image, run.boldref, run.chain) for name, image in tissues.items()}
    else:
        to_t1w = tuple(_back(part) for part in reversed(run.placed))
        paths = {"wm": wm, "csf": csf}
        shares = {name: pull_share(load_image(path, 3), run.boldref, to_t1w) for name, path in paths.items()}
    return noise_masks(shares, run.brain)


def _back(part: Affine | Displacement) -> Affine | Displacement:
    return part.inverse() if isinstance(part, Affine) else inverted(part)


def run_confounds(
    run: Run, noise: Mapping[str, NDArray], *, components: int, fd_threshold_mm: float, scrub: bool
) -> Confounds:
    """Make the confounds of a run on its own grid."""
    brain = aligned(run.image, run.motion, run.brain)
    return make_confounds(
        brain,
        {name: brain[mask[run.brain]] for name, mask in noise.items()},
        run.motion,
        center_mm=center_mm(run.brain, run.boldref.affine),
        repetition_time_s=run.repetition_time_s,
        components=components,
        fd_threshold_mm=fd_threshold_mm,
        scrub=scrub,
    )
