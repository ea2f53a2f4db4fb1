"""The step with FSL's programs, for which stand-ins answer."""

import json
import sys
from pathlib import Path

import numpy as np

from neuromoe.core.images import load_image

from .test_extract import run_extract

sys.path.insert(0, str(Path(__file__).parent.parent))
from fsl_stand_in import as_stored, put_on_path  # noqa: E402


def test_mask_by_bet_and_tissues_by_fast(phantom, small_template, tmp_path, monkeypatch):
    programs = put_on_path(monkeypatch, tmp_path / "fsl")
    truth = load_image(phantom.mask)
    programs.add("bet", {f"{name}.nii.gz": as_stored(truth.data, truth.affine) for name in ("brain", "brain_mask")})
    x = np.indices(truth.data.shape)[0]
    thirds = np.stack([(x % 3 == index) * truth.data for index in range(3)])
    names = ["seg", "mixeltype", "pveseg", *(f"{kind}_{index}" for kind in ("seg", "pve") for index in range(3))]
    answers = {f"tissue_{name}.nii.gz": as_stored(truth.data, truth.affine) for name in names}
    answers |= {f"tissue_pve_{index}.nii.gz": as_stored(part, truth.affine) for index, part in enumerate(thirds)}
    programs.add("fast", answers)
    paths = run_extract(phantom.t1w, small_template, tmp_path, mask_backend="fsl", tissue_backend="fsl")
    assert programs.calls() == ["bet", "fast"]
    assert np.array_equal(load_image(paths["mask"]).data, truth.data > 0.5)
    for name, part in zip(("csf", "gm", "wm"), thirds, strict=True):
        assert np.array_equal(load_image(paths[name]).data, part)
    record = json.loads((tmp_path / "mask.json").read_text())
    assert record["Parameters"]["mask_backend"] == "fsl"
    # FAST sees the brain alone.
    assert not load_image(programs.file("fast", "brain.nii.gz")).data[truth.data < 0.5].any()
