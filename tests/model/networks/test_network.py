"""Experts and gate as one network, by itself."""

import numpy as np
import pytest
import torch

from neuromoe.model.networks.learner import Batch
from neuromoe.model.networks.network import Network
from neuromoe.model.networks.settings import NeuroMoESettings

PLACES = torch.tensor(np.argwhere(np.ones((2, 2, 2))))
# Whom lacks what: the last has clinical data alone.
PRESENT = torch.tensor([[True, True, True], [True, False, True], [False, True, False], [False, False, True]])


def network(**settings) -> Network:
    torch.manual_seed(0)
    chosen = NeuroMoESettings(width=12, dropout=0.0, clinical_dropout=0.0, joint=True, **settings)
    made = Network({"anat": 10, "dwi": 5}, PLACES, 3, 2, chosen).eval()
    with torch.no_grad():
        for expert in made.experts.values():
            if hasattr(expert, "by_place"):
                expert.by_place.normal_()
    return made


def batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    counts = {"anat": (2, 8, 10), "dwi": (2, 8, 5)}
    tokens = {name: torch.randn(size, generator=generator, requires_grad=True) for name, size in counts.items()}
    return Batch(torch.arange(4), tokens, torch.randn(4, 3, generator=generator), PRESENT, torch.tensor([0, 1, 0, 1]))


@pytest.mark.parametrize("readout", ["places", "mean", "both"])
def test_an_expert_hears_a_channel_as_far_as_it_counts(readout: str) -> None:
    made, said = network(readout=readout, layer_start=1.0), batch()
    made.experts["anat"].relevance[5:] = 0
    for expert in (0, 3):
        heard = torch.autograd.grad(made.expert_logits(said)[:, expert, 0].sum(), said.tokens["anat"])[0]
        assert (heard[:, :, 5:] == 0).all() and (heard[:, :, :5] != 0).all()


def test_who_lacks_a_modality_is_no_matter_of_its_expert() -> None:
    made, said = network(), batch()
    logits = made.expert_logits(said)
    there = made.there(PRESENT)
    assert there[:, :3].equal(PRESENT) and there[:, 3].tolist() == [True, True, True, False]
    assert ((logits != 0).all(dim=2) == there).all()
    # Each person is read as if alone.
    for person in range(3):
        chosen = torch.arange(4) == person
        torch.testing.assert_close(made.expert_logits(said.take(chosen, made.names))[0], logits[person])


def test_the_gate_weighs_what_is_there_by_the_clinical_features_or_equally() -> None:
    for choices, told in (({"gate": "clinical"}, True), ({"gate": "uniform"}, False)):
        made, said = network(training="mixture", **choices), batch()
        there = made.there(PRESENT)
        weights = made.log_gate(said.clinical, there).exp()
        torch.testing.assert_close(weights.sum(dim=1), torch.ones(4))
        assert (weights[~there] == 0).all()
        even = there / there.sum(dim=1, keepdim=True)
        assert torch.allclose(weights, even, atol=1e-6) != told


def test_the_mean_readout_does_not_hang_on_the_order_of_places_without_their_codes() -> None:
    """By place, each has weights of its own; by the mean, the code that is added is all that tells them apart."""
    for readout, told in (("places", True), ("mean", False)):
        made, said = network(readout=readout, layers=0), batch()
        swapped = batch()
        swapped.tokens["anat"] = swapped.tokens["anat"].flip(1)
        logits = [made.expert_logits(one)[:2, 0] for one in (said, swapped)]
        assert torch.allclose(*logits, atol=1e-5) != told
