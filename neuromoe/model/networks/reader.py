"""What the networks read of people, batch by batch.

Axis letters: N people, B batch, M modality, T token, F voxels of a patch or encoded clinical features, Q quality
number, K class.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from numpy.typing import NDArray
from torch import Tensor

from neuromoe.cohort.loading import PatchDataset
from neuromoe.model.kernels.maps import pull
from neuromoe.model.networks.learner import Batch


def near_tokens(tokens_BTF: Tensor, mean: NDArray, limit: NDArray, factor: float) -> Tensor:
    """Return patches less the mean map, none further from it than the limit, times a factor; in place where they can.

    Parameters
    ----------
    tokens_BTF : tensor (B, T, F)
        Of several people, on the CPU.
    mean : array, float32
        As many values as a person's patches.
    limit : array (1,)
        Distance from the mean map beyond which a map is read as if it lay there.
    factor : float
        One over the deviation of a voxel.
    """
    mean_TF = torch.from_numpy(mean).view(tokens_BTF.shape[1:])
    near_BF = pull(tokens_BTF.sub_(mean_TF).flatten(1).numpy(), float(limit[0]))
    return torch.from_numpy(near_BF).view_as(tokens_BTF).mul_(factor)


# A class and no closure, which a worker that is not forked could not be sent.
@dataclass(frozen=True, eq=False)
class Reader:
    """Read batches of people.

    Parameters
    ----------
    patches : PatchDataset
        Of the people 0..n-1.
    tokens : function
        From `patches`, a modality and rows (B,) of people who have it to their patches (B, T, F).
    modalities : sequence of str
        Columns of `present`; those that `patches` does not know have no patches.
    present : array (N, M), bool
        Who has what.
    clinical : tensor (N, F)
        Encoded clinical features.
    targets : tensor (N,), int
        Columns of the classes.
    quality : tensor (N, M, Q)
        Encoded quality numbers.
    base : tensor (N, M, K)
        What linear experts say.
    patch : int
        Side of a patch, voxels.
    """

    patches: PatchDataset
    tokens: Callable[[PatchDataset, str, NDArray], Tensor]
    modalities: Sequence[str]
    present: NDArray
    clinical: Tensor
    targets: Tensor
    quality: Tensor
    base: Tensor
    patch: int

    def __call__(self, rows: NDArray) -> Batch:
        """Read people by rows (B,)."""
        present_BM, tokens = self.present[rows], {}
        for column, name in enumerate(self.modalities):
            if name in self.patches.rows and present_BM[:, column].any():
                tokens[name] = self.tokens(self.patches, name, rows[present_BM[:, column]])
        return Batch(
            torch.from_numpy(rows),
            tokens,
            self.clinical[rows],
            torch.from_numpy(present_BM),
            self.targets[rows],
            self.quality[rows],
            self.base[rows],
            self.patch,
        )
