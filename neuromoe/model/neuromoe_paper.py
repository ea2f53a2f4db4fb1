"""The paper's network: an encoder and an expert per modality, mixed by a gate on the clinical features.

Axis letters: B batch, M modality (expert), T token, F voxels of a patch or encoded clinical features, K
class.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neuromoe.cohort.cohort import CLINICAL, Cohort
from neuromoe.cohort.loading import PatchDataset
from neuromoe.core.errors import InputError, settings_error
from neuromoe.model.kernels.linear import log_softmax
from neuromoe.model.networks.encoders import SIZE, ByName, Encoder
from neuromoe.model.networks.experts import ClinicalNetwork, Expert, stack_experts
from neuromoe.model.networks.gate import Gate
from neuromoe.model.networks.learner import Batch
from neuromoe.model.networks.losses import balance_penalty, masked_log_gate, mix, weighted_cross_entropy
from neuromoe.model.networks.network_model import NetworkModel
from neuromoe.model.networks.pretrained import Scaling, scaling_arrays
from neuromoe.model.networks.training import TrainerSettings

# A voxel beyond this would leave the range of float32 within the network.
_LARGEST = 1e6


@dataclass(frozen=True)
class PaperSettings(TrainerSettings):
    """Settings of `neuromoe-paper`; beside them those of `TrainerSettings`.

    Parameters
    ----------
    width, layers, heads, widening : int
        Size of the encoders: width of a token, transformer layers, attention heads, feed-forward width over
        `width`.
    dropout : float
        In the encoders and the MRI experts.
    clinical_width, clinical_dropout : int, float
        Of the fully connected network of clinical and serum features, and of its expert.
    gate_width, gate_dropout : int, float
        Of the gate's hidden layer.
    gate : str
        `clinical`: as in the paper; `uniform`: equal weights, the ablation without a gate.
    modalities : str
        Names, with commas, of what is used, or `all`: for ablations.
    tokens : str
        `brain`: patches that touch the brain; `grid`: all of the grid, as in the paper.
    balance : float
        Weight of R_balance, the paper's lambda.
    balance_correction : bool
        Take the batch's own variance off R_balance; false is the equation as printed.
    validation_share : float
        Of the training people, set aside to stop early where no validation people are given; 0 for none.
    pretrained : str
        Folder of pretrained encoders to start from, see `neuromoe.model.pretraining`; empty for none. Maps are then
        scaled as they were there.
    """

    width: int = 32
    layers: int = 2
    heads: int = 2
    widening: int = 2
    dropout: float = 0.3
    clinical_width: int = 32
    clinical_dropout: float = 0.3
    gate_width: int = 16
    gate_dropout: float = 0.3
    gate: str = "clinical"
    modalities: str = "all"
    tokens: str = "brain"
    balance: float = 0.1
    balance_correction: bool = False
    validation_share: float = 0.2
    pretrained: str = ""

    def __post_init__(self) -> None:
        right = self.width % self.heads == 0 and self.width >= 6
        named = self.tokens in ("brain", "grid") and self.gate in ("clinical", "uniform")
        if not right or not named:
            raise settings_error(
                self,
                expected="a width from 6 that the heads divide, tokens brain or grid, gate clinical or uniform",
                of="neuromoe-paper",
            )


class Network(nn.Module):
    """Encoders, experts and gate.

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
    settings : PaperSettings
        Sizes and dropout.
    """

    def __init__(
        self,
        features: Mapping[str, int],
        places_T3: Tensor,
        clinical: int | None,
        classes: int,
        settings: PaperSettings,
    ) -> None:
        super().__init__()
        s = settings
        size: dict[str, Any] = {name: getattr(s, name) for name in SIZE}
        self.encoders = ByName({name: Encoder(count, places_T3, **size) for name, count in features.items()})
        self.experts = ByName({name: Expert(s.width, classes, dropout=s.dropout) for name in features})
        self.names = list(features)
        if clinical is not None:
            self.names.append(CLINICAL)
            self.clinical = ClinicalNetwork(max(clinical, 1), width=s.clinical_width, dropout=s.clinical_dropout)
            self.experts[CLINICAL] = Expert(s.clinical_width, classes, dropout=s.clinical_dropout)
        self.gate = Gate(clinical or 0, len(self.names), width=s.gate_width, dropout=s.gate_dropout)
        self.gated, self.classes = s.gate == "clinical", classes

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the mixture's log probabilities (B, K) and the log gate (B, M)."""
        log_gate_BM = self.log_gate(batch.clinical, batch.present)
        return mix(log_gate_BM, self.expert_logits(batch)), log_gate_BM

    def log_gate(self, clinical_BF: Tensor, present_BM: Tensor) -> Tensor:
        """Return the logarithm of the experts' weights (B, M), minus infinity where absent."""
        logits_BM = self.gate(clinical_BF)
        return masked_log_gate(logits_BM if self.gated else torch.zeros_like(logits_BM), present_BM)

    def expert_logits(self, batch: Batch) -> Tensor:
        """Return each expert's logits (B, M, K), zero where the modality is absent."""
        return stack_experts(batch, self.names, self.classes, self._logits)

    def _logits(self, name: str, read: Tensor) -> Tensor:
        encoder = self.clinical if name == CLINICAL else self.encoders[name]
        return self.experts[name](encoder(read))


class NeuroMoEPaper(NetworkModel):
    """NeuroMoE as its authors describe it.

    What departs from the text: the tokens are those of the brain unless `tokens: grid`; people may lack
    modalities, which the gate then leaves out and renormalises.

    References
    ----------
    Raza WH et al. 2025, doi:10.48550/arXiv.2506.14970.
    """

    name = "neuromoe-paper"
    Settings = PaperSettings
    scalings: dict[str, Scaling]

    def _fit(self, cohort: Cohort, train: NDArray, val: NDArray | None) -> None:
        s = self.settings
        inner, aside = self._with_inner(cohort, train, val, s.validation_share)
        self._learn_inputs(cohort, inner)
        self.trained = self.trained & self._chosen()
        known = {} if self.lent is None else {**self.lent.scalings}
        self.scalings = {
            name: known[name].spread(cohort) if self.tokens == "grid" else known[name]
            for name in self.features.keys() & known.keys()
        }
        inner, aside = (rows[self._usable(cohort, rows).any(axis=1)] for rows in (inner, aside))
        parts = np.repeat([-1, 0], [len(inner), len(aside)])
        self._train(cohort, np.concatenate([inner, aside]), parts, 1, self._objective)
        if len(aside) and self.history:
            self._judge(cohort, aside)

    def _judge(self, cohort: Cohort, rows: NDArray) -> None:
        present_NM = self._usable(cohort, rows)
        logits_NMK = self._ask(self._reader(cohort, rows), len(rows), self.members[0].expert_logits)
        gated = self.settings.gate == "clinical"
        said = log_softmax(logits_NMK), self._predict_log(cohort, rows), self._gate(cohort, rows, present_NM)
        self._diagnose(*said, self._targets(cohort, rows), present_NM, gated=gated)

    def _chosen(self) -> NDArray:
        """Tell which modalities the settings name (M,)."""
        if self.settings.modalities == "all":
            return np.ones(len(self.modalities_), bool)
        names = [name.strip() for name in self.settings.modalities.split(",")]
        strange = sorted(set(names) - set(self.modalities_))
        if strange:
            raise InputError(
                expected=f"names of {', '.join(self.modalities_)}, or all",
                found=", ".join(strange),
                where="the setting modalities of neuromoe-paper",
                fix="correct them",
            )
        return np.isin(self.modalities_, names)

    def _objective(
        self, member: Any, batch: Batch, class_weights_K: Tensor, total: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        s, (log_mixture_BK, log_gate_BM) = self.settings, member(batch)
        loss_B = weighted_cross_entropy(log_mixture_BK, batch.target, class_weights_K)
        penalty = balance_penalty(log_gate_BM.exp(), batch.present, corrected=s.balance_correction, total=total)
        return loss_B, s.balance * penalty

    @property
    def tokens(self) -> str:
        """Which patches are read."""
        return self.settings.tokens

    def _build(self) -> Network:
        places_T3 = torch.from_numpy(self.places_T3)
        return Network(self.features, places_T3, self.clinical_features, len(self.classes_), self.settings)

    def _tokens(self, patches: PatchDataset, name: str, rows: NDArray) -> Tensor:
        """Read patches, of a modality with a pretrained encoder scaled as that encoder knows them."""
        tokens_BTF = super()._tokens(patches, name, rows).clamp_(-_LARGEST, _LARGEST)
        return self.scalings[name].apply(tokens_BTF) if name in self.scalings else tokens_BTF

    def _state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        arrays, facts = super()._state()
        return arrays | scaling_arrays(self.scalings), {**facts, "scaled": sorted(self.scalings)}

    def _set_state(self, arrays: dict[str, NDArray], facts: dict[str, Any]) -> None:
        self.scalings = {name: Scaling.from_arrays(arrays, name) for name in facts.get("scaled", [])}
        super()._set_state(arrays, facts)

    def _predict_log(self, cohort: Cohort, positions: NDArray) -> NDArray:
        self._check_grid(cohort)
        return self._ask(self._reader(cohort, positions), len(positions), lambda batch: self.members[0](batch)[0])

    def _gate(self, cohort: Cohort, positions: NDArray, usable_NM: NDArray) -> NDArray:
        encoded_NF = torch.from_numpy(self._encode_clinical(cohort, positions))
        with torch.inference_mode():
            device = self.settings.device_now()
            log_gate = self.members[0].log_gate(encoded_NF.to(device), torch.from_numpy(usable_NM).to(device))
        return log_gate.cpu().double().softmax(dim=1).numpy()
