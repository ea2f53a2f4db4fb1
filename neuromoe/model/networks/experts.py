"""The expert predictors: from one modality's embedding to the classes.

Axis letters: B batch, M modality (expert), D width, F encoded clinical features, K class.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from neuromoe.cohort.cohort import CLINICAL
from neuromoe.model.networks.learner import Batch


def stack_experts(batch: Batch, names: Sequence[str], classes: int, say: Callable[[str, Tensor], Tensor]) -> Tensor:
    """Ask each expert of those who have its modality.

    Parameters
    ----------
    batch : Batch
    names : sequence of str
        The experts, columns of the batch's `present`.
    classes : int
        How many logits.
    say : function
        From a name and what its expert reads to logits (B present, K).

    Returns
    -------
    tensor (B, M, K), float32
        Zeros where the modality is absent.
    """
    columns = []
    for column, name in enumerate(names):
        logits_BK = torch.zeros((len(batch.present), classes), device=batch.present.device)
        there = batch.present[:, column].nonzero()[:, 0]
        if len(there):
            read = batch.clinical[there] if name == CLINICAL else batch.tokens[name]
            logits_BK = logits_BK.index_put((there,), say(name, read).float())
        columns.append(logits_BK)
    return torch.stack(columns, dim=1)


class Expert(nn.Module):
    """One hidden layer on a modality's embedding.

    Parameters
    ----------
    width : int
        Of the embedding and the hidden layer.
    classes : int
        How many logits.
    dropout : float
        Share of hidden units left out in training.
    """

    def __init__(self, width: int, classes: int, *, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, classes))

    def forward(self, embedding_BD: Tensor) -> Tensor:
        """Return the logits (B, K)."""
        return self.layers(embedding_BD)


class ClinicalNetwork(nn.Module):
    """The fully connected network that clinical and serum features share.

    Parameters
    ----------
    features : int
        Encoded clinical features.
    width : int
        Of both layers.
    dropout : float
        Share of hidden units left out in training; the paper's is 0.3.
    """

    def __init__(self, features: int, *, width: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(features, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, width), nn.ReLU()
        )

    def forward(self, clinical_BF: Tensor) -> Tensor:
        """Return the embedding (B, D)."""
        return self.layers(clinical_BF)
