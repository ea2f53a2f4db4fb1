"""Fit the diffusion tensor and bring its maps onto the template."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.errors import InputError
from neuromoe.core.provenance import failures_of, read_metadata, sidecar_path, write_sidecar
from neuromoe.core.quality import write_quality
from neuromoe.imaging.gradients import read_gradients, stored_affine
from neuromoe.imaging.images import Image, dice, load_image, save_image
from neuromoe.imaging.template import Template
from neuromoe.imaging.transforms import Chain, write_transform

if TYPE_CHECKING:
    from neuromoe.dwi._placement import Anatomy, Placement, Settings

_UNITS = {"fa": "arbitrary", "md": "mm^2/s", "ad": "mm^2/s", "rd": "mm^2/s"}
# Signal of a tensor and that of tissue part ways.
_STRONG_S_MM2 = 1500.0


def normalize(
    *,
    dwi: Path,
    bval: Path,
    bvec: Path,
    mask: Path,
    template: Path,
    t1w: Path | None = None,
    t1w_mask: Path | None = None,
    t1w_to_template: Path | None = None,
    t1w_white: Path | None = None,
    fa: Path,
    md: Path,
    ad: Path,
    rd: Path,
    v1: Path,
    dec: Path,
    fa_template: Path,
    md_template: Path,
    ad_template: Path,
    rd_template: Path,
    transform: Path,
    quality: Path,
    shell_tolerance: float = 0.05,
    max_shift_mm: float = 30.0,
    score_warn: float = 0.05,
    overlap_warn: float = 0.8,
    residual_warn: float = 0.1,
    tensor_backend: str = "torch",
    coregistration_backend: str = "scipy",
    robust: bool = False,
    distortion: str = "none",
    max_distortion_mm: float = 15.0,
    seed: int = 0,
) -> None:
    """Fit the tensor where the data lie, register to the T1w, and carry the maps to the template once.

    Without a T1w the b=0 volume goes to the template directly, which is less exact: the sidecars and the
    quality file say so.

    Parameters
    ----------
    dwi : path
        The aligned series that the step `correct` wrote.
    bval : path
        Its b-values, s/mm^2.
    bvec : path
        Its gradient directions in FSL's convention.
    mask : path
        Its brain mask.
    template : path
        The prepared template's `template.json`.
    t1w : path, optional
        The session's T1w.
    t1w_mask : path, optional
        Its brain mask; needed with `t1w`.
    t1w_to_template : path, optional
        The transform that resamples the T1w onto the template; needed with `t1w`.
    t1w_white : path, optional
        White matter of the T1w, which epi_reg needs.
    fa : path
        Output: fractional anisotropy, 0 to 1, on the grid of the series.
    md : path
        Output: mean diffusivity, mm^2/s, on the grid of the series.
    ad : path
        Output: axial diffusivity, mm^2/s, on the grid of the series.
    rd : path
        Output: radial diffusivity, mm^2/s, on the grid of the series.
    v1 : path
        Output: main direction (X, Y, Z, 3) along the RAS+ world axes.
    dec : path
        Output: colour FA (X, Y, Z, 3): the sizes of that direction's parts times FA; red x, green y, blue z.
    fa_template : path
        Output: fractional anisotropy on the template's grid.
    md_template : path
        Output: mean diffusivity on the template's grid.
    ad_template : path
        Output: axial diffusivity on the template's grid.
    rd_template : path
        Output: radial diffusivity on the template's grid.
    transform : path
        Output: dwi to T1w (`.txt`), or without a T1w dwi to template (`.h5`).
    quality : path
        Output: quality numbers and verdict.
    shell_tolerance : float, default=0.05
        b-values within this share of a shell's median belong to it.
    max_shift_mm : float, default=30
        The farthest that registration to the T1w may move the brain from its start.
    score_warn : float, default=0.05
        Registration score below which the verdict is `warn`.
    overlap_warn : float, default=0.8
        Overlap (Dice) of the mask with the template's below which the verdict is `warn`.
    residual_warn : float, default=0.1
        Tensor residual, as a share of the b=0 signal, above which the verdict is `warn`.
    tensor_backend : str, default="torch"
        What fits the tensor: `torch`, our own, `dipy`, or `fsl`, dtifit.
    coregistration_backend : str, default="scipy"
        What lays the b=0 volume on the T1w: `scipy`, our own, or `fsl`, epi_reg.
    robust : bool, default=False
        Leave single signals out of the tensor fit by `torch` that lie far from the tensor of the others.
    distortion : str, default="none"
        `registration` takes susceptibility distortion out by registration to the T1w along phase encoding, where that
        makes the registration's score better; `none` leaves it in.
    max_distortion_mm : float, default=15
        The largest shift that this may find.
    seed : int, default=0
        Seed of the registration.

    Raises
    ------
    InputError
        No shell determines a tensor, the mask is empty, or a T1w comes without its transform.

    References
    ----------
    Basser PJ et al. 1994, doi:10.1006/jmrb.1994.1037 (the tensor); Chung S et al. 2006,
    doi:10.1016/j.neuroimage.2006.07.001 (weighted least squares).
    """
    from neuromoe.dwi._by_fsl import fit_maps_by_fsl
    from neuromoe.dwi._normalization import carry, fit_maps, select_shell, unmask
    from neuromoe.dwi._placement import Anatomy, Settings
    from neuromoe.dwi._tensor import color_fa

    series, brain = load_image(dwi, ndim=4), load_image(mask, ndim=3)
    inside = _inside(series, brain, mask)
    gradients = read_gradients(bval, bvec, stored_affine(dwi), series.data.shape[3])
    chosen = select_shell(gradients, shell_tolerance, bval)
    if tensor_backend == "fsl":
        fitted, residual = fit_maps_by_fsl(series.like(series.data[..., chosen]), gradients[chosen], inside)
    else:
        how: dict[str, Any] = {"robust": robust, "by": tensor_backend}
        fitted, residual = fit_maps(series.data[..., chosen], gradients[chosen], inside, **how)
    maps = {name: unmask(getattr(fitted, name), inside) for name in _UNITS}
    print(f"tensor fitted on {len(chosen)} volumes in {inside.sum()} voxels", flush=True)
    target = Template.load(template)
    b0 = series.like(series.data[..., gradients.is_b0].mean(axis=3))
    white = t1w_white if coregistration_backend == "fsl" else None
    settings = Settings(max_shift_mm, distortion, max_distortion_mm, seed)
    anatomy = Anatomy(t1w, t1w_mask, t1w_to_template, white) if t1w else None
    place = _place(b0, maps, brain, target, anatomy, settings, _told_of(dwi))
    carried = carry(maps, brain.like(inside), target.grid, place.chain)
    numbers = {
        **place.numbers,
        **_coverage(carried["mask"], b0, target, place.chain),
        "tensor_residual": residual,
        "fa_median": float(np.median(fitted.fa)),
        "md_median_mm2_s": float(np.median(fitted.md)),
        "volumes_used": float(len(chosen)),
        "shell_s_mm2": float(np.median(gradients.bvals_s_mm2[chosen][~gradients.is_b0[chosen]])),
    }
    reasons = _reasons(numbers, score_warn, overlap_warn, residual_warn, t1w is None) + list(place.notes)
    write_transform(transform, place.written)
    parameters: dict[str, Any] = {"shell_tolerance": shell_tolerance, "max_shift_mm": max_shift_mm, "seed": seed}
    parameters |= {"tensor_backend": tensor_backend, "coregistration_backend": coregistration_backend, "robust": robust}
    parameters |= {"distortion": distortion, "max_distortion_mm": max_distortion_mm}
    sources = [path for path in (dwi, bval, bvec, mask, t1w, t1w_mask, t1w_to_template) if path is not None]
    for name, path in {"fa": fa, "md": md, "ad": ad, "rd": rd}.items():
        save_image(series.like(maps[name]), path)
        write_sidecar(path, sources=sources[:4], parameters=parameters, Units=_UNITS[name])
    save_image(series.like(unmask(fitted.v1, inside)), v1)
    axes = "RAS+ world: x right, y anterior, z superior"
    write_sidecar(v1, sources=sources[:4], parameters=parameters, Axes=axes)
    save_image(series.like(unmask(color_fa(fitted), inside)), dec)
    write_sidecar(dec, sources=sources[:4], parameters=parameters, Axes=axes, Colors="red x, green y, blue z")
    extra: dict[str, Any] = {"SpatialReference": target.label} | ({"T1w": "none, lower quality"} if t1w is None else {})
    extra |= {"DistortionCorrection": dict(place.distortion)} if place.distortion else {}
    for name, path in {"fa": fa_template, "md": md_template, "ad": ad_template, "rd": rd_template}.items():
        save_image(carried[name], path, target.grid.affine)
        write_sidecar(path, sources=[*sources, transform], parameters=parameters, Units=_UNITS[name], **extra)
    failures = [f"the T1w failed: {why}" for why in failures_of(t1w)]
    reasons = failures + reasons
    write_quality(quality, numbers, "fail" if failures else "warn" if reasons else "pass", reasons)
    print("; ".join(reasons) or "pass", {name: round(value, 6) for name, value in numbers.items()}, flush=True)


def _inside(series: Image, brain: Image, path: Path) -> NDArray:
    inside = brain.data > 0.5
    if not series.grid.same_as(brain.grid) or not inside.any():
        raise InputError(
            expected=f"a mask that is not empty, on the series' grid {series.grid.shape}",
            found=f"{int(inside.sum())} voxels on {brain.grid.shape}",
            where=path, fix="look at the b=0 volume; rerun dwi_correct, or leave the image out",
        )  # fmt: skip
    return inside


def _told_of(dwi: Path) -> dict[str, Any]:
    return read_metadata([sidecar_path(dwi)] if sidecar_path(dwi).is_file() else [])


def _place(
    b0: Image,
    maps: dict[str, NDArray],
    brain: Image,
    target: Template,
    anatomy: "Anatomy | None",
    settings: "Settings",
    metadata: dict[str, Any],
) -> "Placement":
    from neuromoe.dwi._normalization import to_template_without_t1w
    from neuromoe.dwi._placement import Placement, place_in_t1w

    if anatomy is not None:
        return place_in_t1w(b0, brain, anatomy, settings, metadata)
    chain, score = to_template_without_t1w(b0, maps, brain, target, settings.seed)
    notes = ("distortion stays in: there is no T1w",) if settings.distortion != "none" else ()
    return Placement(chain, chain, {"coregistration_score": score}, notes)


def _coverage(known: NDArray, b0: Image, target: Template, chain: Chain) -> dict[str, float]:
    from neuromoe.dwi._normalization import field_of_view

    view = field_of_view(b0, target.grid, chain)
    return {
        "template_overlap": dice(known & view, target.brain_mask & view),
        "template_coverage": float((view & target.brain_mask).sum() / max(int(target.brain_mask.sum()), 1)),
    }


def _reasons(
    numbers: dict[str, float], score_warn: float, overlap_warn: float, residual_warn: float, alone: bool
) -> list[str]:
    names = ("coregistration_score", "template_overlap", "tensor_residual", "shell_s_mm2")
    score, overlap, residual, shell = (numbers[name] for name in names)
    checks = [
        (score < score_warn, f"registration score {score:.3f}, below {score_warn:g}"),
        (overlap < overlap_warn, f"overlap with the template's brain {overlap:.2f}, below {overlap_warn:g}"),
        (residual > residual_warn, f"tensor residual {residual:.3f}, above {residual_warn:g}"),
        (shell > _STRONG_S_MM2, f"tensor from b={shell:.0f}, above {_STRONG_S_MM2:g} s/mm^2, where it fits less well"),
        (alone, "no T1w: registered to the template directly, which is less exact"),
    ]
    return [reason for holds, reason in checks if holds]
