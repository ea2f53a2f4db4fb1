"""The paper's network: an encoder and an expert per modality, mixed by a gate on the clinical features.

Axis letters: B batch, M modality (expert), T token, F voxels of a patch or encoded clinical features, K
class.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neuromoe.core.errors import InputError
from neuromoe.model._clinical import ClinicalEncoder
from neuromoe.model._training import Batch, train_network
from neuromoe.model.base import Model
from neuromoe.model.cohort import CLINICAL, Cohort
from neuromoe.model.encoders import Encoder
from neuromoe.model.experts import ClinicalNetwork, Expert
from neuromoe.model.gate import Gate
from neuromoe.model.losses import masked_log_gate, mix


@dataclass(frozen=True)
class PaperSettings:
    """Settings of `neuromoe-paper`.

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
    tokens : str
        `brain`: patches that touch the brain; `grid`: all of the grid, as in the paper.
    epochs, batch_size : int
        Passes over the people; people per step.
    patience : int
        Epochs without a better inner validation loss before stopping; the best epoch's weights are kept.
    learning_rate, weight_decay, gradient_clip : float
        Of AdamW, on a cosine from `learning_rate` to 0; largest norm of a step's gradient.
    balance : float
        Weight of R_balance, the paper's lambda.
    balance_correction : bool
        Take the batch's own variance off R_balance; false is the equation as printed.
    class_weights : bool
        Weigh people against the frequency of their class.
    validation_share : float
        Of the training people, set aside to stop early where no validation people are given; 0 for none.
    device : str
        As torch names it.
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
    tokens: str = "brain"
    epochs: int = 20
    batch_size: int = 8
    patience: int = 8
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    gradient_clip: float = 1.0
    balance: float = 0.1
    balance_correction: bool = True
    class_weights: bool = True
    validation_share: float = 0.2
    device: str = "cpu"

    def __post_init__(self) -> None:
        right = self.width % self.heads == 0 and self.width >= 6
        if not right or self.tokens not in ("brain", "grid") or min(self.epochs, self.batch_size) < 1:
            raise InputError(
                expected="a width from 6 that the heads divide, tokens brain or grid, counts from 1",
                found=f"width {self.width}, heads {self.heads}, tokens {self.tokens!r}, "
                f"epochs {self.epochs}, batch_size {self.batch_size}",
                where="the settings of neuromoe-paper",
                fix="correct them",
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
        size: dict[str, Any] = {
            "width": s.width,
            "layers": s.layers,
            "heads": s.heads,
            "widening": s.widening,
            "dropout": s.dropout,
        }
        self.encoders = nn.ModuleDict({name: Encoder(count, places_T3, **size) for name, count in features.items()})
        self.experts = nn.ModuleDict({name: Expert(s.width, classes, dropout=s.dropout) for name in features})
        self.names = list(features)
        if clinical is not None:
            self.names.append(CLINICAL)
            self.clinical = ClinicalNetwork(max(clinical, 1), width=s.clinical_width, dropout=s.clinical_dropout)
            self.experts[CLINICAL] = Expert(s.clinical_width, classes, dropout=s.clinical_dropout)
        self.gate = Gate(clinical or 0, len(self.names), width=s.gate_width, dropout=s.gate_dropout)
        self.classes = classes

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the mixture's log probabilities (B, K) and the log gate (B, M)."""
        log_gate_BM = self.log_gate(batch.clinical, batch.present)
        return mix(log_gate_BM, self.expert_logits(batch)), log_gate_BM

    def log_gate(self, clinical_BF: Tensor, present_BM: Tensor) -> Tensor:
        """Return the logarithm of the experts' weights (B, M), minus infinity where absent."""
        return masked_log_gate(self.gate(clinical_BF), present_BM)

    def expert_logits(self, batch: Batch) -> Tensor:
        """Return each expert's logits (B, M, K), zero where the modality is absent."""
        columns = [self._logits(name, batch, column) for column, name in enumerate(self.names)]
        return torch.stack(columns, dim=1)

    def _logits(self, name: str, batch: Batch, column: int) -> Tensor:
        logits_BK = torch.zeros((len(batch.present), self.classes), device=batch.present.device)
        there = batch.present[:, column].nonzero()[:, 0]
        if not len(there):
            return logits_BK
        if name == CLINICAL:
            embedding_BD = self.clinical(batch.clinical[there])
        else:
            embedding_BD = self.encoders[name](batch.tokens[name])
        return logits_BK.index_put((there,), self.experts[name](embedding_BD))


class NeuroMoEPaper(Model):
    """NeuroMoE as its authors describe it.

    What departs from the text: the tokens are those of the brain unless `tokens: grid`; people may lack
    modalities, which the gate then leaves out and renormalises; R_balance is corrected for the batch
    (`losses.balance_penalty`).

    References
    ----------
    Raza WH et al. 2025, doi:10.48550/arXiv.2506.14970.
    """

    name = "neuromoe-paper"
    Settings = PaperSettings

    def _fit(self, cohort: Cohort, train: NDArray, val: NDArray | None) -> None:
        s = self.settings
        inner, aside = self._with_inner(cohort, train, val, s.validation_share)
        table = None if cohort.clinical is None else cohort.clinical.iloc[inner]
        self.encoder = ClinicalEncoder.fit(table, cohort.clinical_types)
        self.trained = cohort.present(inner, self.modalities_).any(axis=0)
        self.places_T3 = _places(cohort, s.tokens)
        self.features = {name: int(cohort.tokens[name].shape[2]) for name in cohort.tokens}
        inner, aside = (rows[self._usable(cohort, rows).any(axis=1)] for rows in (inner, aside))
        # The seed rules within; the caller's own stream of random numbers goes on as if nothing had happened.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.network = self._build().to(s.device)
            if len(inner):
                weights_K, read = self._weights(cohort, inner), self._reader(cohort)
                self.history = train_network(self.network, read, inner, aside, s, weights_K, self.seed)
        self.network.eval()

    def _build(self) -> Network:
        clinical = len(self.encoder.features) if CLINICAL in self.modalities_ else None
        return Network(self.features, torch.from_numpy(self.places_T3), clinical, len(self.classes_), self.settings)

    def _weights(self, cohort: Cohort, rows: NDArray) -> Tensor:
        weights_K = self._class_weights(self._targets(cohort, rows), self.settings.class_weights)
        return torch.tensor(weights_K, dtype=torch.float32, device=self.settings.device)

    def _reader(self, cohort: Cohort) -> Any:
        """Return a function from positions to a Batch; targets only where the people are labeled."""
        columns = cohort.clinical if CLINICAL in self.modalities_ else None
        encoded_NF = torch.from_numpy(self.encoder.encode(columns, len(cohort)))

        def read(positions: NDArray, labeled: bool = False) -> Batch:
            present_BM = self._usable(cohort, positions)
            tokens = {}
            for column, name in enumerate(self.modalities_):
                if name != CLINICAL and present_BM[:, column].any():
                    tokens[name] = self._tokens(cohort, name, positions[present_BM[:, column]])
            targets = self._targets(cohort, positions) if labeled else np.zeros(len(positions), np.int64)
            batch = Batch(tokens, encoded_NF[positions], torch.from_numpy(present_BM), torch.from_numpy(targets))
            return batch.to(self.settings.device)

        return read

    def _tokens(self, cohort: Cohort, name: str, positions: NDArray) -> Tensor:
        tokens = cohort.patches(name, positions, full_grid=self.settings.tokens == "grid")
        return torch.from_numpy(tokens).float()

    def _usable(self, cohort: Cohort, positions: NDArray) -> NDArray:
        # An expert that never saw anybody has nothing to say.
        return cohort.present(positions, self.modalities_) & self.trained

    def _predict_log(self, cohort: Cohort, positions: NDArray) -> NDArray:
        self._check_grid(cohort)
        read, size = self._reader(cohort), self.settings.batch_size
        with torch.inference_mode():
            chunks = [self.network(read(positions[i : i + size]))[0] for i in range(0, len(positions), size)]
        return torch.cat(chunks).double().cpu().numpy()

    def _gate(self, cohort: Cohort, positions: NDArray, usable_NM: NDArray) -> NDArray:
        columns = cohort.clinical if CLINICAL in self.modalities_ else None
        encoded_NF = torch.from_numpy(self.encoder.encode(columns, len(cohort))[positions])
        with torch.inference_mode():
            device = self.settings.device
            log_gate = self.network.log_gate(encoded_NF.to(device), torch.from_numpy(usable_NM).to(device))
        return log_gate.double().softmax(dim=1).cpu().numpy()

    def _check_grid(self, cohort: Cohort) -> None:
        known = {name: int(cohort.tokens[name].shape[2]) for name in cohort.tokens if name in self.features}
        if any(self.features[name] != count for name, count in known.items()) or (
            known and not np.array_equal(self.places_T3, _places(cohort, self.settings.tokens))
        ):
            raise InputError(
                expected=f"the model's {len(self.places_T3)} patches and values per patch {self.features}",
                found=f"{len(_places(cohort, self.settings.tokens))} patches and {known}",
                where="the cohort",
                fix="pack the maps with the template and the settings that the model was fitted with",
            )

    def _state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        arrays = {f"network.{key}": value.cpu().numpy() for key, value in self.network.state_dict().items()}
        facts = {
            "features": self.features,
            "clinical": self.encoder.facts(),
            "trained": self.trained.tolist(),
        }
        return {**arrays, "places": self.places_T3}, facts

    def _set_state(self, arrays: dict[str, NDArray], facts: dict[str, Any]) -> None:
        self.places_T3 = arrays["places"]
        # JSON sorts the keys; the order of the modalities is the network's.
        self.features = {name: facts["features"][name] for name in self.modalities_ if name != CLINICAL}
        self.encoder, self.trained = (
            ClinicalEncoder.from_facts(facts["clinical"]),
            np.array(facts["trained"], bool),
        )
        self.network = self._build()
        weights = {
            key.removeprefix("network."): torch.from_numpy(value) for key, value in arrays.items() if key != "places"
        }
        self.network.load_state_dict(weights)
        self.network.to(self.settings.device).eval()


def _places(cohort: Cohort, tokens: str) -> NDArray:
    return np.argwhere(np.ones(cohort.grid, bool)) if tokens == "grid" else np.asarray(cohort.places, np.int64)
