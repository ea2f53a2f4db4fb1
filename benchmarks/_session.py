"""A whole session, T1w and diffusion and BOLD, against a chain of the usual calls.

`ours` is the workflow itself (`snakemake anat_all dwi_all func_all --cores 1`), Snakemake's own seconds included.
`peer` is written out below as a user would: one process, so that its libraries are loaded once. `peer_short` is the
same chain with the two steps that ANTs does BOLD volume by volume done on the first volumes only, their seconds times
the rest: it costs a third less to measure, and its motion is judged on a shorter run, which flatters it.
"""

import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from _cases import Case, clock, peak_mb
from _truth import fa_error, mask_dice, motion_mm, registration_mm

from neuromoe.imaging.images import Image, load_image
from neuromoe.imaging.template import Template
from neuromoe.imaging.transforms import read_affines, read_transform
from neuromoe.registration.ants import ants_affine, chains

REPOSITORY = Path(__file__).parent.parent
PHANTOMS = ["plain"]
REAL: list[str] = []
SHORT_VOLUMES = 40


def ours(case: Case) -> dict[str, float]:
    """Run the workflow's three preprocessing stages."""
    with tempfile.TemporaryDirectory() as folder:
        base = [sys.executable, "-m", "snakemake", "-s", str(REPOSITORY / "Snakefile"), "--directory", folder]
        settings = ["--cores", "1", "--config", f"bids_dir={case.bids}", "output_dir=out"]
        subprocess.run([*base, "template_prepare", *settings], check=True, capture_output=True)
        with clock() as spent:
            subprocess.run([*base, "anat_all", "dwi_all", "func_all", *settings], check=True, capture_output=True)
        largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        made = Path(folder) / "out" / "derivatives" / case.person
        motion = {m: read_affines(path) for m in ("func",) for path in (made / m).glob("*_from-orig_to-*.txt")}
        return {
            "cpu_s": spent.cpu_s,
            "peak_mb": round(largest),
            "mask_dice": mask_dice(case, _image(made / "anat", "_desc-brain_mask")),
            "registration_mm": registration_mm(case, read_transform(next((made / "anat").glob("*_from-T1w_to-*.h5")))),
            "fa_error": fa_error(case, _image(made / "dwi", "_param-fa_dwimap", without="_space-")),
            "bold_motion_mm": motion_mm(case, "func", motion["func"]),
        }


def _image(folder: Path, ending: str, without: str = "_space-") -> Image:
    (path,) = (path for path in folder.glob(f"*{ending}.nii.gz") if without not in path.name)
    return load_image(path)


def peer(case: Case, bold_volumes: int | None = None) -> dict[str, float]:
    """Run the usual calls one after the other; ANTs' BOLD steps on the first volumes only where so asked."""
    import ants

    steps: dict[str, float] = {}
    numbers: dict[str, float] = {}
    raw = {m: next((case.bids / case.person / m).glob("*.nii.gz")) for m in ("anat", "dwi", "func")}
    template = Template.load(case.template)
    fixed = ants.image_read(str(template.folder / "head.nii.gz")) * ants.image_read(
        str(template.folder / "mask.nii.gz")
    )
    with tempfile.TemporaryDirectory() as folder, clock() as total:
        t1w, mask, warp = _peer_anat(ants.image_read(str(raw["anat"])), fixed, folder, steps)
        numbers |= _peer_dwi(case, raw["dwi"], t1w, folder, steps)
        numbers |= _peer_bold(case, raw["func"], (t1w, fixed, warp), folder, steps, bold_volumes)
        numbers["mask_dice"] = mask_dice(case, _from_ants(mask))
        numbers["registration_mm"] = registration_mm(case, chains(warp)[0])
    cpu_s = total.cpu_s + steps.pop("not_run", 0.0)
    return {"cpu_s": cpu_s, "peak_mb": round(peak_mb()), **numbers, **{f"{k}_s": v for k, v in steps.items()}}


def _peer_anat(t1w, fixed, folder, steps):
    import ants

    with clock() as spent:
        corrected = ants.n4_bias_field_correction(t1w)
    steps["n4"] = spent.cpu_s
    with clock() as spent:
        mask = ants.get_mask(corrected)
    steps["get_mask"] = spent.cpu_s
    brain = corrected * mask
    with clock() as spent:
        warp = ants.registration(fixed, brain, "antsRegistrationSyN[s]", outprefix=f"{folder}/t1w_")
    steps["syn"] = spent.cpu_s
    with clock() as spent:
        ants.atropos(a=corrected, x=mask, i="kmeans[3]", m="[0.2,1x1x1]", c="[5,0]")
    steps["atropos"] = spent.cpu_s
    return brain, mask, warp


def _peer_dwi(case: Case, path: Path, t1w, folder: str, steps: dict[str, float]) -> dict[str, float]:
    import ants
    from dipy.core.gradients import gradient_table
    from dipy.denoise.localpca import mppca
    from dipy.reconst.dti import TensorModel

    from neuromoe.imaging.gradients import read_gradients, stored_affine

    image = load_image(path)
    stem = str(path).removesuffix(".nii.gz")
    gradients = read_gradients(Path(f"{stem}.bval"), Path(f"{stem}.bvec"), stored_affine(path), image.data.shape[3])
    with clock() as spent:
        data = mppca(image.data)
    steps["mppca"] = spent.cpu_s
    volumes = [_to_ants(Image(data[..., v], image.affine)) for v in range(data.shape[3])]
    b0 = volumes[int(np.flatnonzero(gradients.is_b0)[0])]
    moved, motion = [], []
    with clock() as spent:
        for number, volume in enumerate(volumes):
            found = ants.registration(b0, volume, "BOLDRigid", outprefix=f"{folder}/dwi{number}_")
            moved.append(found["warpedmovout"].numpy())
            motion.append(ants_affine(found["fwdtransforms"][0]).matrix)
    steps["dwi_rigid"] = spent.cpu_s
    turned = gradients.rotated(np.linalg.inv(np.stack(motion)[:, :3, :3]))
    table = gradient_table(turned.bvals_s_mm2, bvecs=turned.directions, atol=0.1)
    series = np.stack(moved, axis=-1)
    with clock() as spent:
        fit = TensorModel(table, fit_method="WLS").fit(series, mask=series[..., gradients.is_b0].mean(-1) > 50)
    steps["tensor"] = spent.cpu_s
    with clock() as spent:
        ants.registration(t1w, b0, "Rigid", outprefix=f"{folder}/b0_")
    steps["dwi_coregister"] = spent.cpu_s
    fa = Image(np.nan_to_num(fit.fa).astype(np.float32), image.affine)
    return {"fa_error": fa_error(case, fa)}


def _peer_bold(case: Case, path: Path, anatomy: tuple, folder: str, steps, bold_volumes) -> dict[str, float]:
    import ants
    import nibabel as nib
    from nilearn.image import clean_img

    from neuromoe.func._maps import amplitude, homogeneity, ranks

    t1w, fixed, warp = anatomy
    run = ants.image_read(str(path))
    volumes = run.shape[3]
    if bold_volumes:
        run = ants.list_to_ndimage(run, ants.ndimage_to_list(run)[:bold_volumes])
    share = run.shape[3] / volumes
    tr = float(nib.load(path).header.get_zooms()[3])
    with clock() as spent:
        found = ants.motion_correction(run, type_of_transform="BOLDRigid", outprefix=f"{folder}/bold_")
    steps["bold_motion"] = spent.cpu_s
    motion = np.stack([ants_affine(names[0]).matrix for names in found["motion_parameters"]])
    mean = ants.get_average_of_timeseries(found["motion_corrected"])
    with clock() as spent:
        to_t1w = ants.registration(t1w, mean, "Rigid", outprefix=f"{folder}/ref_")
    steps["bold_coregister"] = spent.cpu_s
    chain = warp["fwdtransforms"] + to_t1w["fwdtransforms"]
    with clock() as spent:
        resampled = [
            ants.apply_transforms(fixed, ants.slice_image(run, axis=3, idx=v), [*chain, names[0]]).numpy()
            for v, names in enumerate(found["motion_parameters"])
        ]
        series = np.stack(resampled, axis=-1)
    steps["bold_apply"] = spent.cpu_s
    for name in ("bold_motion", "bold_apply") if bold_volumes else ():
        steps["not_run"] = steps.get("not_run", 0.0) + steps[name] * (1 / share - 1)
        steps[name] /= share
    if bold_volumes:
        series = np.resize(series.T, (volumes, *series.T.shape[1:])).T
    inside = fixed.numpy() > 0
    image = nib.Nifti1Image(series, np.eye(4) * 2)
    mask = nib.Nifti1Image(inside.astype(np.uint8), image.affine)
    parameters = np.resize(motion[:, :3].reshape(len(motion), -1), (volumes, 12))
    with clock() as spent:
        clean = clean_img(image, t_r=tr, high_pass=0.01, low_pass=0.1, confounds=parameters, mask_img=mask)
    steps["clean_img"] = spent.cpu_s
    with clock() as spent:
        courses = clean.get_fdata(dtype=np.float32)[inside]
        amplitude(courses, repetition_time_s=tr, band_hz=(0.01, 0.1))
        homogeneity(ranks(courses), inside, spacing=[2, 2, 2])
    steps["maps"] = spent.cpu_s
    return {"bold_motion_mm": motion_mm(case, "func", motion)}


def _to_ants(image: Image):
    from neuromoe.registration.ants import to_ants

    return to_ants(image)


def _from_ants(image) -> Image:
    from neuromoe.imaging.transforms import LPS

    lps = np.eye(4)
    lps[:3, :3] = image.direction * np.array(image.spacing)
    lps[:3, 3] = image.origin
    return Image(image.numpy(), LPS @ lps)


METHODS = {"ours": ours, "peer": peer, "peer_short": lambda case: peer(case, SHORT_VOLUMES)}


def table(rows: list[dict]) -> tuple[str, dict[str, float]]:
    """Return the table of medians, and the median over people of ours over the peer's."""
    names = ["cpu_s", "peak_mb", "mask_dice", "registration_mm", "fa_error", "bold_motion_mm"]
    lines = [f"| method | people | {' | '.join(names)} |", "|---" * (len(names) + 2) + "|"]
    by_method = {method: {row["case"]: row for row in rows if row["method"] == method} for method in METHODS}
    for method, mine in by_method.items():
        if mine:
            cells = " | ".join(f"{statistics.median(row[name] for row in mine.values()):.3g}" for name in names)
            lines.append(f"| {method} | {len(mine)} | {cells} |")
    peers = by_method["peer_short"] | by_method["peer"]
    both = sorted(set(by_method["ours"]) & set(peers))
    ratios = {name: [by_method["ours"][case][name] / peers[case][name] for case in both] for name in names}
    return "\n".join(lines), {name: round(statistics.median(values), 3) for name, values in ratios.items() if values}
