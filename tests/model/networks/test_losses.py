import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from neuromoe.model.networks.losses import balance_penalty, masked_log_gate, mix, weighted_cross_entropy

B, M, K = 5, 4, 3
LOGITS = st.floats(-(2.0**100), 2.0**100, width=32) | st.floats(-20, 20, width=32) | st.sampled_from([-np.inf, np.inf])


def _present(seed: int) -> torch.Tensor:
    present = np.random.default_rng(seed).random((B, M)) < 0.6
    present[:, -1] |= ~present.any(axis=1)
    return torch.from_numpy(present)


@settings(max_examples=200, deadline=None)
@given(
    gate=arrays(np.float32, (B, M), elements=LOGITS),
    experts=arrays(np.float32, (B, M, K), elements=LOGITS),
    seed=st.integers(0, 99),
)
def test_loss_and_its_gradient_are_finite_for_any_logits(gate, experts, seed):
    gate, experts = torch.tensor(gate, requires_grad=True), torch.tensor(experts, requires_grad=True)
    present = _present(seed)
    log_gate = masked_log_gate(gate, present)
    loss = weighted_cross_entropy(mix(log_gate, experts), torch.arange(B) % K, torch.ones(K)).mean()
    (loss + balance_penalty(log_gate.exp(), present)).backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(gate.grad).all() and torch.isfinite(experts.grad).all()


@given(seed=st.integers(0, 999))
def test_mixture_is_the_weighted_sum_of_the_experts_probabilities(seed):
    torch.manual_seed(seed)
    gate, experts, present = torch.randn(B, M), torch.randn(B, M, K), _present(seed)
    log_gate = masked_log_gate(gate, present)
    weights = log_gate.exp()
    expected = (weights[:, :, None] * experts.softmax(dim=2)).sum(dim=1)
    assert torch.allclose(mix(log_gate, experts).exp(), expected, atol=1e-6)
    assert torch.allclose(weights.sum(dim=1), torch.ones(B), atol=1e-6)
    assert (weights[~present] == 0).all()


def test_plain_balance_is_the_papers_equation():
    gate = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.4, 0.3, 0.2, 0.1]])
    everybody = torch.ones(2, 4, dtype=torch.bool)
    expected = ((gate.mean(0) - 0.25) ** 2).mean()
    assert balance_penalty(gate, everybody, corrected=False) == pytest.approx(float(expected))


def test_corrected_balance_is_unbiased_where_the_plain_one_is_not():
    generator = torch.Generator().manual_seed(1)
    # Symmetric in the experts, so the population's penalty is exactly 0; 3 standard errors of 4000 batches.
    gates = torch.randn(4000, 8, 4, generator=generator).softmax(dim=2)
    everybody = torch.ones(8, 4, dtype=torch.bool)
    corrected = torch.stack([balance_penalty(gate, everybody) for gate in gates])
    plain = torch.stack([balance_penalty(gate, everybody, corrected=False) for gate in gates])
    error = corrected.std() / len(gates) ** 0.5
    assert abs(corrected.mean()) < 3 * error
    assert plain.mean() > 20 * error


def test_equal_weights_of_what_is_present_are_balanced():
    present = torch.tensor([[True, True, False, False], [True, True, True, True]])
    gate = masked_log_gate(torch.zeros(2, 4), present).exp()
    assert balance_penalty(gate, present, corrected=False) == 0
