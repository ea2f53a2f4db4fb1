"""The network that learns from maps alone: it is shown some patches of a scan and says what the others hold.

Axis letters: B batch, T token, V visible tokens, H hidden tokens, F voxels of a patch over all channels, D width.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from neuromoe.model.networks.encoders import ByName, Encoder, Layer, Linear
from neuromoe.model.networks.learner import Batch


class MaskedScan(nn.Module):
    """The encoder of one modality, and a decoder of one layer that is thrown away afterwards.

    Parameters
    ----------
    features : int
        Voxels of a patch over all channels.
    places_T3 : tensor (T, 3)
        Where the patches lie.
    size : mapping
        Of the encoder: width, layers, heads, widening, dropout.
    """

    def __init__(self, features: int, places_T3: Tensor, *, size: Mapping[str, Any]) -> None:
        super().__init__()
        width = size["width"]
        self.encoder = Encoder(features, places_T3, **size)
        self.shown, self.hidden = Linear(width, width), nn.Parameter(torch.zeros(width))
        self.decoder = Layer(width, size["heads"], widening=size["widening"], dropout=size["dropout"])
        self.said = nn.Sequential(nn.LayerNorm(width), Linear(width, features))

    def errors(self, tokens_BTF: Tensor, order_BT: Tensor, shown: int) -> tuple[Tensor, Tensor]:
        """Return squared errors of the hidden patches, and the squares of these patches, each summed per scan (B,).

        Parameters
        ----------
        tokens_BTF : tensor (B, T, F)
            Less the mean map.
        order_BT : tensor (B, T), int
            Tokens of each scan in the order of a draw.
        shown : int
            How many of them, from the first, the encoder sees.
        """
        visible_BV, hidden_BH = order_BT[:, :shown], order_BT[:, shown:]
        code_TD = self.encoder.code
        seen_BVD = self.shown(self.encoder.tokens(_pick(tokens_BTF, visible_BV), visible_BV)) + code_TD[visible_BV]
        both_BTD = self.decoder(torch.cat([seen_BVD, self.hidden + code_TD[hidden_BH]], dim=1))
        wanted_BHF = _pick(tokens_BTF, hidden_BH)
        wrong_BHF = self.said(both_BTD[:, shown:]) - wanted_BHF
        return wrong_BHF.square().sum(dim=(1, 2)), wanted_BHF.square().sum(dim=(1, 2))


class MaskedScans(nn.Module):
    """One `MaskedScan` per modality.

    Parameters
    ----------
    features : mapping of str to int
        Each modality's voxels per patch over all channels.
    places_T3 : tensor (T, 3)
        Where the patches lie.
    hidden : float
        Share of the patches that is hidden.
    size : mapping
        Of the encoders.
    """

    def __init__(self, features: Mapping[str, int], places_T3: Tensor, *, hidden: float, size: Mapping[str, Any]):
        super().__init__()
        self.scans = ByName({name: MaskedScan(count, places_T3, size=size) for name, count in features.items()})
        self.names, self.count = list(features), len(places_T3)
        self.shown = min(max(round((1 - hidden) * self.count), 1), self.count - 1)

    def errors(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        """Return what `MaskedScan.errors` does, per modality that somebody of the batch has."""
        scans: Any = self.scans
        found = {}
        for column, name in enumerate(self.names):
            if name in batch.tokens:
                order_BT = self._order(batch.rows[batch.present[:, column]])
                found[name] = scans[name].errors(batch.tokens[name], order_BT, self.shown)
        return found

    def _order(self, rows_B: Tensor) -> Tensor:
        """Draw the order of the tokens (B, T); out of training, a person's is the same each time."""
        if self.training:
            return torch.rand((len(rows_B), self.count), device=rows_B.device).argsort(dim=1)
        drawn = [torch.randperm(self.count, generator=torch.Generator().manual_seed(row)) for row in rows_B.tolist()]
        return torch.stack(drawn).to(rows_B.device)


def masked_loss(
    member: Any, batch: Batch, _weights: Tensor, _total: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Return each person's squared error of a hidden voxel (B,), the mean over the modalities, and no penalty."""
    loss_B = batch.base.new_zeros(len(batch.rows))
    for name, (wrong_b, _) in member.errors(batch).items():
        voxels = (member.count - member.shown) * batch.tokens[name].shape[2]
        there = batch.present[:, member.names.index(name)]
        loss_B = loss_B.index_add(0, there.nonzero()[:, 0], (wrong_b / voxels).to(loss_B.dtype))
    return loss_B / batch.present.sum(dim=1).clamp(min=1), loss_B.new_zeros(())


def _pick(tokens_BTF: Tensor, chosen_BV: Tensor) -> Tensor:
    return tokens_BTF.gather(1, chosen_BV[:, :, None].expand(-1, -1, tokens_BTF.shape[2]))
