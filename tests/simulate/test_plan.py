"""The plan: who takes part, before any image exists."""

import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuromoe.core.errors import InputError
from neuromoe.simulate._effects import strengths
from neuromoe.simulate._plan import GROUPS, MODALITIES, images, plan, write_tables
from neuromoe.simulate._protocol import SITES, SIZES, b_values, slice_times_s


@given(st.integers(1, 40), st.integers(0, 40), st.integers(0, 9))
@settings(deadline=None)
def test_asking_for_more_sessions_leaves_the_first_ones_as_they_are(fewer, more, seed):
    assert plan(fewer + more, seed)[:fewer] == plan(fewer, seed)


@given(st.integers(0, 99), st.floats(0, 1), st.floats(0, 1))
@settings(deadline=None)
def test_nobody_misses_every_scan_and_only_scans_that_exist_are_spoilt(seed, corrupted_rate, missing_rate):
    for person in plan(12, seed, "demo", corrupted_rate, missing_rate):
        assert any(person.has(modality) for modality in MODALITIES)
        assert all(person.has(modality) for modality in person.corrupted)


def test_groups_and_sites_are_balanced_in_any_whole_number_of_blocks():
    people = plan(24, 5)
    assert all(sum(person.group == group for person in people) == 8 for group in GROUPS)
    assert all(sum(person.site == site.name for person in people) == 8 for site in SITES)


def test_rates_are_met_in_a_large_cohort():
    people = plan(1000, 1, "demo", 0.2, 0.3)
    scans = [person.has(modality) for person in people for modality in MODALITIES]
    spoilt = [m in person.corrupted for person in people for m in MODALITIES if person.has(m)]
    # Three standard errors of a share over 3000 draws; the people who would miss all add 0.9 points.
    assert sum(scans) / len(scans) == pytest.approx(0.7 + 0.009, abs=0.026)
    assert sum(spoilt) / len(spoilt) == pytest.approx(0.2, abs=0.026)


def test_a_higher_rate_only_adds_spoilt_and_missing_scans():
    for few, many in zip(plan(60, 3, "demo", 0.1, 0.0), plan(60, 3, "demo", 0.5, 0.0), strict=True):
        assert set(few.corrupted) <= set(many.corrupted)
        assert few.clinical == many.clinical


def test_irbd_lies_between_the_other_groups_and_no_feature_tells_them_apart_alone():
    people = plan(900, 2)
    severity = {group: [p.severity for p in people if p.group == group] for group in GROUPS}
    means = [sum(values) / len(values) for values in severity.values()]
    assert means[0] < 0.2 < means[1] < 0.7 < means[2]
    scores = {
        group: [p.clinical["motor_score"] for p in people if p.group == group and p.clinical["motor_score"]]
        for group in GROUPS
    }
    pairs = [(high, low) for high in scores["PD"] for low in scores["HC"]]
    area = sum(high > low for high, low in pairs) / len(pairs)
    assert 0.6 < area < 0.85


def test_the_images_are_described_without_being_made(clean):
    described = {image.modality: image for image in images(replace(clean, size="full"))}
    assert sorted(described["anat"].shape) == [192, 248, 248]
    assert described["dwi"].volumes == 34
    assert described["func"].volumes == 200
    assert len(described["func"].slice_times_s) == described["func"].shape[2]
    assert all(time < described["func"].repetition_time_s for time in described["func"].slice_times_s)
    assert images(clean, "full") == list(described.values())


@pytest.mark.parametrize("size", SIZES)
def test_b0s_stand_at_the_start_and_within_the_run(size):
    values = b_values(SIZES[size])
    assert values[0] == 0
    assert values.count(0) == SIZES[size].b0s
    assert 0 in values[3:]


@given(st.sampled_from(["ascending", "interleaved"]), st.integers(1, 60))
@settings(deadline=None)
def test_every_slice_has_its_own_time(order, slices):
    times = slice_times_s(order, slices, 2.0)
    assert len(set(times)) == slices
    assert min(times) == 0


def test_unchanged_tables_keep_their_time(tmp_path):
    write_tables(tmp_path, plan(4))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    write_tables(tmp_path, plan(4))
    assert {path: path.stat().st_mtime_ns for path in before} == before
    write_tables(tmp_path, plan(5))
    assert (tmp_path / "participants.tsv").stat().st_mtime_ns > before[tmp_path / "participants.tsv"]
    assert (tmp_path / "README").stat().st_mtime_ns == before[tmp_path / "README"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"size": "huge"}, "tiny, demo, full"),
        ({"sessions": 0}, "1 or more"),
        ({"missing_rate": 1.5}, "0 to 1"),
    ],
)
def test_a_wrong_argument_is_named_with_its_range(arguments, told):
    with pytest.raises(InputError, match=told):
        plan(**arguments)


def test_a_misspelt_effect_names_the_nearest_right_one():
    with pytest.raises(InputError, match="fa_drop"):
        strengths({"fa_dropp": 0.1})
    with pytest.raises(InputError, match="0 to 0.6"):
        strengths({"fa_drop": 2})


def test_planning_loads_the_standard_library_only():
    heavy = "{'numpy', 'scipy', 'nibabel', 'nilearn', 'pandas', 'torch', 'ants'}"
    code = f"import sys, neuromoe.simulate.cohort; sys.exit(str({heavy} & set(sys.modules) or ''))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
