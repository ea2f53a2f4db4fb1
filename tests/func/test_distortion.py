import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from neuromoe.core.coregister import Coregistration
from neuromoe.core.images import Image
from neuromoe.core.transforms import Affine
from neuromoe.func._distortion import undistort_by_registration
from neuromoe.func._registration import Placement


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
