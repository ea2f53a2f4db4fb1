"""The gate: from clinical and serum features to one weight per expert.

Axis letters: B batch, F encoded clinical features, M modality (expert).
"""

import torch
from torch import Tensor, nn


class Gate(nn.Module):
    """Two layers with ReLU and dropout between; the softmax comes with the mask, in `losses.masked_log_gate`.

    Parameters
    ----------
    features : int
        Encoded clinical features; with none, the gate learns one set of weights for everybody.
    experts : int
        How many weights.
    width : int
        Of the hidden layer.
    dropout : float
        Share of hidden units left out in training.
    """

    def __init__(self, features: int, experts: int, *, width: int, dropout: float) -> None:
        super().__init__()
        self.features = features
        self.layers = nn.Sequential(
            nn.Linear(max(features, 1), width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, experts)
        )

    def forward(self, clinical_BF: Tensor) -> Tensor:
        """Return the logits (B, M)."""
        if not self.features:
            clinical_BF = torch.ones((len(clinical_BF), 1), device=clinical_BF.device)
        return self.layers(clinical_BF)
