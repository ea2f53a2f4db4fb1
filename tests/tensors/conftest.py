"""A small template and sessions with maps on its grid."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from neuromoe.core.quality import write_quality
from neuromoe.imaging.images import save_image

AFFINE = np.array([[2.0, 0, 0, -24], [0, 2.0, 0, -20], [0, 0, 2.0, -18], [0, 0, 0, 1]])
SHAPE = (24, 22, 20)
NAMES = {
    "anat": ["space-T_desc-preproc_T1w", "space-T_label-GM_probseg", "space-T_stat-logjacobian_T1map"],
    "dwi": ["space-T_param-fa_dwimap", "space-T_param-md_dwimap", "space-T_param-ad_dwimap"],
    "func": [f"task-rest_space-T_stat-{stat}_boldmap" for stat in ("alff", "falff", "reho")],
}


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """Write an ellipsoid of a brain as template T."""
    x, y, z = np.meshgrid(*(np.linspace(-1.2, 1.2, size) for size in SHAPE), indexing="ij")
    save_image((x**2 + y**2 + z**2 < 1).astype(float), tmp_path / "template/mask.nii.gz", AFFINE)
    record = {"label": "T", "whole_head": True}
    (tmp_path / "template/template.json").write_text(json.dumps(record))
    return tmp_path / "template/template.json"


@pytest.fixture
def session(tmp_path: Path, rng: np.random.Generator) -> Callable[..., dict]:
    """Write the maps and quality files of a session and return them as arguments of `pack`."""

    def write(key: str, modalities: tuple[str, ...] = ("anat", "dwi", "func"), **verdicts: str) -> dict:
        arguments: dict = {}
        for name in modalities:
            arguments[name] = [tmp_path / f"derivatives/{key}_{one}.nii.gz" for one in NAMES[name]]
            for path in arguments[name]:
                save_image(rng.normal(5, 2, SHAPE), path, AFFINE)
            arguments[f"{name}_quality"] = []
            for step in ("correct", "normalize"):
                path = tmp_path / f"derivatives/{key}_{name}_desc-{step}_quality.json"
                verdict = verdicts.get(name, "pass") if step == "correct" else "pass"
                write_quality(
                    path,
                    {"snr": rng.normal(), "fd_mean_mm": 0.1},
                    verdict,
                    ["too little"] * (verdict == "fail"),
                )
                arguments[f"{name}_quality"].append(path)
        return arguments

    return write
