import json
import warnings

import nibabel as nib
import numpy as np
import pytest

from neuromoe.func._compcor import anatomical_components, cosine_drifts
from neuromoe.func._confounds import make_confounds, write_confounds
from neuromoe.imaging.geometry import rigid_matrix

TR_S, VOLUMES = 2.0, 150


@pytest.fixture
def courses(rng):
    """Brain with two shared noises, a spike, and bright first volumes."""
    shared = rng.normal(size=(2, VOLUMES))
    brain = 1000 + rng.normal(0, 5, (600, VOLUMES)) + rng.normal(0, 8, (600, 2)) @ shared
    brain[:, :2] += [[200.0, 60.0]]
    brain[:, 90] += 60
    return brain.astype(np.float32)


@pytest.fixture
def motion(rng):
    steps = np.cumsum(rng.normal(0, [0.02] * 3 + [0.0004] * 3, (VOLUMES, 6)), axis=0)
    steps[90:, 2] += 1.0
    return np.stack([rigid_matrix(p) for p in steps])


@pytest.fixture
def confounds(courses, motion):
    noise = {"wm": courses[:200], "csf": courses[200:300]}
    return make_confounds(courses, noise, motion, center_mm=np.zeros(3), repetition_time_s=TR_S)


@pytest.mark.parametrize(
    ("parts", "settings"),
    [
        ("motion wm_csf high_pass non_steady_state", {"motion": "full", "wm_csf": "full"}),
        ("motion high_pass compcor", {"motion": "basic", "compcor": "anat_combined", "n_compcor": 5}),
        ("high_pass compcor", {"compcor": "anat_separated", "n_compcor": "all"}),
        ("motion global_signal scrub", {"motion": "full", "scrub": 5, "fd_threshold": 0.5}),
    ],
)
def test_nilearn_reads_the_table_as_fmripreps(confounds, tmp_path, parts, settings):
    fmriprep = pytest.importorskip("nilearn.interfaces.fmriprep")
    write_confounds(tmp_path / "sub-1_task-rest_desc-confounds_timeseries.tsv", confounds)
    bold = tmp_path / "sub-1_task-rest_space-MNI_desc-preproc_bold.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 2, VOLUMES), np.float32), np.eye(4)), bold)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        table, kept = fmriprep.load_confounds(str(bold), strategy=parts.split(), **settings)
    motion = {"full": 24, "basic": 6, None: 0}[settings.get("motion")]
    components = {"anat_combined": 5, "anat_separated": 12, None: 0}[settings.get("compcor")]
    assert sum(name.startswith(("trans", "rot")) for name in table) == motion
    assert sum("comp_cor" in name for name in table) == components
    assert np.isfinite(table.to_numpy()).all() and table.shape[0] == VOLUMES
    if "scrub" in settings:
        assert 90 not in kept and 30 in kept


def test_the_table_holds_all_24_motion_columns_and_their_arithmetic(confounds):
    columns = confounds.columns
    slope = columns["rot_y_derivative1"]
    assert np.isnan(slope[0])
    np.testing.assert_allclose(slope[1:], np.diff(columns["rot_y"]))
    np.testing.assert_allclose(columns["rot_y_derivative1_power2"][1:], slope[1:] ** 2)
    np.testing.assert_allclose(columns["csf_power2"], columns["csf"] ** 2)
    assert sum(name.startswith(("trans_", "rot_")) for name in columns) == 24


def test_outliers_and_first_volumes_have_columns_of_their_own(confounds):
    assert confounds.unsteady == 2
    assert confounds.columns["non_steady_state_outlier01"].argmax() == 1
    moved = {int(confounds.columns[name].argmax()) for name in confounds.named("motion_outlier")}
    assert 90 in moved and not {0, 1} & moved


def test_missing_values_are_written_as_bids_wants_them(confounds, tmp_path):
    write_confounds(tmp_path / "table.tsv", confounds)
    header, first, second = (tmp_path / "table.tsv").read_text().splitlines()[:3]
    place = header.split("\t").index("framewise_displacement")
    assert first.split("\t")[place] == "n/a" and float(second.split("\t")[place]) > 0
    described = json.loads((tmp_path / "table.json").read_text())["a_comp_cor_00"]
    assert described["Mask"] == "combined" and described["Method"] == "aCompCor" and described["Retained"]


def test_components_agree_with_nipype(courses):
    nipype = pytest.importorskip("nipype.algorithms.confounds")
    region = courses[:200].astype(np.float64)
    image = region.reshape(10, 10, 2, -1)
    mask = nib.Nifti1Image(np.ones((10, 10, 2), np.uint8), np.eye(4))
    theirs, basis, described = nipype.compute_noise_components(
        image, [mask], components_criterion=4, filter_type="cosine", repetition_time=TR_S
    )
    drifts = cosine_drifts(VOLUMES, TR_S)
    ours = anatomical_components(region, drifts, 4)
    np.testing.assert_allclose(drifts, basis, atol=1e-12)
    np.testing.assert_allclose(np.abs((ours.courses * theirs).sum(axis=0)), 1, atol=1e-6)
    np.testing.assert_allclose(ours.variance_explained, described["variance_explained"][:4], rtol=1e-6)


def test_volumes_that_are_left_out_make_no_component_and_have_none(courses):
    region, drifts = courses[:200].astype(np.float64), np.zeros((VOLUMES, 0))
    kept = np.ones(VOLUMES, bool)
    kept[[0, 1, 90]] = False
    found, alone = (
        anatomical_components(region, drifts, 4, kept),
        anatomical_components(region[:, kept], drifts[kept], 4),
    )
    assert not found.courses[~kept].any()
    np.testing.assert_array_equal(found.courses[kept], alone.courses)
    all_made, few = anatomical_components(region, drifts, 4), np.arange(VOLUMES) < VOLUMES // 3
    np.testing.assert_array_equal(anatomical_components(region, drifts, 4, few).courses, all_made.courses)


def test_outliers_make_components_only_where_nothing_is_scrubbed(courses, motion, confounds):
    noise = {"wm": courses[:200], "csf": courses[200:300]}
    settings = {"center_mm": np.zeros(3), "repetition_time_s": TR_S}
    whole = make_confounds(courses, noise, motion, scrub=False, **settings)
    assert confounds.named("motion_outlier") == whole.named("motion_outlier") != []
    for name in ("motion_outlier00", "non_steady_state_outlier00"):
        volume = int(np.argmax(confounds.columns[name]))
        assert confounds.columns["a_comp_cor_00"][volume] == 0
        assert (whole.columns["a_comp_cor_00"][volume] != 0) == name.startswith("motion")


def test_a_run_without_noise_regions_still_gets_a_table(courses, motion):
    empty = {"wm": courses[:0], "csf": courses[:0]}
    found = make_confounds(courses, empty, motion, center_mm=np.zeros(3), repetition_time_s=TR_S)
    assert not found.named("a_comp_cor") and not found.columns["csf"].any()
