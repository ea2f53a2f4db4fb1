"""A made dataset for the report: a ball of brain in a ball of head, and all files of the steps before."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from neuromoe.core.provenance import write_sidecar
from neuromoe.core.quality import write_quality
from neuromoe.core.saving import write_arrays
from neuromoe.core.tables import write_table
from neuromoe.imaging.images import save_image

from .scores import CLASSES

SHAPE, VOXEL_MM = (36, 40, 34), 5.0
AFFINE = np.diag([VOXEL_MM, VOXEL_MM, VOXEL_MM, 1.0])
AFFINE[:3, 3] = [-90, -100, -85]
MODALITIES = ("anat", "dwi", "func")


def ball(radius_mm: float) -> np.ndarray:
    """Mark the voxels within a distance of the grid's middle."""
    points = [np.arange(size) * VOXEL_MM for size in SHAPE]
    grid = np.stack(np.meshgrid(*points, indexing="ij"), -1)
    return (np.linalg.norm(grid - (np.array(SHAPE) - 1) * VOXEL_MM / 2, axis=-1) < radius_mm).astype(np.float32)


def save(path: Path, data: np.ndarray) -> Path:
    save_image(data, path, AFFINE)
    return path


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared template whose head was made around its brain."""
    folder = tmp_path_factory.mktemp("template")
    parts = {
        "head": 300 * ball(80) + 500 * ball(60),
        "mask": ball(60),
        "gm": ball(60) - ball(45),
        "wm": ball(45),
    }
    for name, data in {**parts, "csf": ball(10)}.items():
        save(folder / f"{name}.nii.gz", data)
    path = folder / "template.json"
    path.write_text(json.dumps({"label": "Made", "whole_head": False}))
    return path


@pytest.fixture(scope="session")
def session_files(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Every optional argument of `subject`, for a session that has everything."""
    rng = np.random.default_rng(7)
    folder = tmp_path_factory.mktemp("sub-01")

    def noisy(data: np.ndarray, scale: float = 20) -> np.ndarray:
        return (data + scale * rng.normal(size=data.shape)).astype(np.float32)

    head, mask = 300 * ball(80) + 500 * ball(60), ball(60)
    series = noisy(np.repeat((head * 2)[..., None], 30, axis=3))
    weighted = np.stack([head, head * 0.4, head * 0.5], axis=3)
    direction = np.stack([ball(60), np.zeros(SHAPE), np.zeros(SHAPE)], axis=3)
    images = {
        "t1w": ("anat", "T1w", noisy(head)),
        "t1w_preproc": ("anat", "desc-preproc_T1w", head),
        "t1w_mask": ("anat", "desc-brain_mask", mask),
        "gm": ("anat", "label-GM_probseg", ball(60) - ball(45)),
        "wm": ("anat", "label-WM_probseg", ball(45)),
        "csf": ("anat", "label-CSF_probseg", ball(10)),
        "t1w_template": ("anat", "space-Made_desc-preproc_T1w", noisy(head)),
        "gm_template": ("anat", "space-Made_label-GM_probseg", ball(60) - ball(45)),
        "logjacobian": ("anat", "space-Made_stat-logjacobian_T1map", noisy(mask * 0, 0.1)),
        "dwi_preproc": ("dwi", "desc-preproc_dwi", weighted),
        "dwi_mask": ("dwi", "desc-brain_mask", mask),
        "fa": ("dwi", "param-fa_dwimap", 0.6 * ball(45) + 0.1 * mask),
        "v1": ("dwi", "param-v1_dwimap", direction),
        "fa_template": ("dwi", "space-Made_param-fa_dwimap", 0.6 * ball(45)),
        "md_template": ("dwi", "space-Made_param-md_dwimap", 0.001 * mask + 0.002 * ball(10)),
        "bold_raw": ("func", "task-rest_bold", series),
        "boldref": ("func", "task-rest_boldref", series.mean(axis=3)),
        "bold_mask": ("func", "task-rest_desc-brain_mask", mask),
        "boldref_template": ("func", "task-rest_space-Made_boldref", series.mean(axis=3)),
        "alff": ("func", "task-rest_space-Made_stat-alff_boldmap", noisy(mask, 0.1) * mask),
        "falff": ("func", "task-rest_space-Made_stat-falff_boldmap", noisy(mask, 0.1) * mask),
        "reho": ("func", "task-rest_space-Made_stat-reho_boldmap", noisy(mask, 0.1) * mask),
        "seed_map": ("func", "task-rest_space-Made_stat-seed_boldmap", noisy(mask * 0, 0.3) * mask),
    }
    files: dict = {
        name: save(folder / modality / f"sub-01_{rest}.nii.gz", data) for name, (modality, rest, data) in images.items()
    }
    files["dwi_raw"] = [save(folder / "dwi/sub-01_dwi.nii.gz", noisy(weighted[..., ::-1]))]
    (folder / "dwi/sub-01_dwi.bval").write_text("1000 1000 0\n")
    files["confounds"] = write_confounds(folder / "func/sub-01_desc-confounds_timeseries.tsv", rng)
    write_sidecar(files["t1w_preproc"], sources=[files["t1w"]], parameters={"shrink_factor": 4})
    quality = folder / "anat/sub-01_desc-extract_quality.json"
    write_quality(quality, {"brain_volume_ml": 1432.0}, "warn", ["the brain is <b>small</b>"])
    files["qualities"] = [quality]
    files["tensor"] = write_tensor(
        folder / "sub-01.safetensors", {"anat": mask, "func": mask}, verdicts={"dwi": "fail"}
    )
    return files


def write_confounds(path: Path, rng: np.random.Generator) -> Path:
    names = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
    rows = [dict(zip(names, rng.normal(0, 0.01, 6), strict=True)) for _ in range(30)]
    table = [{**row, "framewise_displacement": None if i == 0 else 0.1 + (i == 15)} for i, row in enumerate(rows)]
    write_table(path, table, [*names, "framewise_displacement"])
    return path


def write_tensor(
    path: Path,
    maps: dict[str, np.ndarray],
    quality: dict[str, dict[str, float]] | None = None,
    verdicts: dict[str, str] | None = None,
) -> Path:
    """Write a tensor file as the step `tensors pack` lays it out."""
    quality = quality or {name: {"extract.snr": 12.0} for name in maps}
    arrays = {name: data[None].astype(np.float16) for name, data in maps.items()}
    arrays |= {f"quality/{name}": np.array(list(numbers.values()), np.float32) for name, numbers in quality.items()}
    about = {
        "channels": {name: ["first"] for name in MODALITIES},
        "quality": {name: list(quality.get(name, {})) for name in MODALITIES},
        "reasons": {name: [] for name in MODALITIES},
        "verdict": {name: "pass" if name in maps else "missing" for name in MODALITIES} | (verdicts or {}),
    }
    write_arrays(path, arrays, {key: json.dumps(value) for key, value in about.items()})
    return path


@dataclass
class Cohort:
    """The index's tables and the tensors of a made cohort."""

    folder: Path
    keys: list[str] = field(default_factory=list)

    def tables(self) -> dict[str, Path]:
        return {name: self.folder / f"{name}.tsv" for name in ("sessions", "manifest", "issues", "clinical")}

    def arguments(self, page: Path) -> dict[str, Path]:
        """Return every argument of `cohort` that has no default."""
        beside = {"page": page, "quality": page.with_name("quality.tsv"), "tensors": self.folder / "tensors"}
        return self.tables() | beside


@pytest.fixture
def made_cohort(tmp_path: Path, rng: np.random.Generator) -> Cohort:
    """Twenty people at two sites; the last has a brain volume far from the others'."""
    made = Cohort(tmp_path / "index")
    sessions, clinical = [], []
    for i in range(20):
        key = f"sub-{i + 1:02d}"
        made.keys.append(key)
        has = {"anat": True, "dwi": i % 2 == 0, "func": i % 5 != 0}
        sessions.append({"participant_id": key, "session_id": None, **has})
        person = {
            "participant_id": key,
            "label": "AD" if i % 3 else "CN",
            "site": f"site {i % 2}",
            "age": 60 + i,
        }
        clinical.append(person)
        volume = 9000.0 if i == 19 else rng.normal(1400, 50)
        quality = {"anat": {"extract.brain_volume_ml": volume}}
        quality |= {name: {"correct.fd_mean_mm": rng.normal(0.2, 0.02)} for name in ("dwi", "func") if has[name]}
        maps = {name: np.ones((2, 2, 2)) for name in quality if (name, i) != ("anat", 3)}
        verdicts = {"anat": "fail"} if i == 3 else None
        write_tensor(made.folder / "tensors" / f"{key}.safetensors", maps, quality, verdicts)
    tables = made.tables()
    write_table(tables["sessions"], sessions, ["participant_id", "session_id", *MODALITIES])
    write_table(tables["clinical"], clinical, ["participant_id", "session_id", "label", "site", "group", "age"])
    images = [{"path": "sub-01/run-2_bold.nii.gz", "used": False, "reason": "another was chosen"}]
    write_table(tables["manifest"], images, ["path", "used", "reason"])
    issue = {
        "severity": "error",
        "code": "BVEC_COUNT",
        "message": "<script>alert(1)</script>",
        "file": "a.bvec",
        "fix": "x",
    }
    write_table(tables["issues"], [issue], list(issue))
    return made


@pytest.fixture
def written(tmp_path: Path, rng: np.random.Generator) -> Callable[..., dict]:
    """Write metrics and predictions of experiments; return the arguments of `result`."""

    def write(*records: dict) -> dict:
        files: dict = {"metrics": [], "predictions": []}
        for number, one in enumerate(records):
            folder = tmp_path / f"experiment {number}"
            folder.mkdir()
            (folder / "metrics.json").write_text(json.dumps(one))
            rows = []
            for i in range(12):
                p = rng.dirichlet([1, 1, 1])
                row = {
                    "repeat": 0,
                    "fold": i % 3,
                    "participant_id": f"sub-{i + 1:02d}",
                    "label": CLASSES[i % 3],
                }
                rows.append(row | {f"p_{name}": p[k] for k, name in enumerate(CLASSES)})
            write_table(folder / "predictions.tsv", rows, [*rows[0], "session_id"])
            files["metrics"].append(folder / "metrics.json")
            files["predictions"].append(folder / "predictions.tsv")
        return files

    return write
