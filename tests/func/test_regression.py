import numpy as np
import pytest

from neuromoe.func._confounds import make_confounds
from neuromoe.func._regression import (
    choose_confounds,
    group_columns,
    linear_drift,
    outside_band,
    regressors,
    remove,
    unwanted,
)
from neuromoe.imaging.geometry import rigid_matrix

TR_S, VOLUMES, BAND_HZ = 2.0, 120, (0.01, 0.1)


@pytest.fixture
def confounds(rng):
    steps = np.cumsum(rng.normal(0, [0.05] * 3 + [0.001] * 3, (VOLUMES, 6)), axis=0)
    steps[70:, 0] += 2.0
    motion = np.stack([rigid_matrix(p) for p in steps])
    brain = 1000 + rng.normal(0, 10, (500, VOLUMES))
    noise = {"wm": brain[:100], "csf": brain[100:180]}
    return make_confounds(brain, noise, motion, center_mm=np.zeros(3), repetition_time_s=TR_S)


def test_one_model_leaves_neither_confound_nor_drift_nor_fast_fluctuation(rng, confounds):
    names = choose_confounds(confounds, ["motion", "tissues", "compcor"], 100)
    matrix = regressors(confounds, names)
    basis = unwanted(outside_band(VOLUMES, TR_S, BAND_HZ), matrix)
    series = 1000 + rng.normal(0, 10, (50, VOLUMES)) + rng.normal(0, 5, (50, len(names))) @ matrix.T
    clean = remove(series, basis)
    np.testing.assert_allclose(clean @ (matrix / np.linalg.norm(matrix, axis=0)), 0, atol=1e-6)
    power = np.abs(np.fft.rfft(clean - clean.mean(1, keepdims=True), axis=1)) ** 2
    hertz = np.fft.rfftfreq(VOLUMES, TR_S)
    assert power[:, hertz > 0.115].sum() < 0.02 * power.sum()


def test_the_model_agrees_with_nilearn(rng, confounds):
    signal = pytest.importorskip("nilearn.signal")
    matrix = regressors(confounds, ["trans_x", "trans_y", "trans_z", "white_matter"])
    series = 100 + rng.normal(0, 10, (20, VOLUMES)) + rng.normal(0, 5, (20, 4)) @ matrix.T
    theirs = signal.clean(
        series.T,
        confounds=matrix,
        filter="cosine",
        high_pass=0.0124,
        t_r=TR_S,
        standardize=None,
        detrend=False,
    )
    ours = remove(series, unwanted(outside_band(VOLUMES, TR_S, (0.0124, 1.0)), matrix))
    # Without standardisation nilearn leaves the mean in.
    np.testing.assert_allclose(ours, (theirs - theirs.mean(axis=0)).T, atol=1e-6)


def test_a_fluctuation_in_the_band_passes_and_others_do_not():
    times = np.arange(VOLUMES) * TR_S
    basis = outside_band(VOLUMES, TR_S, BAND_HZ)
    inside, slow, fast = (np.cos(2 * np.pi * hz * times)[None] for hz in (0.05, 0.002, 0.2))
    assert np.linalg.norm(remove(inside, basis)) > 0.98 * np.linalg.norm(inside)
    assert np.linalg.norm(remove(slow, basis)) < 0.1 * np.linalg.norm(slow)
    assert np.linalg.norm(remove(fast, basis)) < 0.1 * np.linalg.norm(fast)


def test_removing_twice_changes_nothing(rng, confounds):
    basis = unwanted(linear_drift(VOLUMES), regressors(confounds, ["trans_x", "csf"]))
    once = remove(rng.normal(size=(5, VOLUMES)), basis)
    np.testing.assert_allclose(remove(once, basis), once, atol=1e-12)


def test_collinear_confounds_count_once(confounds):
    matrix = regressors(confounds, ["trans_x", "trans_y"])
    basis = unwanted(linear_drift(VOLUMES), np.column_stack([matrix, matrix @ [[1.0], [2.0]], np.ones(VOLUMES)]))
    assert basis.shape[1] == 4
    np.testing.assert_allclose(basis.T @ basis, np.eye(4), atol=1e-9)


def test_groups_are_taken_in_order_while_there_is_room(confounds):
    groups = ["motion", "outliers", "tissues", "derivatives", "squares"]
    spikes = len(group_columns(confounds)["outliers"])
    assert spikes >= 1
    chosen = choose_confounds(confounds, groups, 8 + spikes)
    assert chosen[:6] == ["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"]
    assert {"white_matter", "csf"} <= set(chosen) and "trans_x_derivative1" not in chosen
    assert not {"trans_x", "trans_y"} & set(choose_confounds(confounds, groups, 5))


def test_of_many_outliers_the_worst_come_first(confounds):
    first = group_columns(confounds)["outliers"][0]
    assert confounds.columns[first].argmax() == 70
