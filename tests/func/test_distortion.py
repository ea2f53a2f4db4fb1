import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from neuromoe.func._distortion import undistort_by_registration
from neuromoe.func._registration import Placement
from neuromoe.func._run import Run, noise_masks_of
from neuromoe.imaging.images import Image, save_image
from neuromoe.imaging.transforms import Affine, Displacement
from neuromoe.registration.coregister import Coregistration


@pytest.mark.parametrize(
    ("told", "has_t1w", "why"),
    [
        ({"PhaseEncodingDirection": "j"}, False, "there is no T1w"),
        ({}, True, "does not say its PhaseEncodingDirection"),
        ({"PhaseEncodingAxis": "j"}, True, "brain mask cannot be used"),
    ],
)
def test_what_keeps_a_run_from_being_corrected_is_noted(tmp_path, told, has_t1w, why):
    run, t1w, sidecar = tmp_path / "x_bold.nii.gz", tmp_path / "x_T1w.nii.gz", tmp_path / "x_bold.json"
    nib.save(nib.Nifti1Image(np.ones((8, 8, 8, 2), np.float32), np.eye(4)), run)
    nib.save(nib.Nifti1Image(np.ones((8, 8, 8), np.float32), np.eye(4)), t1w)
    sidecar.write_text(json.dumps(told))
    reference = Image(np.ones((8, 8, 8), np.float32), np.eye(4))
    inside = reference.data > 0
    place = Placement((Affine(np.eye(4)),), inside, Coregistration(np.eye(4), 0.1, "header"), ("known",))
    anatomy: tuple[Path | None, Path | None] = (t1w, t1w) if has_t1w else (None, None)
    limits = {"max_shift_mm": 15.0, "seed": 0}
    found = undistort_by_registration(reference, inside, place, run, [sidecar], *anatomy, **limits)
    assert found.fixed is None and found.place.chain is place.chain
    assert found.place.problems[0] == "known" and why in found.place.problems[1]


def test_the_noise_masks_follow_the_distortion(tmp_path):
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    blob = {"wm": (slice(4, 12), slice(4, 10), slice(4, 12)), "csf": (slice(4, 12), slice(13, 17), slice(4, 12))}
    for name, place in blob.items():
        share = np.zeros((18, 22, 18), np.float32)
        share[place] = 1
        save_image(share, tmp_path / f"{name}.nii.gz", affine)
    # What lies at y in the T1w was acquired two voxels further on.
    field = np.zeros((18, 22, 18, 3), np.float32)
    field[..., 1] = 6.0
    place = (Affine(np.eye(4)), Displacement(field, affine))
    everywhere = np.ones((18, 22, 18), bool)
    image = Image(np.ones((18, 22, 18, 2), np.float32), affine)
    run = Run(image, image.volume(0), everywhere, np.tile(np.eye(4), (2, 1, 1)), place, place, 2.0)
    target = None  # Not looked at where the T1w's tissues are given.
    masks = noise_masks_of(run, target, tmp_path / "wm.nii.gz", tmp_path / "csf.nii.gz")
    for name, (x, y, z) in blob.items():
        moved = np.zeros((18, 22, 18), bool)
        moved[x, y.start + 2 : y.stop + 2, z] = True
        assert masks[name].sum() > 30 and not (masks[name] & ~moved).any()
