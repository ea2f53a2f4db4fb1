import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime

from neuromoe.cohort.quality import QualityEncoder
from neuromoe.core.errors import InputError
from neuromoe.model import Cohort, build_model
from neuromoe.model.kernels.kernel_ridge import solve
from neuromoe.model.kernels.kernels import Likeness, compare
from neuromoe.model.kernels.linear import log_softmax
from neuromoe.model.kernels.maps import Maps, likeness_between
from neuromoe.model.kernels.pool import POOLS, Gate, fit_gate

MODALITIES = ("anat", "dwi", "func")


@given(seed=st.integers(0, 999), parts=st.integers(1, 5))
def test_what_is_held_out_in_closed_form_is_what_fitting_again_gives(seed, parts):
    rng = np.random.default_rng(seed)
    features, part = rng.normal(size=(20, 30)), np.arange(20) % parts
    kernel, wanted, ridges = features @ features.T, rng.normal(size=(20, 3)), rng.uniform(1, 5, 20)
    _, _, held_out = solve(kernel, wanted, part, ridges)
    if parts == 1:
        assert np.allclose(held_out, wanted.mean(axis=0))
        return
    for one in range(parts):
        kept, aside = np.flatnonzero(part != one), np.flatnonzero(part == one)
        dual, bias, _ = solve(kernel[np.ix_(kept, kept)], wanted[kept], part[kept], ridges[kept])
        assert np.allclose(held_out[aside], kernel[np.ix_(aside, kept)] @ dual + bias)


def test_product_kernel_holds_the_sum_and_the_products_of_two_modalities(rng):
    first, second = rng.normal(size=(6, 4)), rng.normal(size=(6, 5))
    likenesses = [Likeness(x @ x.T, (x**2).sum(axis=1), (x**2).sum(axis=1)) for x in (first, second)]
    pairs = np.einsum("ni,nj->nij", first, second).reshape(6, -1)
    features = np.hstack([first, second, pairs])
    assert np.allclose(compare("product", likenesses), features @ features.T)


def test_the_size_of_blocks_does_not_matter(rng, monkeypatch):
    features = rng.normal(3, 1, (9, 7)).astype(np.float32)

    def found() -> Likeness:
        maps = Maps.fit(lambda rows: features[rows], np.arange(9))
        return likeness_between(lambda rows: features[rows + 5], np.array([0, 2]), 4, maps, 9)

    whole = found()
    monkeypatch.setattr("neuromoe.model.kernels.maps._BLOCK", 14)
    # Single precision of sums of seven.
    assert np.allclose(found().inner, whole.inner, atol=1e-5) and np.allclose(found().left, whole.left, atol=1e-5)
    assert (whole.inner[[1, 3]] == 0).all() and np.mean(whole.right) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("pool", POOLS)
def test_the_gate_found_is_a_stationary_point(pool, rng):
    log_experts = log_softmax(rng.normal(0, 2, (40, 4, 3)).transpose(0, 2, 1).reshape(-1, 4)).reshape(40, 3, 4)
    log_experts = log_experts - np.log(np.exp(log_experts).sum(axis=2, keepdims=True))
    quality, there, targets = rng.normal(size=(40, 3, 2)), rng.random((40, 3)) < 0.8, rng.integers(0, 4, 40)
    there[:, 0] |= ~there.any(axis=1)
    weights, priors = rng.uniform(0.5, 2, 40), {"bias_prior": 2.0, "slope_prior": 3.0, "most": np.full(2, np.inf)}
    _, gate = fit_gate(log_experts, targets, quality, there, weights=weights, pool=pool, **priors)

    def loss(values):
        at = Gate(values[:3], values[3:5], np.exp(values[5:]), pool)
        picked = at.log_proba(log_experts, quality, there)[np.arange(40), targets]
        return -(weights * picked).sum() + values**2 @ [1, 1, 1, 1.5, 1.5, 0.5]

    best = np.concatenate([gate.bias, gate.slope, np.log(gate.temperatures)])
    # The loss is about 50; L-BFGS-B stops at relative changes of 1e-9, differences are good to 1e-5.
    assert np.abs(approx_fprime(best, loss, 1e-6)).max() < 0.02


def _spoilt(rng, people=150, *, telling=True, shift=0.9):
    """Make three modalities with the class in each; of a third of the scans, noise alone is left."""
    labels, spoilt = rng.integers(0, 2, people), rng.random((people, 3)) < 0.33
    maps = {name: rng.normal(size=(people, 1, 8, 8, 8)) for name in MODALITIES}
    quality = {}
    for column, name in enumerate(MODALITIES):
        maps[name][:, 0, :4, :4, :4] += (shift * (2 * labels - 1) * ~spoilt[:, column])[:, None, None, None] / 4
        quality[name] = (telling * spoilt[:, column] * 3 + rng.normal(size=people))[:, None]
        quality[name][rng.random(people) < 0.1] = np.nan
    return Cohort.from_arrays(maps=maps, quality=quality, labels=labels), spoilt


def test_weights_find_the_spoilt_scans(rng):
    from sklearn.metrics import roc_auc_score

    cohort, spoilt = _spoilt(rng)
    model = build_model("kernel-moe").fit(cohort, np.arange(100))
    weights = model.gate(cohort, np.arange(100, 150))
    # Chance is .5 with a standard error of .05 for 50 spoilt among 150 scans.
    assert roc_auc_score(spoilt[100:].ravel(), 1 - weights.ravel()) > 0.65


def test_a_gate_without_information_stays_near_uniform(rng):
    cohort, _ = _spoilt(rng, telling=False)
    model = build_model("kernel-moe", oddness=False, joint=False).fit(cohort, np.arange(100))
    weights = model.gate(cohort, np.arange(100, 150))
    assert weights.std(axis=0).max() < 0.15


def test_the_joint_expert_finds_what_no_modality_shows_alone(rng):
    signs = rng.choice([-1, 1], (240, 2))
    maps = {name: rng.normal(size=(240, 1, 8, 8, 8)) for name in MODALITIES}
    for column, name in enumerate(("anat", "dwi")):
        maps[name][:, 0, :, :, :4] += signs[:, column, None, None, None]
    cohort = Cohort.from_arrays(maps=maps, labels=(signs.prod(axis=1) > 0).astype(int))
    train, test = np.arange(120), np.arange(120, 240)
    right = [
        (build_model("kernel-moe", joint=joint).fit(cohort, train).predict(cohort, test) == cohort.labels[test]).mean()
        for joint in (True, False)
    ]
    # Chance is .5 with a standard error of .046.
    assert right[0] > 0.8 and right[1] < 0.64


def test_numbers_of_one_name_share_a_slope_and_missing_ones_are_flagged(rng):
    quality = {"dwi": {"fd": rng.normal(5, 2, 30)}, "func": {"fd": rng.normal(size=30), "snr": rng.normal(size=30)}}
    quality["dwi"]["fd"][0] = np.nan
    encoder = QualityEncoder.fit(quality)
    assert encoder.keys == ("fd", "fd missing", "snr")
    encoded = encoder.encode("dwi", quality["dwi"], 30)
    assert encoded[0].tolist() == [0, 1, 0] and abs(np.median(encoded[1:, 0])) < 1e-9
    assert QualityEncoder.from_facts(encoder.facts()) == encoder


@settings(max_examples=15, deadline=None)
@given(size=st.sampled_from([1e-6, 1.0, 1e6, 1e15]), seed=st.integers(0, 99))
def test_no_map_and_no_quality_number_gives_an_infinite_loss(size, seed):
    rng = np.random.default_rng(seed)
    cohort, _ = _spoilt(rng, 40)
    model = build_model("kernel-moe").fit(cohort, np.arange(40))
    maps = {name: size * rng.normal(size=(4, 1, 8, 8, 8)) for name in MODALITIES}
    quality = {name: rng.choice([np.nan, np.inf, 1e30, -1e30], (4, 1)) for name in MODALITIES}
    strange = Cohort.from_arrays(maps=maps, quality=quality)
    probabilities, weights = model.predict_proba(strange, np.arange(4)), model.gate(strange, np.arange(4))
    assert np.isfinite(np.log(probabilities)).all() and np.allclose(probabilities.sum(axis=1), 1)
    assert np.isfinite(weights).all() and np.allclose(weights.sum(axis=1), 1)


def test_settings_are_checked():
    with pytest.raises(InputError, match="pool 'sum'"):
        build_model("kernel-moe", pool="sum")


def test_few_people_do_not_make_it_sure(made_cohort):
    """The temperature that comes with the gate knows the people that it is fitted on; the last one does not."""
    losses = {5: [], 0: []}
    for seed in range(4):
        cohort, others = made_cohort(people=24, effect=0.2), made_cohort(people=100, effect=0.2)
        for parts, found in losses.items():
            model = build_model("kernel-moe", seed=seed, calibration=parts).fit(cohort, np.arange(24))
            said = model.predict_proba(others, np.arange(100))
            found.append(-np.log(said[np.arange(100), model._targets(others, np.arange(100))]).mean())
    assert np.mean(losses[5]) < np.mean(losses[0])


def test_of_many_people_some_are_drawn_of_each_class_and_modality(made_cohort):
    cohort = made_cohort(people=120, effect=1.5)
    rare = np.flatnonzero(cohort.labels == cohort.labels[0])[4:]
    train = np.setdiff1d(np.arange(120), rare)
    # Of a modality that few people have, none may be lost.
    with_func = np.concatenate([train[cohort.labels[train] == label][:2] for label in set(cohort.labels)])
    cohort.rows["func"][~np.isin(np.arange(120), with_func)] = -1
    model = build_model("kernel-moe", most=60).fit(cohort, train)
    drawn = np.unique(np.concatenate([expert.owners for expert in model.experts]))
    assert len(drawn) == 60
    there = cohort.present(with_func, ["func"])[:, 0].sum()
    assert [len(expert.owners) for expert in model.experts if expert.modalities == ("func",)] == [there]
    rows, _ = model.held_out_
    assert sorted(rows) == sorted(train)
    has_scan = np.flatnonzero(cohort.present(train, ["dwi"])[:, 0])
    assert (model.predict(cohort, train[has_scan]) == cohort.labels[train[has_scan]]).mean() > 0.6


def test_who_is_of_a_family_that_was_drawn_is_not_said_to_be_held_out(made_cohort):
    cohort = made_cohort(people=90, effect=1.5)
    cohort.groups[:] = np.arange(90) // 3
    model = build_model("kernel-moe", most=40, folds=2).fit(cohort, np.arange(90))
    drawn = np.unique(np.concatenate([expert.owners for expert in model.experts]))
    rows, _ = model.held_out_
    fitted, others = rows[: len(drawn)], rows[len(drawn) :]
    assert len(others) and not set(cohort.groups[fitted]) & set(cohort.groups[others])
