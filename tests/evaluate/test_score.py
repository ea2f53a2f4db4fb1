import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn import metrics as reference

from neuromoe.core.errors import InputError
from neuromoe.evaluate._calibrate import fit_temperature, reliability
from neuromoe.evaluate._intervals import bootstrap, corrected_interval
from neuromoe.evaluate._metrics import Predictions, compute
from neuromoe.evaluate.score import score

CLASSES = ("x", "y", "z")


def _predictions(rng, count=60, sure=1.0, ties=False):
    targets = np.arange(count) % 3
    logits = rng.normal(size=(count, 3)) + 1.5 * np.eye(3)[targets]
    p = np.exp(sure * logits)
    p /= p.sum(axis=1, keepdims=True)
    if ties:
        p = np.round(p, 1) + 1e-3
        p /= p.sum(axis=1, keepdims=True)
    return Predictions(p, targets, rng.dirichlet(np.ones(4), count))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 9999), ties=st.booleans())
def test_every_metric_agrees_with_scikit_learn_on_the_resampled_people(seed, ties):
    rng = np.random.default_rng(seed)
    one = _predictions(rng, ties=ties)
    weights = rng.multinomial(60, np.full(60, 1 / 60), size=2)
    found = compute(one, weights)
    for row, counts in enumerate(weights):
        y, p = np.repeat(one.targets, counts), np.repeat(one.probabilities, counts, axis=0)
        chosen, labels = p.argmax(axis=1), [0, 1, 2]
        precision, recall, f1, _ = reference.precision_recall_fscore_support(y, chosen, labels=labels, zero_division=0)
        expected = {
            "accuracy": reference.accuracy_score(y, chosen),
            "balanced_accuracy": reference.balanced_accuracy_score(y, chosen),
            "macro_auc": reference.roc_auc_score(y, p, multi_class="ovr", labels=labels),
            "macro_f1": f1.mean(),
            "nll": reference.log_loss(y, p, labels=labels),
            "brier": ((p - np.eye(3)[y]) ** 2).sum(axis=1).mean(),
        }
        assert all(found[name][row] == pytest.approx(value) for name, value in expected.items())
        assert np.allclose(found["recall"][row], recall) and np.allclose(found["f1"][row], f1)
        assert np.allclose(np.nan_to_num(found["precision"][row]), precision)
        gates = np.repeat(one.gates, counts, axis=0)
        assert np.allclose(found["gate"][row], [gates[y == k].mean(axis=0) for k in labels])


def test_calibration_error_is_the_bins_gap(rng):
    p = np.array([[0.95, 0.05], [0.95, 0.05], [0.65, 0.35], [0.65, 0.35]])
    one = Predictions(p, np.array([0, 0, 0, 1]), np.zeros((4, 0)))
    assert compute(one, np.ones((1, 4)))["ece"][0] == pytest.approx(0.5 * 0.05 + 0.5 * 0.15)


def test_overconfidence_shows_as_a_temperature_above_one(rng):
    truth = rng.dirichlet(np.ones(3), 4000)
    targets = (truth.cumsum(axis=1) < rng.random((4000, 1))).sum(axis=1)
    right = Predictions(truth, targets, np.zeros((4000, 0)))
    sharp = truth**2 / (truth**2).sum(axis=1, keepdims=True)
    assert fit_temperature(right) == pytest.approx(1, abs=0.08)
    assert fit_temperature(Predictions(sharp, targets, right.gates)) == pytest.approx(2, abs=0.16)
    bins = reliability([right], [np.arange(4000)], resamples=200, confidence=0.99, seed=0)
    assert all(one["low"] <= one["confidence"] <= one["high"] for one in bins)


def test_interval_covers_the_truth_as_often_as_it_says(rng):
    covered = []
    for seed in range(200):
        hits = rng.random(80) < 0.7
        p = np.where(hits[:, None], [[0.9, 0.1]], [[0.1, 0.9]])
        one = Predictions(p, np.zeros(80, int), np.zeros((80, 0)))
        _, drawn = bootstrap([one], [np.arange(80)], resamples=300, seed=seed)
        low, high = np.percentile(drawn["accuracy"], [2.5, 97.5])
        covered.append(low <= 0.7 <= high)
    # 95 % less what a percentile interval loses at 80 people; 3 standard errors of 200 trials are .046.
    assert 0.88 <= np.mean(covered) <= 0.99


def test_repeats_of_the_same_people_do_not_narrow_the_interval(rng):
    one = _predictions(rng)
    people = np.arange(60)
    once, _ = bootstrap([one], [people], resamples=500, seed=3), None
    thrice = bootstrap([one] * 3, [people] * 3, resamples=500, seed=3)
    assert np.allclose(once[1]["accuracy"], thrice[1]["accuracy"])


def test_sessions_of_one_person_widen_the_interval(rng):
    one = _predictions(rng, 60)
    twice = Predictions(*(np.repeat(part, 4, axis=0) for part in (one.probabilities, one.targets, one.gates)))
    as_people = bootstrap([twice], [np.repeat(np.arange(60), 4)], resamples=500, seed=3)[1]["accuracy"].std()
    as_strangers = bootstrap([twice], [np.arange(240)], resamples=500, seed=3)[1]["accuracy"].std()
    assert as_people == pytest.approx(2 * as_strangers, rel=0.15)


def test_corrected_interval_is_nadeau_and_bengios():
    values = np.array([0.5, 0.6, 0.7, 0.6])
    mean, low, high = corrected_interval(values, 0.25, 0.95)
    error = np.sqrt((1 / 4 + 0.25) * values.var(ddof=1))
    assert mean == pytest.approx(0.6)
    # 3.182 is the 97.5 % point of t with 3 degrees of freedom, far above the normal's.
    assert high - mean == pytest.approx(3.182 * error, rel=1e-3) and high - mean > norm.ppf(0.975) * error
    assert np.isnan(corrected_interval(np.array([0.5]), 0.25, 0.95)).all()


def _write_folds(folder, rng, repeats=2, people=36):
    for repeat in range(repeats):
        one = _predictions(rng, people)
        for fold in range(3):
            rows = np.arange(people)[np.arange(people) // 3 % 3 == fold]
            table = pd.DataFrame(
                {
                    "repeat": repeat,
                    "fold": fold,
                    "participant_id": [f"sub-{row:02d}" for row in rows],
                    "session_id": "n/a",
                    "label": [CLASSES[k] for k in one.targets[rows]],
                    **{f"p_{name}": one.probabilities[rows, k] for k, name in enumerate(CLASSES)},
                    **{
                        f"gate_{name}": one.gates[rows, m] for m, name in enumerate(("anat", "dwi", "func", "clinical"))
                    },
                    "pattern": "anat+dwi+func+clinical",
                }
            )
            path = folder / f"models/made/repeat-{repeat}_fold-{fold}/predictions.tsv"
            path.parent.mkdir(parents=True)
            table.to_csv(path, sep="\t", index=False)


def _score(folder, name="out", **choices):
    score(
        experiment="made",
        models=folder / "models",
        predictions=folder / f"{name}/predictions.tsv",
        metrics=folder / f"{name}/metrics.json",
        **{"bootstrap": 300, **choices},
    )
    return json.loads((folder / f"{name}/metrics.json").read_text())


def test_every_number_comes_with_its_interval(tmp_path, rng):
    _write_folds(tmp_path, rng)
    record = _score(tmp_path)
    assert (record["people"], record["sessions"], record["repeats"], record["folds"]) == (36, 36, 2, 6)
    numbers = list(record["metrics"].values()) + [record["chance"]["accuracy"]]
    for about in record["classes"].values():
        numbers += [about[name] for name in ("recall", "precision", "f1", "auc")] + list(about["gate"].values())
        assert sum(weight["value"] for weight in about["gate"].values()) == pytest.approx(1)
    assert all(one["low"] <= one["value"] <= one["high"] for one in numbers if one is not record["metrics"]["ece"])
    folds = record["metrics"]["balanced_accuracy"]["folds"]
    assert folds["low"] < folds["mean"] < folds["high"]
    assert np.sum(record["confusion"]["counts"]) == pytest.approx(36)
    assert record["metrics"]["accuracy"]["value"] == pytest.approx(np.trace(record["confusion"]["counts"]) / 36)


def test_same_seed_same_bytes(tmp_path, rng):
    _write_folds(tmp_path, rng)
    for name in ("a", "b"):
        _score(tmp_path, name)
    for file in ("metrics.json", "predictions.tsv"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_the_pooled_table_holds_every_fold(tmp_path, rng):
    _write_folds(tmp_path, rng)
    _score(tmp_path)
    table = pd.read_csv(tmp_path / "out/predictions.tsv", sep="\t")
    assert len(table) == 72 and table.groupby("repeat")["participant_id"].nunique().tolist() == [36, 36]


def test_nothing_to_score_and_people_tested_twice_are_named(tmp_path, rng):
    (tmp_path / "models").mkdir()
    with pytest.raises(InputError, match="0 tables"):
        _score(tmp_path)
    _write_folds(tmp_path, rng, repeats=1)
    path = tmp_path / "models/made/repeat-0_fold-1/predictions.tsv"
    path.write_text((tmp_path / "models/made/repeat-0_fold-0/predictions.tsv").read_text())
    with pytest.raises(InputError, match="12 rows more"):
        _score(tmp_path)


def test_only_the_named_fits_are_pooled_and_a_missing_one_is_named(tmp_path, rng):
    _write_folds(tmp_path, rng, repeats=2)
    record = _score(tmp_path, folds=[f"repeat-0_fold-{fold}" for fold in range(3)])
    assert (record["repeats"], record["folds"]) == (1, 3)
    with pytest.raises(InputError, match="none of repeat-0_fold-3"):
        _score(tmp_path, folds=["repeat-0_fold-0", "repeat-0_fold-3"])
