"""Take confounds out of a BOLD run and map its fluctuations on the template's grid, interpolated once."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.provenance import write_sidecar
from neuromoe.core.quality import write_quality
from neuromoe.imaging.geometry import apply_affine
from neuromoe.imaging.images import resample, save_image
from neuromoe.imaging.template import Template

if TYPE_CHECKING:
    from neuromoe.func._confounds import Confounds
    from neuromoe.func._fluctuation import Maps, Model
    from neuromoe.func._run import Run


DEFAULT_REGRESSORS = ("motion", "outliers", "tissues", "compcor", "derivatives")
DEFAULT_BAND_HZ = (0.01, 0.1)
POSTERIOR_CINGULATE_MM = (0.0, -53.0, 26.0)


def normalize(
    *,
    bold: Path,
    boldref: Path,
    mask: Path,
    motion: Path,
    transform: Path,
    template: Path,
    confounds: Path,
    boldref_template: Path,
    mask_template: Path,
    alff: Path,
    falff: Path,
    reho: Path,
    seed_map: Path,
    quality: Path,
    network_map: Path | None = None,
    gm: Path | None = None,
    wm: Path | None = None,
    csf: Path | None = None,
    t1w_to_template: Path | None = None,
    sidecars: list[Path] | None = None,
    repetition_time_s: float | None = None,
    regressors: list[str] | None = None,
    confound_share: float = 0.5,
    compcor_components: int = 6,
    fd_threshold_mm: float = 0.5,
    scrub: bool = True,
    band_hz: list[float] | None = None,
    seed_mm: list[float] | None = None,
    seed_radius_mm: float = 6.0,
    networks: str | None = None,
    amplitude: str = "percent",
    interpolation_order: int = 3,
) -> None:
    """Make the confounds of a BOLD run, and its maps of ALFF, fALFF, ReHo and seed connectivity.

    Motion, the way to the T1w and the way to the template are put together for each volume, and each brain
    voxel of the template is interpolated once.

    Parameters
    ----------
    bold : path
        The slice-timed run (X, Y, Z, V), not moved.
    boldref : path
        Mean of its aligned volumes.
    mask : path
        Brain mask on the BOLD grid.
    motion : path
        One ITK affine per volume.
    transform : path
        BOLD reference to T1w, or to the template where `t1w_to_template` is not given.
    template : path
        `template.json` of the prepared template.
    confounds : path
        Output: table of confounds with fMRIPrep's names, a JSON file beside it.
    boldref_template : path
        Output: the reference on the template's grid.
    mask_template : path
        Output: where the maps have values.
    alff : path
        Output: amplitude of low-frequency fluctuation, in the unit that `amplitude` names.
    falff : path
        Output: its share of all frequencies.
    reho : path
        Output: regional homogeneity, Kendall's W.
    seed_map : path
        Output: Fisher's z of the correlation with the seed.
    quality : path
        Output: quality numbers and verdict.
    network_map : path, optional
        Output: Fisher's z of the correlation with each network's mean course (X, Y, Z, K); its JSON file names
        the volumes.
    gm, wm, csf : path, optional
        Tissue probabilities of the T1w; without them, the template's are used.
    t1w_to_template : path, optional
        Deformation of the T1w to the template.
    sidecars : list of path, optional
        JSON files of the run, nearest last.
    repetition_time_s : float, optional
        Time between volumes, s; by default from sidecars or header.
    regressors : list of str, optional
        Groups of confounds, the most important first: motion, outliers, tissues, global, compcor,
        derivatives, squares. By default motion, outliers, tissues, compcor, derivatives.
    confound_share : float, default=0.5
        Share of the band's degrees of freedom that confounds may take; later groups are left out.
    compcor_components : int, default=6
        Components of each noise region.
    fd_threshold_mm : float, default=0.5
        Framewise displacement above which a volume is an outlier, mm.
    scrub : bool, default=True
        Take outlier volumes out by a regressor of their own each, and out of the noise regions' components; without,
        the group `outliers` is not used.
    band_hz : list of float, optional
        Band of the maps, Hz; by default 0.01 and 0.1.
    seed_mm : list of float, optional
        Centre of the seed in the template, mm; by default the posterior cingulate cortex, 0, -53, 26.
    seed_radius_mm : float, default=6
        Radius of the seed and of the networks' spheres, mm.
    networks : str, optional
        `bundled` for six networks of published centres, or the path of an atlas of whole-numbered labels or of a
        table with columns name, x, y, z (template mm); none by default.
    amplitude : str, default="percent"
        Unit of ALFF: `percent` of the brain's median signal, or times its `mean` in the brain (mALFF).
    interpolation_order : int, default=3
        Spline order of the one interpolation.

    Raises
    ------
    InputError
        A file that cannot be read, or no repetition time.

    References
    ----------
    Spike regressors: Satterthwaite et al. 2013, doi:10.1016/j.neuroimage.2012.08.052. Networks: Dosenbach et al.
    2010, doi:10.1126/science.1194144
    """
    from neuromoe.func._confounds import write_confounds
    from neuromoe.func._fluctuation import Band, Seed, make_maps, make_model
    from neuromoe.func._networks import find_networks
    from neuromoe.func._run import noise_masks_of, read_run, run_confounds

    files = (bold, boldref, mask, motion, transform, t1w_to_template)
    run = read_run(*files, sidecars=sidecars, repetition_time_s=repetition_time_s)
    target = Template.load(template)
    noise = noise_masks_of(run, target, wm, csf)
    table = run_confounds(run, noise, components=compcor_components, fd_threshold_mm=fd_threshold_mm, scrub=scrub)
    write_confounds(confounds, table)
    print(f"{len(table.columns)} confounds, {table.unsteady} volumes before the steady state", flush=True)
    low_hz, high_hz = band_hz or DEFAULT_BAND_HZ
    band = Band(low_hz, high_hz, run.repetition_time_s)
    groups = [group for group in regressors or DEFAULT_REGRESSORS if scrub or group != "outliers"]
    model = make_model(table, groups, band, confound_share)
    inside = _inside(run, target)
    seed = Seed(tuple(seed_mm or POSTERIOR_CINGULATE_MM), seed_radius_mm)
    places = find_networks(networks, apply_affine(target.grid.affine, np.argwhere(inside)), seed_radius_mm)
    maps = make_maps(
        run,
        target.mask.like(inside),
        model,
        seed,
        order=interpolation_order,
        amplitude_unit=amplitude,
        networks=places,
    )
    print(f"maps of {int(inside.sum())} voxels", flush=True)
    record: dict[str, Any] = {
        "sources": [p for p in (bold, motion, transform, t1w_to_template, gm, wm, csf, template) if p is not None],
        "parameters": {
            "regressors": model.names,
            "band_hz": [band.low_hz, band.high_hz],
            "seed_mm": list(seed.center_mm),
            "seed_radius_mm": seed_radius_mm,
            "interpolation_order": interpolation_order,
            "fd_threshold_mm": fd_threshold_mm,
            "scrub": scrub,
            "amplitude": amplitude,
        },
        "SpatialReference": str(template),
        "NonSteadyStateVolumes": table.unsteady,
    }
    images = {alff: maps.alff, falff: maps.falff, reho: maps.reho, seed_map: maps.seed}
    _write(images, boldref_template, mask_template, run, target, inside, record)
    if network_map:
        save_image(maps.networks, network_map, target.grid.affine)
        named = [{"Name": one.name, "Source": one.source, "Voxels": len(one.members)} for one in places]
        write_sidecar(network_map, **record, Networks=named)
    absent = [one.name for one in places if not len(one.members)]
    _judge(quality, run, target, inside, maps, model, table, absent)


def _inside(run: "Run", target: Template) -> NDArray[np.bool_]:
    covered = resample(run.boldref.like(run.brain), target.grid, run.chain)
    return target.brain_mask & (covered > 0.5)


def _write(
    images: dict[Path, NDArray],
    boldref_template: Path,
    mask_template: Path,
    run: "Run",
    target: Template,
    inside: NDArray,
    record: dict[str, Any],
) -> None:
    for path, data in images.items():
        save_image(data, path, target.grid.affine)
        write_sidecar(path, **record)
    save_image(resample(run.boldref, target.grid, run.chain), boldref_template, target.grid.affine)
    write_sidecar(boldref_template, **record)
    save_image(inside, mask_template, target.grid.affine, dtype=np.uint8)
    write_sidecar(mask_template, **record, Type="Brain")


def _judge(
    quality: Path,
    run: "Run",
    target: Template,
    inside: NDArray,
    maps: "Maps",
    model: "Model",
    table: "Confounds",
    absent: list[str],
) -> None:
    from neuromoe.func._series import short_reason

    volumes = run.image.data.shape[3]
    grey = inside & (target.gm.data > 0.5)
    numbers = {
        "coverage": float(inside.sum() / target.brain_mask.sum()),
        "freedom": model.freedom,
        "confounds": len(model.names),
        "outliers_perc": 100 * len(table.named("motion_outlier")) / volumes,
        "falff_gm": float(maps.falff[grey].mean()) if grey.any() else float("nan"),
        "reho_gm": float(maps.reho[grey].mean()) if grey.any() else float("nan"),
        "seed_voxels": maps.seed_voxels,
        "fluid_contrast": _fluid_contrast(run, target, inside),
    }
    reasons = short_reason(volumes, run.repetition_time_s)
    reasons += [f"covers {100 * numbers['coverage']:.0f} % of the brain"] if numbers["coverage"] < 0.8 else []
    reasons += ["the seed lies outside the covered brain: its map is 0"] if maps.seed_voxels == 0 else []
    reasons += [f"networks outside the covered brain, their maps are 0: {', '.join(absent)}"] if absent else []
    reasons += [f"{numbers['outliers_perc']:.0f} % of volumes moved"] if numbers["outliers_perc"] > 20 else []
    reasons += ["motion could not be regressed: too few volumes"] if "trans_x" not in model.names else []
    verdict = "fail" if numbers["coverage"] < 0.3 else "warn" if reasons else "pass"
    write_quality(quality, numbers, verdict, reasons)


def _fluid_contrast(run: "Run", target: Template, inside: NDArray) -> float:
    """Brightness of the template's CSF over its white matter: well above 1 where the BOLD is well placed."""
    reference = resample(run.boldref, target.grid, run.chain)
    fluid, white = (reference[inside & (tissue.data > 0.9)] for tissue in (target.csf, target.wm))
    return float(np.median(fluid) / np.median(white)) if len(fluid) and len(white) else float("nan")
