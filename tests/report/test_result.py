"""The result's page and its words about trust."""

import numpy as np
import pytest

from neuromoe.core.errors import InputError
from neuromoe.report._predicted import average
from neuromoe.report._trust import beats_chance, trust
from neuromoe.report.result import result

from .reading import Page
from .scores import CLASSES, record, score


def test_page_needs_nothing_but_itself(tmp_path, written):
    page = tmp_path / "result.html"
    result(**written(record(), record("kernel-moe")), page=page)
    Page(page).assert_stands_alone()
    Page(page).assert_accessible()


def test_numbers_stand_with_their_intervals(tmp_path, written):
    page = tmp_path / "result.html"
    result(**written(record()), page=page)
    text = Page(page).text
    assert "neuromoe: balanced accuracy 0.4 (0.2 to 0.6), 95 % interval, from 24 people" in text
    assert "0.9 to 1.2" in text


def test_classes_keep_their_order_and_modalities_theirs(tmp_path, written):
    page = tmp_path / "result.html"
    result(**written(record()), page=page)
    text = Page(page).text
    assert "CN MCI AD CN 6 75 % 1 12 % 1 12 % MCI 2" in text
    assert "anat func clinical CN 0.5 0.4 to 0.6 0.2" in text


def test_page_survives_scores_without_intervals(tmp_path, written):
    page = tmp_path / "result.html"
    gate = {"all": score(1.0, None, None)}
    empty = record(bounds=(None, None), classes={label: {"gate": gate} for label in CLASSES}, temperature=None)
    result(**written(empty), page=page)
    text = Page(page).text
    assert "no interval could be computed" in text
    assert "n/a" in text
    assert "Expert weights" not in text


def test_demo_says_that_it_proves_nothing(tmp_path, written):
    page = tmp_path / "result.html"
    result(**written(record(bounds=(0.2, 0.6))), page=page, demo=True)
    text = Page(page).text
    assert "These 24 people are simulated" in text
    assert "prove nothing about any disorder" in text
    assert "may as well be 0.2 as 0.6" in text


def test_published_figures_stand_beside_ours_with_what_each_experiment_is(tmp_path, written):
    page = tmp_path / "result.html"
    described = {"neuromoe": "neuromoe; balance 0.1", "no-gate": "neuromoe; gate uniform"}
    files = written(record(), record("no-gate"))
    result(**files, page=page, published={"neuromoe": 0.8247}, described=described)
    text = Page(page).text
    assert "on other people" in text
    row = text[text.index("neuromoe; balance 0.1") :]
    assert row.index("0.2 to 0.6") < row.index("0.825") < row.index("neuromoe; gate uniform")
    Page(page).assert_accessible()


def test_hostile_names_are_escaped(tmp_path, written):
    page = tmp_path / "result.html"
    result(**written(record("<script>alert(1)</script>")), page=page)
    Page(page).assert_stands_alone()
    assert "<script>alert(1)</script>" in Page(page).text


def test_same_input_gives_same_bytes(tmp_path, written):
    files = written(record(), record("kernel-moe"))
    result(**files, page=tmp_path / "a.html")
    result(**files, page=tmp_path / "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_predictions_of_other_experiments_are_refused(tmp_path, written):
    files = written(record(), record("b"))
    with pytest.raises(InputError, match="2 and 1"):
        result(metrics=files["metrics"], predictions=files["predictions"][:1], page=tmp_path / "r.html")
    with pytest.raises(InputError, match="at least one"):
        result(metrics=[], page=tmp_path / "r.html")


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ((0.1, 0.45), "do not show that the classifier works at all"),
        ((0.2, 0.9), "do not show that the classifier works at all"),
        ((0.45, 0.9), "The interval of macro AUC includes chance"),
        ((0.6, 0.9), "wholly above chance"),
    ],
)
def test_words_follow_from_where_chance_lies(bounds, said):
    assert said in " ".join(trust([record(bounds=bounds)]))


def test_width_is_said_with_the_people_that_would_halve_it():
    assert "too wide to plan anything on" in " ".join(trust([record(people=30, bounds=(0.2, 0.6))]))
    assert "about four times as many people (120)" in " ".join(trust([record(people=30, bounds=(0.2, 0.6))]))
    assert "too wide" not in " ".join(trust([record(people=900, bounds=(0.6, 0.66))]))


def test_overlapping_experiments_are_not_ranked():
    close = trust([record(), record("kernel-moe", bounds=(0.3, 0.7))])
    assert "they do not show which is better" in " ".join(close)
    apart = trust([record(), record("kernel-moe", bounds=(0.7, 0.9))])
    assert "kernel-moe has the highest balanced accuracy; its interval lies above that of neuromoe" in " ".join(apart)


@pytest.mark.parametrize(
    ("temperature", "said"), [(1.6, "too sure"), (0.6, "not sure enough"), (1.02, "about as sure")]
)
def test_temperature_is_put_in_words(temperature, said):
    assert said in " ".join(trust([record(temperature=temperature)]))


def test_lower_is_better_for_losses():
    assert beats_chance(score(0.9, 0.8, 1.0), {"value": 1.1}, "nll")
    assert not beats_chance(score(0.9, 0.8, 1.2), {"value": 1.1}, "nll")


def test_repeats_of_a_session_are_averaged_before_it_is_called_wrong():
    rows = [
        {"participant_id": "sub-1", "session_id": "n/a", "label": "a", "p_a": p, "p_b": str(1 - float(p))}
        for p in ("0.9", "0.2")
    ]
    truths, probabilities, wrong = average([*rows, {**rows[1], "participant_id": "sub-2", "session_id": "ses-1"}])
    assert truths == {"sub-1": "a", "sub-2_ses-1": "a"}
    assert np.isclose(probabilities["sub-1"], 0.55)
    assert wrong == {"sub-2_ses-1"}
