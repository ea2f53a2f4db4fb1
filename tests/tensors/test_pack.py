import json

import numpy as np
import pytest
from safetensors import safe_open

from neuromoe.core.errors import InputError
from neuromoe.core.saving import read_arrays
from neuromoe.imaging.images import load_image, save_image
from neuromoe.imaging.template import Template
from neuromoe.tensors._grid import tensor_grid
from neuromoe.tensors.pack import pack


def _packed(tmp_path, template, arguments, **settings):
    tensor = tmp_path / "tensors/sub-1.safetensors"
    pack(template=template, tensor=tensor, **arguments, **settings)
    arrays, metadata = read_arrays(tensor)
    return arrays, {
        key: value if key in ("session", "template") else json.loads(value) for key, value in metadata.items()
    }


def test_channels_come_in_order_with_mean_0_and_deviation_1(tmp_path, template, session):
    arrays, about = _packed(tmp_path, template, session("sub-1"))
    assert about["channels"] == {
        "anat": ["T1w", "GM", "logjacobian"],
        "dwi": ["fa", "md"],
        "func": ["alff", "falff", "reho"],
    }
    assert about["session"] == "sub-1" and about["template"] == "T" and about["voxel_mm"] == 4
    brain = np.abs(arrays["anat"]).max(axis=0) > 0
    for name, count in (("anat", 3), ("dwi", 2), ("func", 3)):
        assert arrays[name].shape == (count, *about["shape"]) and arrays[name].dtype == np.float16
        inside = arrays[name][:, brain].astype(float)
        # Pulling in 1 % at either end before scaling leaves a little over 1 behind.
        assert np.allclose(inside.mean(axis=1), 0, atol=0.03) and np.allclose(inside.std(axis=1), 1, atol=0.08)
        assert not arrays[name][:, ~brain].any()
    assert all(size % 4 == 0 for size in about["shape"])


def test_quality_numbers_carry_sorted_names(tmp_path, template, session):
    arrays, about = _packed(tmp_path, template, session("sub-1", ("dwi",)))
    assert about["quality"]["dwi"] == [
        "correct.fd_mean_mm",
        "correct.snr",
        "normalize.fd_mean_mm",
        "normalize.snr",
    ]
    assert arrays["quality/dwi"].dtype == np.float32 and arrays["quality/dwi"][0] == np.float32(0.1)
    assert set(arrays) == {"dwi", "quality/dwi"}
    assert about["present"] == {"anat": False, "dwi": True, "func": False}
    assert about["verdict"]["anat"] == "missing"


def test_a_failed_modality_counts_as_absent_and_says_why(tmp_path, template, session):
    arguments = session("sub-1", dwi="fail")
    arrays, about = _packed(tmp_path, template, arguments)
    assert "dwi" not in arrays and "quality/dwi" in arrays
    assert about["present"]["dwi"] is False and about["reasons"]["dwi"] == ["correct: too little"]
    assert "dwi" in _packed(tmp_path, template, arguments, keep_failed=True)[0]


def test_tensor_voxels_are_block_means_at_their_world_points(template):
    space = Template.load(template)
    grid = tensor_grid(space.brain_mask, space.mask.affine, voxel_mm=4.0, patch=4)
    world = space.grid.world().reshape(*space.grid.shape, 3)
    counts = grid.sum_blocks(np.ones(space.grid.shape))
    full = counts == 8
    assert full.any()
    for axis in range(3):
        means = grid.sum_blocks(world[..., axis])[full] / 8
        voxels = np.argwhere(full)
        expected = voxels @ grid.affine[:3, :3].T + grid.affine[:3, 3]
        assert np.allclose(means, expected[:, axis])
    assert grid.sum_blocks(space.brain_mask).sum() == space.brain_mask.sum()


def test_where_the_images_do_not_reach_is_zero_and_does_not_count(tmp_path, template, session):
    arguments = session("sub-1", ("func",))
    for path in arguments["func"]:
        image = load_image(path)
        image.data[:, :, :10] = 0
        save_image(image, path)
    arrays, about = _packed(tmp_path, template, arguments)
    space = Template.load(template)
    brain = tensor_grid(space.brain_mask, space.mask.affine, voxel_mm=4.0, patch=4).brain(space.brain_mask)
    known = np.abs(arrays["func"]).max(axis=0) > 0
    height = np.argwhere(brain) @ np.array(about["affine"])[2, :3] + about["affine"][2][3]
    edge = space.mask.affine[2, 2] * 9.5 + space.mask.affine[2, 3]
    assert np.array_equal(known[brain], height > edge)
    assert np.allclose(arrays["func"][:, known].astype(float).mean(axis=1), 0, atol=0.05)


def test_images_beside_the_brain_are_a_failed_modality(tmp_path, template, session):
    arguments = session("sub-1", ("dwi",))
    for path in arguments["dwi"]:
        save_image(load_image(path).like(np.zeros((24, 22, 20))), path)
    arrays, about = _packed(tmp_path, template, arguments)
    assert "dwi" not in arrays and about["reasons"]["dwi"] == ["the images reach no part of the brain"]


def test_scale_and_offset_of_the_scanner_do_not_matter(tmp_path, template, session):
    arguments = session("sub-1", ("func",))
    before = _packed(tmp_path, template, arguments)[0]["func"]
    for path in arguments["func"]:
        image = load_image(path)
        save_image(image.like(image.data * 70 + 1000), path)
    after = _packed(tmp_path, template, arguments)[0]["func"]
    # float32 on disk after an offset of 1000, then float16.
    assert np.allclose(before.astype(float), after.astype(float), atol=5e-3)


def test_same_input_same_bytes(tmp_path, template, session):
    arguments = session("sub-1")
    for name in ("a", "b"):
        pack(template=template, tensor=tmp_path / name / "sub-1.safetensors", **arguments)
    assert (tmp_path / "a/sub-1.safetensors").read_bytes() == (tmp_path / "b/sub-1.safetensors").read_bytes()


def test_metadata_is_text_that_other_programs_can_read(tmp_path, template, session):
    pack(template=template, tensor=tmp_path / "sub-1.safetensors", **session("sub-1"))
    with safe_open(tmp_path / "sub-1.safetensors", framework="numpy") as file:
        assert np.array(json.loads(file.metadata()["affine"])).shape == (4, 4)


def test_wrong_voxel_size_channel_and_grid_are_named(tmp_path, template, session):
    arguments, tensor = session("sub-1", ("dwi",)), tmp_path / "sub-1.safetensors"
    with pytest.raises(InputError, match=r"voxel_mm: .* 3 mm over \[2"):
        pack(template=template, tensor=tensor, voxel_mm=3.0, **arguments)
    with pytest.raises(InputError, match="kurtosis: none"):
        pack(template=template, tensor=tensor, dwi_channels=["fa", "kurtosis"], **arguments)
    save_image(np.ones((10, 10, 10)), arguments["dwi"][0], np.eye(4))
    with pytest.raises(InputError, match="param-fa.*the template's grid"):
        pack(template=template, tensor=tensor, **arguments)
    assert not tensor.exists()
