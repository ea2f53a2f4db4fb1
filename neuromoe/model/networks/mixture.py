"""A member of `neuromoe`: transformer experts that add to linear ones, and a gate that follows the scans' quality.

Axis letters: B batch, M modality (expert), T token, F voxels of a patch or encoded clinical features, D width, R rank,
Q quality number, K class.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from neuromoe.cohort.cohort import CLINICAL
from neuromoe.core.errors import settings_error
from neuromoe.model.networks.encoders import SIZE, ByName, Encoder
from neuromoe.model.networks.experts import ClinicalNetwork, stack_experts
from neuromoe.model.networks.learner import Batch
from neuromoe.model.networks.losses import masked_log_gate
from neuromoe.model.networks.training import TrainerSettings

GATES = ("uniform", "quality", "linear", "mlp")


@dataclass(frozen=True)
class NeuroMoESettings(TrainerSettings):
    """Settings of `neuromoe`; beside them those of `TrainerSettings`.

    Parameters
    ----------
    width, layers, heads, widening : int
        Size of the encoders: width of a token, transformer layers, attention heads, feed-forward width over `width`.
    rank : int
        Numbers per token that are read out place by place.
    dropout : float
        In encoders, experts and gate.
    linear : bool
        Let each expert start from ridge regression on its voxels, solved in closed form.
    folds : int
        Members, each trained without one part of the people; 1 trains a single one and sets `validation_share` aside.
    validation_share : float
        Of the training people, set aside where `folds` is 1.
    gate : str
        `uniform`; `quality`: a slope on the scans' quality numbers; `linear`, `mlp`: besides, of the clinical features.
    gate_width : int
        Of the hidden layer of `mlp`.
    auxiliary : float
        Weight of the experts' own losses beside the mixture's.
    balance : float
        Weight of R_balance.
    balance_correction : bool
        Take the batch's own variance off R_balance.
    modality_dropout : float
        Chance that the gate of a training step leaves a modality out; never all of a person's.
    noise, intensity : float
        Augmentation: deviation of noise added to a voxel, and of a scan's factor and offset; 1 is a voxel's deviation.
    shift, elastic : float
        Augmentation: deviation of a shift along each axis, and of a smooth deformation, in voxels of the tensor grid.
    flip : bool
        Augmentation: mirror left and right every other time.
    bias_prior, slope_prior : float
        Precision of the normal priors of the final gate.
    pretrained : str
        Folder of pretrained encoders that every member starts from, see `neuromoe.model.pretraining`; empty for none.
    """

    epochs: int = 20
    batch_size: int = 16
    patience: int = 6
    learning_rate: float = 1e-3
    weight_decay: float = 3e-2
    width: int = 32
    layers: int = 2
    heads: int = 2
    widening: int = 2
    rank: int = 4
    dropout: float = 0.3
    linear: bool = True
    folds: int = 5
    validation_share: float = 0.2
    gate: str = "quality"
    gate_width: int = 16
    auxiliary: float = 0.5
    balance: float = 0.0
    balance_correction: bool = True
    modality_dropout: float = 0.1
    noise: float = 0.0
    intensity: float = 0.0
    shift: float = 0.0
    elastic: float = 0.0
    flip: bool = False
    bias_prior: float = 1.0
    slope_prior: float = 4.0
    pretrained: str = ""

    def __post_init__(self) -> None:
        if self.width % self.heads or self.width < 6 or self.gate not in GATES:
            raise settings_error(
                self, expected=f"a width from 6 that the heads divide, a gate of {', '.join(GATES)}", of="neuromoe"
            )


class MapExpert(nn.Module):
    """An encoder, read out twice: by the mean of its tokens, and place by place.

    The first sees what is anywhere, the second what lies at fixed places: its weights (T, R, K) act on R numbers of
    each token. Both end in zeros, so that an expert starts with nothing to add to the linear one.

    Parameters
    ----------
    features : int
        Voxels of a patch over all channels.
    places_T3 : tensor (T, 3)
        Where the patches lie.
    classes : int
        How many logits.
    rank : int
        Numbers per token that are read out by place.
    size : mapping
        Of the encoder: width, layers, heads, widening, dropout.
    """

    def __init__(self, features: int, places_T3: Tensor, classes: int, *, rank: int, size: Mapping[str, Any]) -> None:
        super().__init__()
        width, dropout = size["width"], size["dropout"]
        self.encoder = Encoder(features, places_T3, **size)
        self.anywhere = nn.Sequential(
            nn.Linear(width, width), nn.GELU(), nn.Dropout(dropout), _silent(nn.Linear(width, classes))
        )
        self.narrow, self.dropout = nn.Linear(width, rank), nn.Dropout(dropout)
        self.by_place = nn.Parameter(torch.zeros(len(places_T3), rank, classes))

    def forward(self, tokens_BTF: Tensor) -> Tensor:
        """Return what is to be added to the linear expert's logits (B, K)."""
        x_BTD = self.encoder.tokens(tokens_BTF)
        x_BTR = self.dropout(self.narrow(x_BTD)) / len(self.by_place) ** 0.5
        return self.anywhere(x_BTD.mean(dim=1)) + torch.einsum("btr,trk->bk", x_BTR, self.by_place)


class ClinicalExpert(nn.Module):
    """The fully connected network of clinical and serum features, ending in zeros."""

    def __init__(self, features: int, classes: int, *, width: int, dropout: float) -> None:
        super().__init__()
        self.network = ClinicalNetwork(max(features, 1), width=width, dropout=dropout)
        self.last = _silent(nn.Linear(width, classes))

    def forward(self, clinical_BF: Tensor) -> Tensor:
        """Return what is to be added to the linear expert's logits (B, K)."""
        return self.last(self.network(clinical_BF))


class QualityGate(nn.Module):
    """Logits of the experts' weights.

    Parameters
    ----------
    kind : str
        `uniform`: none. `quality`: a bias per expert and one slope, shared by all, on each scan's own quality numbers,
        so that what is learned of one modality serves the others. `linear`, `mlp`: besides, a linear map or two layers
        of the clinical features.
    clinical, experts, quality : int
        Encoded clinical features; experts; quality numbers.
    width : int
        Of the hidden layer.
    dropout : float
        Share of hidden units left out in training.
    """

    def __init__(self, kind: str, clinical: int, experts: int, quality: int, *, width: int, dropout: float) -> None:
        super().__init__()
        self.kind = kind
        self.bias, self.slope = nn.Parameter(torch.zeros(experts)), nn.Parameter(torch.zeros(quality))
        self.clinical: nn.Module | None = None
        if kind == "linear" and clinical:
            self.clinical = _silent(nn.Linear(clinical, experts))
        if kind == "mlp" and clinical:
            self.clinical = nn.Sequential(
                nn.Linear(clinical, width), nn.ReLU(), nn.Dropout(dropout), _silent(nn.Linear(width, experts))
            )

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits (B, M)."""
        if self.kind == "uniform":
            return torch.zeros(batch.present.shape, device=batch.present.device)
        return self.bias + batch.quality @ self.slope + self.by_clinical(batch.clinical)

    def by_clinical(self, clinical_BF: Tensor) -> Tensor:
        """Return the part (B, M) that the clinical features decide."""
        if self.clinical is None:
            return torch.zeros((len(clinical_BF), len(self.bias)), device=clinical_BF.device)
        return self.clinical(clinical_BF)


def _silent(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class MixtureNetwork(nn.Module):
    """Experts and gate.

    Parameters
    ----------
    features : mapping of str to int
        Each imaging modality's voxels per patch over all channels.
    places_T3 : tensor (T, 3)
        Where the patches lie.
    clinical : int or None
        Encoded clinical features; None where the cohort has none, and so no clinical expert.
    quality : int
        Encoded quality numbers.
    classes : int
        How many.
    settings : NeuroMoESettings
    """

    def __init__(
        self,
        features: Mapping[str, int],
        places_T3: Tensor,
        clinical: int | None,
        quality: int,
        classes: int,
        settings: NeuroMoESettings,
    ) -> None:
        super().__init__()
        s = settings
        size = {name: getattr(s, name) for name in SIZE}
        self.experts = ByName(
            {name: MapExpert(count, places_T3, classes, rank=s.rank, size=size) for name, count in features.items()}
        )
        self.names = list(features)
        if clinical is not None:
            self.names.append(CLINICAL)
            self.experts[CLINICAL] = ClinicalExpert(clinical, classes, width=s.width, dropout=s.dropout)
        self.gate = QualityGate(s.gate, clinical or 0, len(self.names), quality, width=s.gate_width, dropout=s.dropout)
        self.register_buffer("places", places_T3, persistent=False)
        self.classes = classes

    @property
    def encoders(self) -> dict[str, nn.Module]:
        """The encoder of each imaging modality."""
        experts: dict[str, Any] = dict(self.experts.items())
        return {name: expert.encoder for name, expert in experts.items() if name != CLINICAL}

    def fast(self) -> list[nn.Parameter]:
        """Return what is trained at ten times the rate: few numbers that start at zero."""
        return [self.gate.bias, self.gate.slope]

    def log_gate(self, batch: Batch, present_BM: Tensor) -> Tensor:
        """Return the logarithm of the experts' weights (B, M), minus infinity where absent."""
        return masked_log_gate(self.gate(batch), present_BM)

    def additions(self, batch: Batch) -> Tensor:
        """Return what each expert adds to the linear one's logits (B, M, K), zero where the modality is absent."""
        return stack_experts(batch, self.names, self.classes, lambda name, read: self.experts[name](read))
