"""Head motion of a BOLD run: the torch solver against `ants.motion_correction`, on runs with known faults.

A phantom's run is spoilt in one way per variant. Error: mean distance of brain points from where the truth puts them,
over all volumes, each seen from the first. Framewise displacement is Power's, of either motion, against that of the
truth. tSNR: median in the brain, volumes brought to the first steady one by the same spline, by each method's own
motion.
"""

import statistics
import tempfile

import numpy as np
from _cases import Case, clock
from numpy.typing import NDArray

from neuromoe.imaging.geometry import apply_affine, rigid_matrix
from neuromoe.imaging.images import Image, load_image
from neuromoe.imaging.transforms import read_affines
from neuromoe.registration.ants import ants_affine

PHANTOMS = ["plain", "jumps", "spikes", "low_snr", "drift"]
REAL = ["sub-forrest02"]
VOLUMES = 24


def ours(case: Case, volumes: int = VOLUMES) -> dict[str, float]:
    """Estimate the motion as `func correct` does."""
    from neuromoe.registration.motion import estimate_motion

    run, truth = _run(case, volumes)
    estimate_motion(run.data[..., :4], run.affine)  # What a first call costs once is no cost per volume.
    with clock() as spent:
        found = estimate_motion(run.data, run.affine)
    return _scored(case, run, truth, found, spent.cpu_s)


def ours_200(case: Case) -> dict[str, float]:
    """Do the same with the whole run."""
    return ours(case, 200)


def ants_boldrigid(case: Case) -> dict[str, float]:
    """Call `ants.motion_correction` as its documentation does."""
    import ants

    from neuromoe.registration.ants import to_ants

    run, truth = _run(case, VOLUMES)
    image = ants.from_numpy(run.data.astype(np.float32), spacing=[*run.voxel_mm.tolist(), 2.0])
    still = to_ants(run.volume(0))
    image.set_origin([*still.origin, 0.0])
    direction = np.eye(4)
    direction[:3, :3] = still.direction
    image.set_direction(direction)
    with tempfile.TemporaryDirectory() as folder, clock() as spent:
        found = ants.motion_correction(image, type_of_transform="BOLDRigid", outprefix=f"{folder}/bold_")
        motion = np.stack([ants_affine(names[0]).matrix for names in found["motion_parameters"]])
    return _scored(case, run, truth, motion, spent.cpu_s) | _own_displacement(truth, case, np.asarray(found["FD"]))


def uncorrected(case: Case) -> dict[str, float]:
    """Do nothing."""
    run, truth = _run(case, VOLUMES)
    return _scored(case, run, truth, np.tile(np.eye(4), (run.data.shape[3], 1, 1)), 0.0)


def _run(case: Case, volumes: int) -> tuple[Image, NDArray | None]:
    """Return the first volumes of the case's run, spoilt as its variant says, and the true motion."""
    image = load_image(next((case.bids / case.person / "func").glob("*_bold.nii.gz")), ndim=4)
    image = image.like(np.ascontiguousarray(image.data[..., :volumes]))
    if case.real:
        return image, None
    truth = read_affines(next((case.truth / "func").glob("*_from-orig_to-boldref_*.txt")))[:volumes]
    return _VARIANTS[case.variant](image, truth, _brain(case, image), np.random.default_rng(case.seed))


def _plain(image, truth, brain, rng):
    return image, truth


def _jumps(image, truth, brain, rng):
    """Move the head by 5 mm and 3 degrees for a quarter of the run, and elsewhere for single volumes."""
    from scipy.ndimage import affine_transform

    center, jump = apply_affine(image.affine, np.argwhere(brain).mean(axis=0)), np.zeros((truth.shape[0], 6))
    quarter = len(truth) // 4
    for volumes in (slice(quarter, 2 * quarter), slice(3 * quarter, 3 * quarter + 1), slice(-2, -1)):
        shift, turn = rng.normal(size=(2, 3))
        jump[volumes] = [*(5 * shift / np.linalg.norm(shift)), *(0.052 * turn / np.linalg.norm(turn))]
    data, moved = image.data.copy(), truth.copy()
    for volume in np.flatnonzero(jump.any(axis=1)):
        step = rigid_matrix(jump[volume], center)
        moved[volume] = step @ truth[volume]
        back = np.linalg.inv(image.affine) @ np.linalg.inv(step) @ image.affine
        data[..., volume] = affine_transform(
            image.data[..., volume], back[:3, :3], back[:3, 3], order=3, mode="nearest"
        )
    return image.like(data), moved


def _spikes(image, truth, brain, rng):
    """Brighten every tenth volume by a third, and spoil a fifth of the slices of every tenth other one."""
    data = image.data.copy()
    data[..., 5::10] *= 1.33
    for volume in range(9, data.shape[3], 10):
        slices = rng.choice(data.shape[2], data.shape[2] // 5, replace=False)
        data[:, :, slices, volume] *= rng.uniform(0.3, 1.6, len(slices)).astype(np.float32)
    return image.like(data), truth


def _low_snr(image, truth, brain, rng):
    """Add noise until a volume's signal is ten times its noise in the brain."""
    noise = 0.1 * np.median(image.data[brain])
    real, imaginary = (rng.normal(0, noise, image.data.shape).astype(np.float32) for _ in range(2))
    return image.like(np.hypot(image.data + real, imaginary)), truth


def _drift(image, truth, brain, rng):
    """Let the signal fall by 8 % over the run."""
    return image.like(image.data * np.linspace(1, 0.92, image.data.shape[3], dtype=np.float32)), truth


_VARIANTS = {"plain": _plain, "jumps": _jumps, "spikes": _spikes, "low_snr": _low_snr, "drift": _drift}


def _brain(case: Case, image: Image) -> NDArray[np.bool_]:
    if not case.real:
        mask = load_image(next((case.truth / "func").glob("*_desc-brain_mask.nii.gz")), ndim=3)
        return mask.data > 0.5
    from neuromoe.func._mask import epi_mask

    return epi_mask(image.like(image.data[..., :20].mean(axis=3)))


def _scored(case: Case, run: Image, truth: NDArray | None, found: NDArray, cpu_s: float) -> dict[str, float]:
    from neuromoe.func._framewise import temporal_snr
    from neuromoe.func._sampling import Sampler

    brain, count = _brain(case, run), run.data.shape[3]
    points = apply_affine(run.affine, np.argwhere(brain)[::5])
    steady = slice(2 if case.real else 0, None)
    # A method whose reference lies between voxels interpolates every volume, which smooths the noise away: the truth
    # itself gains a third of tSNR by half a voxel's offset. Seen from a volume of the run, all methods smooth alike.
    still = found @ np.linalg.inv(found[steady][0])
    courses = Sampler(run, still, order=3).courses(points)[:, steady]
    numbers = {"cpu_s": cpu_s, "cpu_s_per_volume": round(cpu_s / count, 4)}
    numbers["tsnr"] = round(float(np.median(temporal_snr(courses))), 3)
    if truth is None:
        return numbers | {"fd_mean": round(float(_displacement(found, points)[1:].mean()), 4)}
    first, expected = (matrices @ np.linalg.inv(matrices[0]) for matrices in (found, truth))
    apart = [apply_affine(a, points) - apply_affine(b, points) for a, b in zip(first, expected, strict=True)]
    distance = np.linalg.norm(apart, axis=2).mean(axis=1)
    return numbers | {
        "error_mm": round(float(distance.mean()), 4),
        "error_max_mm": round(float(distance.max()), 4),
        "fd_rmse_mm": round(_rmse(_displacement(found, points), _displacement(truth, points)), 4),
    }


def _displacement(motion: NDArray, points: NDArray) -> NDArray:
    from neuromoe.func._framewise import framewise_displacement, motion_parameters

    return framewise_displacement(motion_parameters(motion, points.mean(axis=0)))


def _rmse(found: NDArray, truth: NDArray) -> float:
    return float(np.sqrt(np.mean((found[1:] - truth[1:]) ** 2)))


def _own_displacement(truth: NDArray | None, case: Case, stated: NDArray) -> dict[str, float]:
    """Compare the displacement that ants itself states, which is not Power's."""
    if truth is None:
        return {}
    mask = load_image(next((case.truth / "func").glob("*_desc-brain_mask.nii.gz")), ndim=3)
    points = apply_affine(mask.affine, np.argwhere(mask.data > 0.5)[::5])
    return {"own_fd_rmse_mm": round(_rmse(stated, _displacement(truth, points)), 4)}


METHODS = {"ours": ours, "ants_boldrigid": ants_boldrigid, "uncorrected": uncorrected, "ours_200": ours_200}


def table(rows: list[dict]) -> tuple[str, dict[str, float]]:
    """Return the table by variant, medians over the phantoms, and the ratios to ants."""
    names = ["cpu_s_per_volume", "error_mm", "error_max_mm", "fd_rmse_mm", "tsnr"]
    lines = [f"| variant | method | runs | {' | '.join(names)} |", "|---" * (len(names) + 3) + "|"]
    ratios: dict[str, float] = {}
    for variant in [*PHANTOMS, *REAL]:
        medians: dict[str, dict[str, float]] = {}
        for method in METHODS:
            own = [row for row in rows if row["method"] == method and row["case"].partition("-")[2] == variant]
            if own:
                medians[method] = {
                    name: statistics.median([row.get(name, float("nan")) for row in own]) for name in names
                }
                cells = " | ".join(f"{medians[method][name]:.3g}" for name in names)
                lines.append(f"| {variant} | {method} | {len(own)} | {cells} |")
        if {"ours", "ants_boldrigid"} <= set(medians):
            own, peer = medians["ours"], medians["ants_boldrigid"]
            ratios[f"{variant}_cpu"] = round(own["cpu_s_per_volume"] / peer["cpu_s_per_volume"], 4)
            ratios[f"{variant}_tsnr"] = round(own["tsnr"] / peer["tsnr"], 3)
            if variant in PHANTOMS:
                ratios[f"{variant}_error"] = round(own["error_mm"] / peer["error_mm"], 3)
                ratios[f"{variant}_fd_rmse"] = round(own["fd_rmse_mm"] / peer["fd_rmse_mm"], 3)
    return "\n".join(lines), ratios
