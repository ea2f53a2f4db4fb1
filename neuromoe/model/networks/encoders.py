"""The encoder of one MRI modality: a transformer over 4x4x4-voxel patches.

Axis letters: B batch, T token (patch), F voxels of a patch over all channels, D width, H head.
"""

from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

# What the size of an encoder is given by, in the settings of the networks too.
SIZE = ("width", "layers", "heads", "widening", "dropout")


def position_code(places_T3: Tensor, width: int) -> Tensor:
    """Encode places on the patch grid by sines and cosines, a third of the width per axis.

    Parameters
    ----------
    places_T3 : tensor (T, 3)
        Places, in patches.
    width : int
        At least 6; what is left over of a division by 6 stays 0.

    Returns
    -------
    tensor (T, D), float32

    References
    ----------
    Vaswani A et al. 2017, doi:10.48550/arXiv.1706.03762, section 3.5; here for three axes. The wavelengths
    run to 64 patches, since a brain is some tens of patches wide.
    """
    waves = width // 6
    rates = 2 * torch.pi / 64 ** (torch.arange(1, waves + 1) / waves)
    angles = places_T3.float()[:, :, None] * rates
    code = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
    return functional.pad(code, (0, width - code.shape[1]))


class Linear(nn.Linear):
    """A linear layer that adds its bias after the matrix product.

    On a CPU the product with a bias first copies it into every row of the result, which costs more than the addition.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output, as `torch.nn.Linear` does."""
        return super().forward(x) if x.is_cuda else functional.linear(x, self.weight).add_(self.bias)


class ByName(nn.ModuleDict):
    """Modules by name; `type`, `values` and other methods of torch's own are names like all others here."""

    def add_module(self, name: str, module: Any) -> None:
        """Add a module, or put it in another's place."""
        self._modules[name] = module


class Layer(nn.Module):
    """Multi-head self-attention, then a feed-forward network, each after a layer norm and beside a short cut.

    Queries, keys and values have no bias of their own; that of the layer norm before them reaches all three.

    Parameters
    ----------
    width, heads : int
        Of the tokens; how many attention heads share it.
    widening : int
        Hidden width of the feed-forward network over `width`.
    dropout : float
        Share left out of both branches in training.
    """

    def __init__(self, width: int, heads: int, *, widening: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_network = nn.LayerNorm(width), nn.LayerNorm(width)
        self.projections, self.joined = nn.Linear(width, 3 * width, bias=False), Linear(width, width)
        self.network = nn.Sequential(Linear(width, widening * width), nn.GELU(), Linear(widening * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Return the tokens after attention and feed-forward network (B, T, D)."""
        x_BTD = x_BTD + self.dropout(self._attend(self.before_attention(x_BTD)))
        return x_BTD + self.dropout(self.network(self.before_network(x_BTD)))

    def _attend(self, x_BTD: Tensor) -> Tensor:
        batch, tokens, width = x_BTD.shape
        # Parted along the width, so that their gradients are joined again in one copy.
        queries_BHTD, keys_BHTD, values_BHTD = (
            part_BTD.view(batch, tokens, self.heads, -1).transpose(1, 2)
            for part_BTD in self.projections(x_BTD).chunk(3, dim=-1)
        )
        mixed_BHTD = functional.scaled_dot_product_attention(queries_BHTD, keys_BHTD, values_BHTD)
        return self.joined(mixed_BHTD.transpose(1, 2).reshape(batch, tokens, width))


def transformer(layers: int, *, width: int, heads: int, widening: int, dropout: float, start: float) -> nn.Sequential:
    """Make layers whose branches begin at `start` times their usual size: near 0 they begin by changing nothing."""
    blocks = [Layer(width, heads, widening=widening, dropout=dropout) for _ in range(layers)]
    with torch.no_grad():
        for block in blocks:
            last: Any
            for last in (block.joined, block.network[-1]):
                last.weight.mul_(start)
                last.bias.mul_(start)
    return nn.Sequential(*blocks)


class Encoder(nn.Module):
    """Patches to one embedding: linear patch embedding, 3-D positions, layers, mean over tokens.

    Parameters
    ----------
    features : int
        Voxels of a patch over all channels.
    places_T3 : tensor (T, 3)
        Where the patches lie on the patch grid.
    width, layers, heads : int
        Size of the transformer.
    widening : int
        Hidden width of the feed-forward networks over `width`.
    dropout : float
        Share left out in training.
    positions : str
        `add`: a code of the place is added to each token. `gain`: besides, each number of a token is multiplied by one
        that is learned for its place, so that the mean over tokens can tell where something is.
    start : float
        Of the layers' branches, times their usual size.
    norm : bool
        Whether a layer norm comes last.
    """

    code: Tensor

    def __init__(
        self,
        features: int,
        places_T3: Tensor,
        *,
        width: int,
        layers: int,
        heads: int,
        widening: int,
        dropout: float,
        positions: str = "add",
        start: float = 1.0,
        norm: bool = True,
    ) -> None:
        super().__init__()
        self.embedding = Linear(features, width)
        self.gain = nn.Parameter(0.1 * torch.randn(len(places_T3), width)) if positions == "gain" else None
        self.register_buffer("code", position_code(places_T3, width), persistent=False)
        self.layers = transformer(layers, width=width, heads=heads, widening=widening, dropout=dropout, start=start)
        self.after = nn.LayerNorm(width) if norm else nn.Identity()

    def tokens(self, tokens_BTF: Tensor) -> Tensor:
        """Return the tokens after the last layer (B, T, D)."""
        x_BTD = self.embedding(tokens_BTF)
        x_BTD = x_BTD if self.gain is None else x_BTD * self.gain
        return self.after(self.layers(x_BTD + self.code))

    def forward(self, tokens_BTF: Tensor) -> Tensor:
        """Return the embedding (B, D), the mean of the tokens."""
        return self.tokens(tokens_BTF).mean(dim=1)
