"""What the networks read of people, batch by batch.

Axis letters: N people, B batch, M modality, C channel, T token, V voxels of a patch of one channel, F voxels of a patch
or encoded clinical features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from numpy.typing import NDArray
from torch import Tensor

from neuromoe.cohort.loading import PatchDataset
from neuromoe.model.networks.learner import Batch
from neuromoe.model.shared.maps import Frame


def near_tokens(tokens_BTF: Tensor, frame: Frame) -> Tensor:
    """Return patches less the mean map, a channel in deviations of its voxels, none further away than its limit.

    The patches (B, T, F), those that touch the brain, are on the CPU and are changed in place.
    """
    batch, tokens, _ = tokens_BTF.shape
    channels, voxels = frame.mean.shape
    x_BTCV = tokens_BTF.view(batch, tokens, channels, -1)
    x_BTCV.sub_(torch.from_numpy(frame.mean).view(channels, tokens, -1).transpose(0, 1))
    # In double precision: squares of large values go beyond float32.
    lengths_BC = torch.linalg.vector_norm(x_BTCV, dim=(1, 3), dtype=torch.float64).clamp_(min=1e-300)
    limit_C, scale_C = torch.from_numpy(frame.limit), torch.from_numpy(frame.scale)
    factor_BC = (limit_C / lengths_BC).clamp(max=1) * voxels**0.5 / scale_C
    return x_BTCV.mul_(factor_BC.float()[:, None, :, None]).view(tokens_BTF.shape)


# A class and no closure, which a worker that is not forked could not be sent.
@dataclass(frozen=True, eq=False)
class Reader:
    """Read batches of people.

    Parameters
    ----------
    patches : PatchDataset
        Of the people 0..n-1.
    frames : mapping of str to Frame
        Where the training people's maps lie, of each imaging modality that the network reads.
    modalities : sequence of str
        Columns of `present`.
    present : array (N, M), bool
        Who has what.
    clinical : tensor (N, F)
        Encoded clinical features.
    targets : tensor (N,), int
        Columns of the classes.
    """

    patches: PatchDataset
    frames: Mapping[str, Frame]
    modalities: Sequence[str]
    present: NDArray
    clinical: Tensor
    targets: Tensor

    def __call__(self, rows: NDArray) -> Batch:
        """Read people by rows (B,)."""
        present_BM, tokens = self.present[rows], {}
        for column, name in enumerate(self.modalities):
            if name in self.frames and name in self.patches.rows and present_BM[:, column].any():
                tokens[name] = self.tokens(name, rows[present_BM[:, column]])
        known = torch.from_numpy(rows), tokens, self.clinical[rows], torch.from_numpy(present_BM), self.targets[rows]
        return Batch(*known)

    def tokens(self, name: str, rows: NDArray) -> Tensor:
        """Read the patches (B, T, F) of people who have the modality."""
        return self.patches.spread(near_tokens(self.patches.read(name, rows), self.frames[name]))
