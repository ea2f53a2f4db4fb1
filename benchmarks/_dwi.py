"""Diffusion: head motion, lost slices, denoising and the tensor, against ANTs, DIPY and the true motion.

Variants of a phantom: `plain` moves a little, `moved` jumps and loses slices. All motion methods get the same denoised
series and the same tensor fit. FA errors are mean absolute differences from the truth in white matter (true FA above
.35). Of a real person with two sessions, the main directions of the second are compared with the first's where both
have FA above .4: as the scanner's axes have them (`v1_deg`), and after rigid registration of b=0 (`v1_registered_deg`).
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
from _cases import Case, clock
from _truth import motion_mm
from numpy.typing import NDArray

from neuromoe.dwi._correction import Settings, correct_series, denoised
from neuromoe.dwi._denoise import denoise
from neuromoe.dwi._mask import brain_mask
from neuromoe.dwi._normalization import fit_maps
from neuromoe.dwi._series import Series, read_runs
from neuromoe.dwi._tensor import Maps, fit_tensor, tensor_maps
from neuromoe.imaging.geometry import apply_affine
from neuromoe.imaging.gradients import Gradients
from neuromoe.imaging.images import Image, load_image
from neuromoe.imaging.transforms import LPS, read_affines
from neuromoe.registration.coregister import coregister

PHANTOMS = ["plain", "moved"]
REAL = ["sub-tosh"]
SESSIONS = ("ses-ortho", "ses-sag30d")

Motion = Callable[[Series, Case], tuple[NDArray, Gradients, NDArray]]


def _moved(case: Case) -> Case:
    """Simulate the phantom's diffusion again with strong motion and lost slices, once."""
    from neuromoe.simulate._plan import plan
    from neuromoe.simulate._session import write_session

    bids = case.bids.with_name(f"{case.bids.name}-moved")
    if not (bids / "done").is_file():
        person = replace(plan(1, case.seed, "full", 0, 0)[0], anat=False, func=False, corrupted=("dwi",))
        write_session(bids, person, seed=case.seed)
        (bids / "done").touch()
    return replace(case, bids=bids)


def _read(folder: Path) -> Series:
    return Series(read_runs(*([next(folder.glob(f"*_dwi.{end}"))] for end in ("nii.gz", "bval", "bvec"))))


def _series(case: Case) -> Series:
    return _read((_moved(case) if case.variant == "moved" else case).bids / case.person / "dwi")


def _applied(series: Series, motion: NDArray) -> tuple[NDArray, Gradients, NDArray]:
    return series.moved(motion), series.gradients.rotated(np.linalg.inv(motion[:, :3, :3])), motion


def uncorrected(series: Series, case: Case) -> tuple[NDArray, Gradients, NDArray]:
    """Take the series as it is."""
    return series.on_one_grid(), series.gradients, np.tile(np.eye(4), (len(series.gradients), 1, 1))


def oracle(series: Series, case: Case) -> tuple[NDArray, Gradients, NDArray]:
    """Undo the true motion."""
    truth = (_moved(case) if case.variant == "moved" else case).truth
    return _applied(series, read_affines(next((truth / "dwi").glob("*_from-orig_to-dwiref_*.txt"))))


def ants_boldrigid(series: Series, case: Case) -> tuple[NDArray, Gradients, NDArray]:
    """Register each volume to the first, turn the gradients, interpolate once."""
    import tempfile

    import ants

    from neuromoe.registration.ants import to_ants

    data, affine = series.on_one_grid(), series.grid.affine
    fixed, motion = to_ants(Image(data[..., 0], affine)), [np.eye(4)]
    for volume in range(1, data.shape[3]):
        with tempfile.TemporaryDirectory() as folder:
            moving = to_ants(Image(data[..., volume], affine))
            found = ants.registration(fixed, moving, "BOLDRigid", outprefix=f"{folder}/x")
            transform = ants.read_transform(found["fwdtransforms"][0])
        matrix, center = np.eye(4), np.array(transform.fixed_parameters)
        matrix[:3, :3] = np.array(transform.parameters[:9]).reshape(3, 3)
        matrix[:3, 3] = transform.parameters[9:] + center - matrix[:3, :3] @ center
        motion.append(LPS @ matrix @ LPS)
    return _applied(series, np.stack(motion))


def ours(**settings) -> Motion:
    """Do what the step does after denoising."""

    def corrected(series: Series, case: Case) -> tuple[NDArray, Gradients, NDArray]:
        found = correct_series(series, Settings(denoise=False, **settings))
        return found.image.data, found.gradients, found.motion

    return corrected


def _motion_method(method: Motion, *, robust: bool = False) -> Callable[[Case], dict[str, float]]:
    def measure(case: Case) -> dict[str, float]:
        if case.real:
            return _real(method, case)
        series, _ = denoised(_series(case), Settings())
        with clock() as spent:
            data, gradients, motion = method(series, case)
        case = _moved(case) if case.variant == "moved" else case
        true = {
            name: load_image(next((case.truth / "dwi").glob(f"*_param-{name}_dwimap.nii.gz"))) for name in ("fa", "v1")
        }
        white = true["fa"].data > 0.35
        maps, _ = fit_maps(data, gradients, white, robust=robust)
        return {
            "cpu_s": spent.cpu_s,
            "fa_error": float(np.abs(maps.fa - true["fa"].data[white]).mean()),
            "v1_deg": float(np.median(_degrees(maps.v1, true["v1"].data[white]))),
            "motion_mm": motion_mm(case, "dwi", motion),
        }

    return measure


def _degrees(one: NDArray, other: NDArray) -> NDArray:
    return np.degrees(np.arccos(np.clip(np.abs((one * other).sum(axis=-1)), 0, 1)))


def _real(method: Motion, case: Case) -> dict[str, float]:
    found, spent_s = [], 0.0
    for session in SESSIONS:
        series, _ = denoised(_read(case.bids / case.person / session / "dwi"), Settings())
        with clock() as spent:
            data, gradients, _ = method(series, case)
        spent_s += spent.cpu_s
        found.append(_fitted(data, gradients, series))
    (b0, fa, v1), (other_b0, other_fa, other_v1) = found
    between = coregister(other_b0, b0).matrix
    results = {"cpu_s": round(spent_s, 3)}
    for name, matrix in (("v1_deg", np.eye(4)), ("v1_registered_deg", between)):
        places = np.argwhere(fa > 0.4)
        voxels = apply_affine(np.linalg.inv(other_b0.affine) @ matrix @ b0.affine, places)
        nearest = np.rint(voxels).astype(int)
        seen = ((nearest >= 0) & (nearest < other_fa.shape)).all(axis=1)
        here, there = tuple(places[seen].T), tuple(nearest[seen].T)
        both = other_fa[there] > 0.4
        results[name] = float(np.median(_degrees(v1[here][both], other_v1[there][both] @ matrix[:3, :3])))
    return results


def _fitted(data: NDArray, gradients: Gradients, series: Series) -> tuple[Image, NDArray, NDArray]:
    b0 = Image(data[..., gradients.is_b0].mean(axis=3), series.grid.affine)
    mask = brain_mask(b0.data, data[..., ~gradients.is_b0].mean(axis=3), b0.voxel_mm)
    maps, _ = fit_maps(data, gradients, mask)
    fa, v1 = np.zeros(mask.shape), np.zeros((*mask.shape, 3))
    fa[mask], v1[mask] = maps.fa, maps.v1
    return b0, fa, v1


def _dipy_mppca(data: NDArray, mask: NDArray) -> tuple[NDArray, NDArray]:
    from dipy.denoise.localpca import mppca

    return mppca(data, mask=mask, patch_radius=2, return_sigma=True)


def _denoise_method(method: Callable) -> Callable[[Case], dict[str, float]]:
    def measure(case: Case) -> dict[str, float]:
        series = _series(case)
        if case.real or case.variant != "plain":
            return {}
        data = series.on_one_grid()
        b0 = data[..., series.gradients.is_b0].mean(axis=3)
        head = b0 > 0.25 * np.quantile(b0, 0.98)
        with clock() as spent:
            cleaned, sigma = method(data, head)
        cleaned = np.where(head[..., None], cleaned, data).astype(np.float32)
        moved, gradients, _ = oracle(series.with_volumes(cleaned, np.ones(len(series.gradients), bool)), case)
        true = load_image(next((case.truth / "dwi").glob("*_param-fa_dwimap.nii.gz"))).data
        white = true > 0.35
        maps, _ = fit_maps(moved, gradients, white)
        return {
            "cpu_s": spent.cpu_s,
            "fa_error": float(np.abs(maps.fa - true[white]).mean()),
            "sigma": float(np.median(sigma[white])),
            "removed_rms": float(np.sqrt(((cleaned - data)[white] ** 2).mean())),
        }

    return measure


def _dipy_fa(signals: NDArray, gradients: Gradients) -> NDArray:
    from dipy.core.gradients import gradient_table
    from dipy.reconst.dti import TensorModel

    table = gradient_table(gradients.bvals_s_mm2, bvecs=gradients.directions)
    return TensorModel(table, fit_method="WLS").fit(signals).fa


def _our_maps(signals: NDArray, gradients: Gradients) -> Maps:
    return tensor_maps(fit_tensor(signals, gradients))


def _tensor_method(method: Callable, fa_of: Callable) -> Callable[[Case], dict[str, float]]:
    def measure(case: Case) -> dict[str, float]:
        if case.real or case.variant != "plain":
            return {}
        series = _series(case)
        mask = load_image(next((case.truth / "dwi").glob("*_desc-brain_mask.nii.gz"))).data > 0.5
        signals, gradients = np.maximum(series.on_one_grid()[mask], 1), series.gradients
        method(signals[:100], gradients)
        with clock() as spent:
            found = method(signals, gradients)
        few = slice(None, None, max(1, len(signals) // 5000))
        difference = np.abs(fa_of(found)[few] - _dipy_fa(signals[few], gradients)).max()
        return {"cpu_s": spent.cpu_s, "fa_difference": float(difference)}

    return measure


METHODS = {
    "oracle": _motion_method(oracle),
    "uncorrected": _motion_method(uncorrected),
    "ants_boldrigid": _motion_method(ants_boldrigid),
    "ours": _motion_method(ours()),
    "ours_keep": _motion_method(ours(outliers="keep")),
    "ours_censor": _motion_method(ours(outliers="censor")),
    "ours_keep_robust": _motion_method(ours(outliers="keep"), robust=True),
    "dipy_mppca": _denoise_method(_dipy_mppca),
    "ours_mppca": _denoise_method(lambda data, mask: denoise(data, mask, stride=2)),
    "ours_mppca_all": _denoise_method(denoise),
    "dipy_wls": _tensor_method(_dipy_fa, lambda fa: fa),
    "ours_wls": _tensor_method(_our_maps, lambda maps: maps.fa),
}


def table(rows: list[dict]) -> tuple[str, dict[str, float]]:
    """Write medians over cases, and the ratios that must hold."""
    groups: dict[tuple[str, str], list[dict]] = {}
    for row in rows:
        groups.setdefault((row["case"].partition("-")[2], row["method"]), []).append(row)
    columns = ("cpu_s", "fa_error", "v1_deg", "v1_registered_deg", "motion_mm", "sigma", "removed_rms", "fa_difference")
    lines = ["| data | method | cases | " + " | ".join(columns) + " |", "|---" * (len(columns) + 3) + "|"]
    medians: dict[tuple[str, str], dict[str, float]] = {}
    for key, group in groups.items():
        found = {c: median(row[c] for row in group if c in row) for c in columns if any(c in row for row in group)}
        if found:
            medians[key] = found
            cells = [f"{found[c]:.3g}" if c in found else "" for c in columns]
            lines.append(f"| {key[0]} | {key[1]} | {len(group)} | " + " | ".join(cells) + " |")
    pairs = {
        "fa_error_over_oracle": ("fa_error", "ours", "oracle"),
        "ants_fa_error_over_oracle": ("fa_error", "ants_boldrigid", "oracle"),
        "motion_cpu_over_ants": ("cpu_s", "ours", "ants_boldrigid"),
        "mppca_cpu_over_dipy": ("cpu_s", "ours_mppca", "dipy_mppca"),
        "wls_cpu_over_dipy": ("cpu_s", "ours_wls", "dipy_wls"),
    }
    ratios = {}
    for data in sorted({key[0] for key in medians}):
        for name, (column, one, other) in pairs.items():
            top, bottom = (medians.get((data, method), {}).get(column) for method in (one, other))
            if top is not None and bottom:
                ratios[f"{data}_{name}"] = round(top / bottom, 3)
    return "\n".join(lines), ratios
