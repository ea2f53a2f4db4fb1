import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from neuromoe.dwi._tensor import Tensor, eigensystem, fit_tensor, tensor_maps
from neuromoe.imaging.gradients import Gradients

from .phantom import table

EIGENVALUES = st.tuples(*[st.floats(1e-4, 3e-3)] * 3)
ANGLES = st.tuples(*[st.floats(-3, 3)] * 3)


def tensor_of(values, angles) -> Tensor:
    axes = Rotation.from_euler("xyz", angles).as_matrix()
    return Tensor((axes * np.array(values)) @ axes.T[None], np.array([1000.0]))


# The first call imports torch.
@settings(deadline=None)
@given(EIGENVALUES, ANGLES)
def test_a_noiseless_tensor_is_recovered(values, angles):
    truth, gradients = tensor_of(values, angles), table(12)
    fitted = fit_tensor(truth.predict(gradients), gradients)
    assert np.allclose(fitted.matrices, truth.matrices, atol=1e-9)
    assert fitted.s0[0] == pytest.approx(1000)


@given(EIGENVALUES, ANGLES, ANGLES)
def test_scalar_maps_do_not_depend_on_how_the_head_lies(values, angles, turn):
    maps = tensor_maps(tensor_of(values, angles))
    axes = Rotation.from_euler("xyz", turn).as_matrix()
    turned = tensor_maps(Tensor(axes @ tensor_of(values, angles).matrices @ axes.T, np.array([1000.0])))
    for name in ("fa", "md", "ad", "rd"):
        assert np.allclose(getattr(maps, name), getattr(turned, name), atol=1e-9)
    if sorted(values)[2] > 1.05 * sorted(values)[1]:
        assert abs((axes @ maps.v1[0]) @ turned.v1[0]) == pytest.approx(1, abs=1e-6)


def test_maps_of_an_axisymmetric_tensor_have_their_closed_form():
    maps = tensor_maps(tensor_of((1.7e-3, 0.3e-3, 0.3e-3), (0, 0, 0)))
    assert maps.fa[0] == pytest.approx((1.7 - 0.3) / np.sqrt(1.7**2 + 2 * 0.3**2))
    assert (maps.md[0], maps.ad[0], maps.rd[0]) == pytest.approx((2.3e-3 / 3, 1.7e-3, 0.3e-3))
    assert np.allclose(np.abs(maps.v1[0]), [1, 0, 0])
    assert tensor_maps(tensor_of((1e-3, 1e-3, 1e-3), (0, 0, 0))).fa[0] == pytest.approx(0, abs=1e-7)


def test_agrees_with_dipys_weighted_least_squares(rng):
    from dipy.core.gradients import gradient_table
    from dipy.reconst.dti import TensorModel

    gradients = table(30, b0s=3)
    turns = Rotation.random(400, random_state=2).as_matrix()
    values = rng.uniform(3e-4, 1.7e-3, (400, 1, 3))
    truth = Tensor((turns * values) @ turns.transpose(0, 2, 1), np.full(400, 1000.0))
    signals = np.hypot(truth.predict(gradients) + rng.normal(0, 20, (400, 33)), rng.normal(0, 20, (400, 33)))
    ours = tensor_maps(fit_tensor(signals, gradients))
    model = TensorModel(gradient_table(gradients.bvals_s_mm2, bvecs=gradients.directions), fit_method="WLS")
    theirs = model.fit(signals)
    assert np.abs(ours.fa - theirs.fa).max() < 1e-4
    assert np.abs(ours.md - theirs.md).max() < 1e-7
    assert np.abs((ours.v1 * theirs.evecs[:, :, 0]).sum(axis=1)).min() > 0.9999


def test_signals_at_or_below_zero_give_finite_maps():
    gradients = table(12)
    signals = np.zeros((3, len(gradients)))
    signals[1, 0], signals[2] = 500.0, -1.0
    maps = tensor_maps(fit_tensor(signals, gradients))
    assert all(np.isfinite(getattr(maps, name)).all() for name in ("fa", "md", "ad", "rd", "v1"))


def test_prediction_at_b0_is_the_unweighted_signal():
    tensor = tensor_of((1e-3, 5e-4, 5e-4), (0.3, 0.2, 0.1))
    assert tensor.predict(Gradients(np.zeros(1), np.zeros((1, 3))))[0, 0] == 1000


def noisy_signals(rng, gradients, noise):
    turns = Rotation.random(400, random_state=2).as_matrix()
    truth = Tensor((turns * [1.5e-3, 4e-4, 3e-4]) @ turns.transpose(0, 2, 1), np.full(400, 1000.0))
    return tensor_maps(truth), truth.predict(gradients) + rng.normal(0, noise, (400, len(gradients)))


def test_the_robust_fit_withstands_lost_signals_and_costs_little_without_them(rng):
    gradients = table(30, b0s=3)
    truth, signals = noisy_signals(rng, gradients, 20)
    spoilt = signals.copy()
    spoilt[:, [5, 17]] *= 0.4

    def error(data, robust):
        return np.abs(tensor_maps(fit_tensor(data, gradients, robust=robust)).fa - truth.fa).mean()

    assert error(spoilt, True) < 1.25 * error(signals, False) < 0.5 * error(spoilt, False)
    # Unequal weights cost a sixth where every signal is good: why it is off by default.
    assert error(signals, True) < 1.25 * error(signals, False)


def test_a_signal_of_zero_counts_as_unknown(rng):
    gradients = table(30, b0s=3)
    truth, signals = noisy_signals(rng, gradients, 20)
    kept = np.delete(np.arange(33), [5, 17])
    signals[:, [5, 17]] = 0
    without = tensor_maps(fit_tensor(signals[:, kept], gradients[kept]))
    assert np.allclose(tensor_maps(fit_tensor(signals, gradients)).fa, without.fa, atol=1e-4)
    assert np.abs(without.fa - truth.fa).mean() < 0.03


def test_the_closed_form_agrees_with_lapack_down_to_round_and_flat_tensors(rng):
    axes = Rotation.random(300, random_state=4).as_matrix()
    values = np.sort(rng.uniform(1e-4, 3e-3, (300, 3)), axis=1)
    values[:50, 2] = values[:50, 1]
    values[50:100, 0] = values[50:100, 1]
    values[100:110] = 1e-3
    matrices = (axes * values[:, None]) @ axes.transpose(0, 2, 1)
    found, vector = eigensystem(matrices)
    assert np.allclose(found, np.linalg.eigvalsh(matrices), atol=1e-10)
    assert np.allclose(np.linalg.norm(vector, axis=1), 1)
    assert np.allclose(np.einsum("nij,nj->ni", matrices, vector), found[:, 2:] * vector, atol=1e-8)
