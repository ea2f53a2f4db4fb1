"""One session's page: every step's before and after, its quality, and what was run."""

import json
from pathlib import Path
from typing import Any

from neuromoe.core.provenance import sidecar_path
from neuromoe.core.quality import read_quality, worst
from neuromoe.imaging.template import Template


def subject(
    *,
    session: str,
    page: Path,
    template: Path,
    t1w: Path | None = None,
    t1w_preproc: Path | None = None,
    t1w_mask: Path | None = None,
    gm: Path | None = None,
    wm: Path | None = None,
    csf: Path | None = None,
    t1w_template: Path | None = None,
    gm_template: Path | None = None,
    logjacobian: Path | None = None,
    dwi_raw: list[Path] | None = None,
    dwi_preproc: Path | None = None,
    dwi_mask: Path | None = None,
    fa: Path | None = None,
    v1: Path | None = None,
    fa_template: Path | None = None,
    md_template: Path | None = None,
    bold_raw: Path | None = None,
    boldref: Path | None = None,
    bold_mask: Path | None = None,
    confounds: Path | None = None,
    boldref_template: Path | None = None,
    alff: Path | None = None,
    falff: Path | None = None,
    reho: Path | None = None,
    seed_map: Path | None = None,
    qualities: list[Path] | None = None,
    tensor: Path | None = None,
    advice: list[str] | None = None,
    demo: bool = False,
) -> None:
    """Write one session's page. What is not given is said to be absent.

    Parameters
    ----------
    session : str
        The session's key, `sub-X[_ses-Y]`.
    page : path
        The HTML file to write, `<report>/sessions/<session>.html`.
    template : path
        The prepared template's `template.json`.
    t1w : path, optional
        T1-weighted image as scanned.
    t1w_preproc : path, optional
        The same, bias corrected.
    t1w_mask : path, optional
        Its brain mask.
    gm : path, optional
        Probability of grey matter on the T1-weighted image's grid.
    wm : path, optional
        Probability of white matter on the same grid.
    csf : path, optional
        Probability of cerebrospinal fluid on the same grid.
    t1w_template : path, optional
        T1-weighted image on the template's grid.
    gm_template : path, optional
        Probability of grey matter on the template's grid.
    logjacobian : path, optional
        Logarithm of the local volume ratio, on the template's grid.
    dwi_raw : list of path, optional
        Diffusion series as scanned, their .bval files beside them.
    dwi_preproc : path, optional
        The corrected series, its .bval file beside it.
    dwi_mask : path, optional
        Brain mask on the corrected series' grid.
    fa : path, optional
        Fractional anisotropy on the same grid.
    v1 : path, optional
        Principal direction on the same grid (X, Y, Z, 3), world axes.
    fa_template : path, optional
        Fractional anisotropy on the template's grid.
    md_template : path, optional
        Mean diffusivity on the template's grid, mm^2/s.
    bold_raw : path, optional
        Functional series as scanned.
    boldref : path, optional
        Reference volume on the series' own grid.
    bold_mask : path, optional
        Brain mask on the same grid.
    confounds : path, optional
        Table of confounds with fMRIPrep's column names.
    boldref_template : path, optional
        Reference volume on the template's grid.
    alff : path, optional
        Amplitude of slow fluctuations on the template's grid.
    falff : path, optional
        Fractional amplitude of slow fluctuations, likewise.
    reho : path, optional
        Regional homogeneity, likewise.
    seed_map : path, optional
        Correlation with the seed, likewise.
    qualities : list of path, optional
        The steps' quality files, `*_desc-<step>_quality.json`.
    tensor : path, optional
        The packed tensors.
    advice : list of str, optional
        Notices to print at the top.
    demo : bool, default=False
        Whether the people are simulated: the page says so.

    Raises
    ------
    InputError
        An image cannot be read, or images that belong together lie on different grids.
    """
    from neuromoe.report._anat import anat_section
    from neuromoe.report._dwi import dwi_section
    from neuromoe.report._func import func_section
    from neuromoe.report._page import write_page
    from neuromoe.report._tensors import tensor_section

    common = Template.load(template)
    anat = anat_section(
        common,
        t1w=t1w,
        preproc=t1w_preproc,
        mask=t1w_mask,
        tissues=(gm, wm, csf),
        t1w_template=t1w_template,
        gm_template=gm_template,
        logjacobian=logjacobian,
    )
    dwi = dwi_section(
        common,
        raw=dwi_raw or [],
        preproc=dwi_preproc,
        mask=dwi_mask,
        fa=fa,
        v1=v1,
        fa_template=fa_template,
        md_template=md_template,
    )
    func = func_section(
        common,
        raw=bold_raw,
        boldref=boldref,
        mask=bold_mask,
        confounds=confounds,
        boldref_template=boldref_template,
        maps=(alff, falff, reho, seed_map),
    )
    checks = _quality_rows(qualities or [])
    described = [
        *(t1w_preproc, t1w_mask, t1w_template, gm_template, logjacobian, dwi_preproc, dwi_mask, fa, v1),
        *(
            fa_template,
            md_template,
            boldref,
            bold_mask,
            confounds,
            boldref_template,
            alff,
            falff,
            reho,
            seed_map,
        ),
    ]
    write_page(
        page,
        "subject.html",
        title=session,
        home="../",
        present={"T1w": t1w or t1w_preproc, "Diffusion": dwi_raw or dwi_preproc, "BOLD": bold_raw or boldref},
        verdict=worst([check["verdict"] for check in checks]) if checks else None,
        notices=_notices(common, advice or [], demo),
        checks=checks,
        sections=[anat, dwi, func, tensor_section(tensor)],
        records=_provenance([path for path in described if path is not None]),
        space=common.label,
        demo=demo,
    )
    print(f"{session}: {page}", flush=True)


def _notices(template: Template, advice: list[str], demo: bool) -> list[str]:
    """Return what the reader must know before the pictures; without other advice, that on the template."""
    words = list(advice)
    if demo:
        words.insert(0, "This person is simulated: a phantom with known truth, made for trying the workflow.")
    elif not template.whole_head and not advice:
        words.append(
            f"The template {template.label} has the brain only, and a head was made around it. A whole-head "
            "template is better for finding the brain and for registration: set one in the configuration "
            "(the README says how)."
        )
    return words


def _quality_rows(paths: list[Path]) -> list[dict[str, Any]]:
    """Read quality files; each row says of which modality and step it is, by its folder and its `desc`."""
    rows = []
    for path in paths:
        step = path.name.rpartition("_desc-")[2].partition("_")[0]
        rows.append({"modality": path.parent.name, "step": step, **read_quality(path)})
    return rows


def _provenance(images: list[Path]) -> list[dict[str, Any]]:
    """Read the sidecars beside images: the file's name, its sources' names, and the rest as text."""
    records = []
    for image in images:
        path = sidecar_path(image)
        if not path.is_file():
            continue
        fields = json.loads(path.read_text(encoding="utf-8"))
        sources = [Path(source).name for source in fields.pop("Sources", [])]
        records.append({"file": image.name, "sources": sources, "text": json.dumps(fields, indent=1, sort_keys=True)})
    return records
