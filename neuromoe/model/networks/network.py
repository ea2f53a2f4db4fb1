"""One network with options: an encoder and an expert for each modality, and a gate on the clinical features.

Axis letters: B batch, M modality, E expert, C channel, T token, F voxels of a patch or encoded clinical features, D
width, R rank, K class.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from neuromoe.cohort.cohort import CLINICAL
from neuromoe.model.networks.encoders import SIZE, ByName, Encoder, transformer
from neuromoe.model.networks.learner import Batch
from neuromoe.model.networks.losses import masked_log_gate

JOINT = "joint"


def _predictor(width: int, classes: int, dropout: float) -> nn.Sequential:
    """One hidden layer on an embedding."""
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, classes))


class MapExpert(nn.Module):
    """An encoder of one modality, read out by the mean of its tokens, place by place, or both.

    The mean sees what is anywhere, unless positions gate the tokens; by place, weights (T, R, K) act on R numbers of
    each token. Both are multiplied so that their size does not hang on the number of tokens.

    Parameters
    ----------
    features : int
        Voxels of a patch over all channels.
    places_T3 : tensor (T, 3)
        Where the patches lie.
    classes : int
        How many logits.
    settings : NeuroMoESettings
    """

    relevance: Tensor

    def __init__(self, features: int, places_T3: Tensor, classes: int, settings: Any) -> None:
        super().__init__()
        s, self.root = settings, len(places_T3) ** 0.5
        size = {name: getattr(s, name) for name in SIZE}
        self.encoder = Encoder(features, places_T3, positions=s.positions, start=s.layer_start, norm=False, **size)
        self.register_buffer("relevance", torch.ones(features))
        self.dropout = nn.Dropout(s.dropout)
        self.predictor = _predictor(s.width, classes, s.dropout) if s.readout != "places" else None
        self.narrow = nn.Linear(s.width, s.rank) if s.readout != "mean" else None
        if self.narrow is not None:
            self.by_place = nn.Parameter(torch.zeros(len(places_T3), s.rank, classes))

    def forward(self, tokens_BTF: Tensor) -> Tensor:
        """Return the logits (B, K)."""
        x_BTD = self.encoder.tokens(tokens_BTF * self.relevance)
        said = []
        if self.predictor is not None:
            said.append(self.predictor(x_BTD.mean(dim=1) * self.root))
        if self.narrow is not None:
            x_BTR = self.dropout(self.narrow(x_BTD)) / self.root
            said.append(torch.einsum("btr,trk->bk", x_BTR, self.by_place))
        return torch.stack(said).sum(dim=0)

    def fast(self) -> list[nn.Parameter]:
        """Return what is trained at ten times the rate: numbers of a single place."""
        return [*([] if self.encoder.gain is None else [self.encoder.gain]), *([self.by_place] if self.narrow else [])]


class ClinicalExpert(nn.Module):
    """The fully connected network of clinical and serum features, and its expert.

    Parameters
    ----------
    features, classes : int
        Encoded clinical features; logits.
    width : int
        Of all layers.
    dropout : float
        Share of hidden units left out in training; the paper's is 0.3.
    """

    def __init__(self, features: int, classes: int, *, width: int, dropout: float) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Linear(max(features, 1), width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, width), nn.ReLU()
        )
        self.predictor = _predictor(width, classes, dropout)

    def forward(self, clinical_BF: Tensor) -> Tensor:
        """Return the logits (B, K)."""
        return self.predictor(self.network(clinical_BF))

    def fast(self) -> list[nn.Parameter]:
        """Return nothing."""
        return []


class JointExpert(nn.Module):
    """One transformer over the tokens of all modalities, for what only several of them show together.

    Parameters
    ----------
    features : mapping of str to int
        Voxels of a patch over all channels, of each imaging modality; its patches are embedded anew.
    places_T3 : tensor (T, 3)
    classes : int
    settings : NeuroMoESettings
    """

    def __init__(self, features: Mapping[str, int], places_T3: Tensor, classes: int, settings: Any) -> None:
        super().__init__()
        s, self.names, self.root = settings, list(features), len(places_T3) ** 0.5
        size = {"width": s.width, "heads": s.heads, "widening": s.widening, "dropout": s.dropout}
        alone = {"positions": "gain", "start": s.layer_start, "norm": False, "layers": 0, **size}
        self.embeddings = ByName({name: Encoder(count, places_T3, **alone) for name, count in features.items()})
        self.layers = transformer(s.layers, start=s.layer_start, **size)
        self.predictor = _predictor(len(features) * s.width, classes, s.dropout)

    def forward(self, batch: Batch, relevance: Mapping[str, Tensor]) -> Tensor:
        """Return the logits (B, K); a modality that a person lacks is zeros, as if the mean map stood there."""
        parts = []
        for column, name in enumerate(self.names):
            embedding: Any = self.embeddings[name]
            x_BTD = torch.zeros((len(batch.present), *embedding.code.shape), device=batch.present.device)
            there = batch.present[:, column].nonzero()[:, 0]
            if len(there):
                found = embedding.tokens(batch.tokens[name] * relevance[name]).to(x_BTD.dtype)
                x_BTD = x_BTD.index_put((there,), found)
            parts.append(x_BTD)
        mixed = self.layers(torch.cat(parts, dim=1))
        pooled_BD = torch.cat([part.mean(dim=1) for part in mixed.chunk(len(self.names), dim=1)], dim=1)
        return self.predictor(pooled_BD * self.root)

    def fast(self) -> list[nn.Parameter]:
        """Return what is trained at ten times the rate."""
        embeddings: Any = self.embeddings.values()
        return [embedding.gain for embedding in embeddings]


class Gate(nn.Module):
    """From clinical and serum features to one weight per expert: two layers with ReLU and dropout between.

    The softmax comes with the mask, in `losses.masked_log_gate`.

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
        """Return the logits (B, E)."""
        if not self.features:
            clinical_BF = torch.ones((len(clinical_BF), 1), device=clinical_BF.device)
        return self.layers(clinical_BF)


class Network(nn.Module):
    """Experts and gate.

    Parameters
    ----------
    features : mapping of str to int
        Each imaging modality's voxels per patch over all channels.
    places_T3 : tensor (T, 3)
        Where the patches lie.
    clinical : int or None
        Encoded clinical features; None where the cohort has none, and so no clinical expert.
    classes : int
        How many.
    settings : NeuroMoESettings
    """

    def __init__(
        self, features: Mapping[str, int], places_T3: Tensor, clinical: int | None, classes: int, settings: Any
    ) -> None:
        super().__init__()
        s, self.classes, self.names = settings, classes, list(features)
        self.experts = ByName({name: MapExpert(count, places_T3, classes, s) for name, count in features.items()})
        if clinical is not None:
            self.names.append(CLINICAL)
            self.experts[CLINICAL] = ClinicalExpert(
                clinical, classes, width=s.clinical_width, dropout=s.clinical_dropout
            )
        self.joint = JointExpert(features, places_T3, classes, s) if s.joint and features else None
        count, self.gated = len(self.names) + (self.joint is not None), s.gate != "uniform"
        self.gate = None
        if s.training == "mixture":
            self.gate = Gate(clinical or 0, count, width=s.gate_width, dropout=s.gate_dropout)

    def fast(self) -> list[nn.Parameter]:
        """Return what is trained at ten times the rate."""
        experts: Any = [*self.experts.values(), *([] if self.joint is None else [self.joint])]
        return [value for expert in experts for value in expert.fast()]

    def there(self, present_BM: Tensor) -> Tensor:
        """Tell which experts have something to read (B, E); the joint one, the last, reads all maps."""
        if self.joint is None:
            return present_BM
        maps = [column for column, name in enumerate(self.names) if name != CLINICAL]
        return torch.cat([present_BM, present_BM[:, maps].any(dim=1, keepdim=True)], dim=1)

    def log_gate(self, clinical_BF: Tensor, there_BE: Tensor) -> Tensor:
        """Return the logarithm of the experts' weights (B, E), minus infinity where absent; without a gate, equal."""
        if self.gate is None or not self.gated:
            return masked_log_gate(torch.zeros(there_BE.shape, device=there_BE.device), there_BE)
        return masked_log_gate(self.gate(clinical_BF), there_BE)

    def expert_logits(self, batch: Batch) -> Tensor:
        """Return each expert's logits (B, E, K), float32, zero where it has nothing to read."""
        columns, count = [], len(batch.present)
        for column, name in enumerate(self.names):
            there = batch.present[:, column].nonzero()[:, 0]
            columns.append(self._spread(self._ask(name, batch, there) if len(there) else None, there, count))
        if self.joint is not None:
            there = self.there(batch.present)[:, -1].nonzero()[:, 0]
            experts: Any = self.experts
            relevance = {name: experts[name].relevance for name in self.joint.names}
            said = self.joint(batch, relevance)[there] if len(there) else None
            columns.append(self._spread(said, there, count))
        return torch.stack(columns, dim=1)

    def _ask(self, name: str, batch: Batch, there: Tensor) -> Tensor:
        return self.experts[name](batch.clinical[there] if name == CLINICAL else batch.tokens[name])

    def _spread(self, said_nK: Tensor | None, there: Tensor, count: int) -> Tensor:
        logits_BK = torch.zeros((count, self.classes), device=there.device)
        return logits_BK if said_nK is None else logits_BK.index_put((there,), said_nK.float())
