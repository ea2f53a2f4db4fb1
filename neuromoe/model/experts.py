"""The expert predictors: from one modality's embedding to the classes.

Axis letters: B batch, D width, F encoded clinical features.
"""

from torch import Tensor, nn


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
