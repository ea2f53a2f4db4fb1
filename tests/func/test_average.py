import numpy as np
import pytest

from neuromoe.core.quality import read_quality, write_quality
from neuromoe.func._several import together, usable_volumes, weighted_mean
from neuromoe.func.average import average
from neuromoe.imaging.images import load_image, save_image

SHAPE = (5, 6, 4)
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
MAPS = ("alff", "falff", "reho", "seed_map")


def record(verdict="pass", reasons=(), **numbers):
    return {"numbers": numbers, "verdict": verdict, "reasons": list(reasons)}


def corrected(volumes, lost=0, **more):
    return record(volumes=volumes, volumes_lost=lost, **more)


def write_run(folder, run, level, covered, volumes, verdict="pass"):
    stem = folder / f"sub-1_task-rest_run-{run}"
    files = {name: folder / f"{stem.name}_{name}.nii.gz" for name in (*MAPS, "masks", "network_map")}
    for name in MAPS:
        save_image(np.full(SHAPE, level, np.float32) * covered, files[name], AFFINE)
    save_image(np.stack([np.full(SHAPE, level), np.zeros(SHAPE)], axis=-1), files["network_map"], AFFINE)
    save_image(covered, files["masks"], AFFINE, dtype=np.uint8)
    for step, numbers in (
        ("correct", {"volumes": volumes, "volumes_lost": 0, "fd_mean": level, "fd_max": level, "fd_num": 1}),
        ("normalize", {"outliers_perc": 0.0, "coverage": 1.0}),
    ):
        files[step] = folder / f"{stem.name}_desc-{step}_quality.json"
        write_quality(files[step], numbers, verdict, [f"a {step} reason"] if verdict != "pass" else [])
    return files


def run_average(folder, runs):
    maps = {name: [run[name] for run in runs] for name in (*MAPS, "masks", "network_map")}
    out = {f"{name}_average": folder / f"{name}.nii.gz" for name in (*MAPS, "network_map")}
    qualities = {f"{step}_quality": folder / f"{step}.json" for step in ("correct", "normalize")}
    lists = {f"{step}_qualities": [run[step] for run in runs] for step in ("correct", "normalize")}
    average(**maps, **out, **qualities, **lists)
    return {name: load_image(path).data for name, path in out.items()}, {
        step: read_quality(qualities[f"{step}_quality"]) for step in ("correct", "normalize")
    }


def test_two_runs_are_averaged_by_their_volumes_where_both_see_the_brain(tmp_path):
    everywhere, left = np.ones(SHAPE, bool), np.ones(SHAPE, bool)
    left[3:] = False
    runs = [write_run(tmp_path, 1, 1.0, everywhere, 100), write_run(tmp_path, 2, 4.0, left, 200)]
    maps, qualities = run_average(tmp_path, runs)
    for name in MAPS:
        np.testing.assert_allclose(maps[f"{name}_average"][:3], 3.0, rtol=1e-6)
        np.testing.assert_allclose(maps[f"{name}_average"][3:], 1.0, rtol=1e-6)
    np.testing.assert_allclose(maps["network_map_average"][0, 0, 0], [3.0, 0.0], rtol=1e-6)
    numbers = qualities["correct"]["numbers"]
    assert (numbers["volumes"], numbers["fd_num"], numbers["fd_max"], numbers["fd_mean"]) == (300, 2, 4, 3)
    assert qualities["correct"]["verdict"] == "pass"


def test_a_run_that_failed_is_left_out_and_said(tmp_path):
    everywhere = np.ones(SHAPE, bool)
    runs = [write_run(tmp_path, 1, 1.0, everywhere, 100), write_run(tmp_path, 2, 4.0, everywhere, 100, "fail")]
    maps, qualities = run_average(tmp_path, runs)
    np.testing.assert_allclose(maps["alff_average"], 1.0, rtol=1e-6)
    assert qualities["correct"]["verdict"] == "warn"
    assert qualities["correct"]["numbers"]["volumes"] == 100
    assert "sub-1_task-rest_run-2 failed and is left out" in qualities["correct"]["reasons"]
    assert "sub-1_task-rest_run-2: a correct reason" in qualities["correct"]["reasons"]


def test_runs_that_all_failed_are_averaged_and_failed(tmp_path):
    runs = [write_run(tmp_path, run, run, np.ones(SHAPE, bool), 100, "fail") for run in (1, 3)]
    maps, qualities = run_average(tmp_path, runs)
    np.testing.assert_allclose(maps["alff_average"], 2.0, rtol=1e-6)
    assert qualities["correct"]["verdict"] == qualities["normalize"]["verdict"] == "fail"


def test_volumes_that_moved_and_those_before_the_steady_state_do_not_weigh():
    weights = usable_volumes(
        [corrected(102, 2), corrected(100)], [record(outliers_perc=0.0), record(outliers_perc=75.0)]
    )
    np.testing.assert_allclose(weights, [100, 25])


def test_the_verdict_of_several_runs_is_the_worst():
    records = [record("pass", tsnr=1.0), record("warn", ["short"], tsnr=2.0)]
    numbers, verdict, reasons = together(records, np.array([3.0, 1.0]), ["one", "two"])
    assert (numbers, verdict, reasons) == ({"tsnr": 1.25}, "warn", ["two: short"])


def test_a_number_that_is_unknown_in_one_run_is_the_others():
    numbers, *_ = together([record(efc=None), record(efc=0.4)], np.array([9.0, 1.0]), ["one", "two"])
    assert numbers["efc"] == pytest.approx(0.4)


def test_a_place_that_no_run_covers_is_zero():
    nowhere = np.zeros(SHAPE, bool)
    assert not weighted_mean([np.ones(SHAPE)] * 2, [nowhere] * 2, np.ones(2)).any()
