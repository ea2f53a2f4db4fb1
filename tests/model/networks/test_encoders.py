"""The encoder of one modality."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from neuromoe.model.networks.encoders import Encoder, Layer, Linear, position_code, transformer


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def places(count: int) -> torch.Tensor:
    return torch.stack([torch.arange(count), torch.arange(count) % 3, torch.zeros(count, dtype=torch.long)], dim=1)


def test_positions_are_told_apart_along_every_axis() -> None:
    code = position_code(torch.tensor(np.argwhere(np.ones((4, 5, 6)))), 32)
    distances = torch.cdist(code, code) + 10 * torch.eye(len(code))
    assert code.shape == (120, 32) and distances.min() > 0.1


def test_encoder_sees_where_a_patch_lies() -> None:
    cube = torch.tensor(np.argwhere(np.ones((3, 3, 3))))
    encoder = Encoder(4, cube, width=12, layers=1, heads=2, widening=2, dropout=0.0).eval()
    tokens = torch.randn(1, 27, 4)
    assert not torch.allclose(encoder(tokens), encoder(tokens.flip(1)), atol=1e-4)


def test_only_gains_let_the_mean_of_tokens_tell_where_a_patch_lies_without_layers() -> None:
    cube = torch.tensor(np.argwhere(np.ones((3, 3, 3))))
    size = {"width": 12, "layers": 0, "heads": 2, "widening": 2, "dropout": 0.0, "norm": False}
    tokens = torch.randn(1, 27, 4)
    for positions, blind in (("add", True), ("gain", False)):
        encoder = Encoder(4, cube, positions=positions, **size)
        assert torch.allclose(encoder(tokens), encoder(tokens.flip(1)), atol=1e-5) == blind


def test_a_layer_begins_by_changing_as_little_as_it_is_told() -> None:
    changes, x = [], torch.randn(2, 7, 12)
    for start in (0.0, 0.01, 1.0):
        torch.manual_seed(1)
        layers = transformer(1, width=12, heads=3, widening=2, dropout=0.0, start=start)
        with torch.no_grad():
            changes.append(float((layers(x) - x).norm()))
    assert changes[0] == 0 and changes[2] > 0.1 and changes[1] == pytest.approx(0.01 * changes[2], rel=0.1)


def test_a_linear_layer_is_torchs_forward_and_backward() -> None:
    ours, theirs, x = Linear(5, 3), nn.Linear(5, 3), torch.randn(2, 4, 5)
    theirs.load_state_dict(ours.state_dict())
    for layer in (ours, theirs):
        layer(x).square().sum().backward()
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, theirs.get_parameter(name).grad)


def test_a_layer_is_attention_and_network_as_written_down() -> None:
    """The same from softmax(q k' / sqrt(d)) v, head by head."""
    layer, x = Layer(12, 3, widening=2, dropout=0.0), torch.randn(2, 7, 12)
    queries, keys, values = functional.linear(layer.before_attention(x), layer.projections.weight).split(12, dim=2)
    heads = []
    for h in range(3):
        q, k, v = (part[:, :, 4 * h : 4 * h + 4] for part in (queries, keys, values))
        heads.append((q @ k.transpose(1, 2) / 2).softmax(dim=2) @ v)
    x_after = x + layer.joined(torch.cat(heads, dim=2))
    torch.testing.assert_close(layer(x), x_after + layer.network(layer.before_network(x_after)))


def test_the_embedding_is_the_mean_of_normalised_tokens() -> None:
    encoder = Encoder(8, places(10), width=12, layers=2, heads=2, widening=2, dropout=0.0)
    patches = torch.randn(3, 10, 8)
    tokens = encoder.tokens(patches)
    assert tokens.shape == (3, 10, 12)
    torch.testing.assert_close(encoder(patches), tokens.mean(dim=1))
    torch.testing.assert_close(tokens.mean(dim=2), torch.zeros(3, 10), atol=1e-5, rtol=0)


def test_the_encoder_runs_in_bfloat16() -> None:
    encoder = Encoder(8, places(10), width=12, layers=1, heads=2, widening=2, dropout=0.0)
    patches = torch.randn(3, 10, 8)
    with torch.autocast("cpu", torch.bfloat16):
        embedding = encoder(patches)
    embedding.float().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in encoder.parameters())
    # bfloat16 keeps 8 bits; the embedding is a mean of values of size 1.
    torch.testing.assert_close(embedding.float(), encoder(patches), atol=0.03, rtol=0)
