import numpy as np
import torch

from neuromoe.model.encoders import Encoder, position_code


def test_positions_are_told_apart_along_every_axis():
    places = torch.tensor(np.argwhere(np.ones((4, 5, 6))))
    code = position_code(places, 32)
    distances = torch.cdist(code, code) + 10 * torch.eye(len(code))
    assert code.shape == (120, 32) and distances.min() > 0.1


def test_encoder_sees_where_a_patch_lies():
    torch.manual_seed(0)
    places = torch.tensor(np.argwhere(np.ones((3, 3, 3))))
    encoder = Encoder(4, places, width=12, layers=1, heads=2, widening=2, dropout=0.0).eval()
    tokens = torch.randn(1, 27, 4)
    assert not torch.allclose(encoder(tokens), encoder(tokens.flip(1)), atol=1e-4)
