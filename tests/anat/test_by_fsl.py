"""The step with FSL's programs, for which stand-ins answer."""

import json
import sys
from pathlib import Path

import numpy as np

from neuromoe.anat._register import brain_image
from neuromoe.anat.normalize import normalize
from neuromoe.fsl.space import world_to_flirt, world_to_fsl_mm
from neuromoe.imaging.geometry import apply_affine, map_points, rigid_matrix
from neuromoe.imaging.images import Image, load_image
from neuromoe.imaging.template import Template
from neuromoe.imaging.transforms import Affine, read_transform

from .test_extract import run_extract

sys.path.insert(0, str(Path(__file__).parent.parent))
from fsl_stand_in import as_stored, put_on_path  # noqa: E402

MAPS = ("t1w_template", "gm_template", "wm_template", "csf_template", "logjacobian", "modulated")


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


def test_the_way_to_the_template_by_fnirt(phantom, small_template, tmp_path, monkeypatch):
    """The stand-ins answer with a shift: of 8 mm up by FLIRT, and of 4 mm more to the left by FNIRT."""
    programs = put_on_path(monkeypatch, tmp_path / "fsl")
    head, mask, template = load_image(phantom.t1w), load_image(phantom.mask), Template.load(small_template)
    fixed, moving = brain_image(template.head, template.mask), brain_image(head, mask)
    linear = Affine(rigid_matrix([0, 0, 8, 0, 0, 0]))
    matrix = world_to_flirt(linear, fixed.grid, moving.grid)
    text = "".join(" ".join(f"{value:.8f}" for value in row) + "\n" for row in matrix)
    answer = as_stored(fixed.data, fixed.affine)
    programs.add("flirt", {"flirted.nii.gz": answer}, {"linear.mat": text})
    warp = field_for_fsl(fixed, moving, [-4, 0, 8])
    fields = {f"{name}.nii.gz": warp for name in ("warp", "coefficients")}
    programs.add("fnirt", fields | {"warped.nii.gz": answer}, {"fnirt.log": ""})
    programs.add("invwarp", {"inverse.nii.gz": field_for_fsl(moving, fixed, [4, 0, -8])})
    paths = {name: tmp_path / f"{name}.nii.gz" for name in MAPS}
    ways = {name: tmp_path / f"{name}.h5" for name in ("t1w_to_template", "template_to_t1w")}
    given = {"preproc": phantom.t1w, **dict.fromkeys(("mask", "gm", "wm", "csf"), phantom.mask)}
    normalize(
        **given, template=small_template, **paths, **ways, quality=tmp_path / "q.json", registration_backend="fsl"
    )
    assert programs.calls() == ["flirt", "fnirt", "invwarp"]
    # 10 mm inside the borders the field does not fade.
    center = fixed.grid.center_mm[None]
    assert np.allclose(map_points(read_transform(ways["t1w_to_template"]), center), center + [-4, 0, 8], atol=1e-3)
    back = map_points(read_transform(ways["template_to_t1w"]), center + [-4, 0, 8])
    assert np.allclose(back, center, atol=1e-3)


def field_for_fsl(fixed: Image, moving: Image, shift_mm) -> tuple[np.ndarray, np.ndarray]:
    """Write what FSL would for a shift of world points: places in FSL's mm, less those that they belong to."""
    world = fixed.grid.world()
    there = apply_affine(world_to_fsl_mm(moving.grid), world + shift_mm)
    field = there - apply_affine(world_to_fsl_mm(fixed.grid), world)
    return as_stored(field.reshape(*fixed.data.shape, 3), fixed.affine)
