"""The benchmark of this stage: its segmenter and its table, on values made by hand."""

from pathlib import Path

import numpy as np
import pytest

from neuromoe.imaging.geometry import Grid
from neuromoe.imaging.images import Image
from neuromoe.imaging.template import Template

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    """The modules of the benchmark, which are scripts and no package."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import _anat
    import _segment

    return _anat, _segment


@pytest.fixture
def benchmark_of_masks(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import _heads
    import masks

    return _heads, masks


def test_three_tissues_are_told_apart_at_any_scale(benchmark):
    rng = np.random.default_rng(0)
    truth = rng.choice(3, size=30_000, p=[0.15, 0.5, 0.35])
    values = np.array([30.0, 65.0, 95.0])[truth] + rng.normal(0, 6, truth.size)
    for scale in (1, 0.01, 40):
        assert (benchmark[1].labels(values * scale) == truth).mean() > 0.97


def test_the_overlap_is_whole_where_nothing_moved_and_falls_with_a_shift(benchmark, small_template):
    template = Template.load(small_template)
    there = template.grid.world()
    still, moved = (benchmark[1].tissue_overlap(template.head, template, there + shift) for shift in (0, 4.0))
    assert still == {"gm_dice": 1.0, "wm_dice": 1.0}
    assert 0.3 < moved["gm_dice"] < 0.8 and 0.3 < moved["wm_dice"] < 0.9


def test_what_the_image_does_not_show_is_not_judged(benchmark, small_template):
    template = Template.load(small_template)
    shape = (*template.grid.shape[:2], template.grid.shape[2] // 2)
    half = Image(template.head.data[..., : shape[2]], template.grid.affine)
    assert half.grid.same_as(Grid(shape, template.grid.affine))
    assert benchmark[1].tissue_overlap(half, template, template.grid.world())["gm_dice"] > 0.95


def test_the_table_has_medians_and_relations_on_shared_cases(benchmark):
    def row(case, method, **numbers):
        return {"part": "anat", "case": case, "method": method, **numbers}

    rows = [
        row("101-plain", "register_greedy", cpu_s=10.0, peak_mb=900.0, error_mm=0.7, gm_dice=0.90),
        row("102-plain", "register_greedy", cpu_s=12.0, peak_mb=900.0, error_mm=0.9, gm_dice=0.92),
        row("102-plain", "register_SyN", cpu_s=6.0, peak_mb=500.0, error_mm=1.9, gm_dice=0.85),
        row("real-sub-a", "register_greedy", cpu_s=20.0, peak_mb=900.0, gm_dice=0.7),
        row("real-sub-a", "register_SyN", cpu_s=10.0, peak_mb=500.0, gm_dice=0.65),
        row("real-sub-a", "mask_ours", cpu_s=5.0, peak_mb=700.0),
    ]
    text, ratios = benchmark[0].table(rows)
    assert "| register_greedy | 2 phantoms | 11.000 | 900.000 |  |  | 0.800 | 0.910 |" in text
    assert "| mask_ours | 1 real people | 5.000 | 700.000 |" in text
    assert ratios == {
        "register_greedy/register_SyN": 2.0,
        "register_greedy/register_SyN error_mm difference": -1.0,
        "register_greedy/register_SyN gm_dice difference": 0.07,
        "real register_greedy/register_SyN": 2.0,
        "real register_greedy/register_SyN gm_dice difference": 0.05,
    }
    assert benchmark[0].table([])[1] == {}


INTENSITIES = {"snr 20", "snr 10", "snr 5", "field", "T2-like", "fat", "clipped", "fog", "salt", "ugly"}


def test_each_change_of_a_head_carries_the_reference_along(benchmark_of_masks):
    """The brain is a bright ellipsoid in air; one voxel of 3 mm at its rim is a tenth of it."""
    heads, _ = benchmark_of_masks
    grid = Grid((60, 70, 60), np.diag([3.0, 3.0, 3.0, 1.0]))
    places = (grid.world() - grid.center_mm).reshape(60, 70, 60, 3)
    brain = np.linalg.norm(places / [60, 75, 50], axis=-1) < 1
    head = heads.Head(Image(np.where(brain, 100, 0).astype(np.float32), grid.affine), brain)
    for name in heads.CHANGES.keys() - INTENSITIES:
        changed = heads.CHANGES[name](head)
        assert changed.image.data.shape == changed.brain.shape, name
        bright = changed.image.data > 50
        assert 2 * (bright & changed.brain).sum() > 0.9 * (bright.sum() + changed.brain.sum()), name


def test_a_bad_mask_that_passed_is_named(benchmark_of_masks):
    _, masks = benchmark_of_masks
    rows = [
        {"head": "a", "change": "plain", "template": "bundled", "dice": 0.95, "verdict": "pass"},
        {"head": "a", "change": "half", "template": "bundled", "dice": 0.70, "verdict": "pass"},
        {"head": "b", "change": "half", "template": "bundled", "dice": 0.60, "verdict": "fail"},
    ]
    text, summary = masks.table(rows)
    assert "silent: a, half: 0.700" in text and "silent: b" not in text
    assert "| half | 0.700 | 0.600 ! |" in text
    assert summary["bundled"]["below .85"] == 2 and summary["bundled"]["of these pass"] == 1
