"""The settings of `neuromoe`, and of its preset `neuromoe-paper`."""

from dataclasses import dataclass

from neuromoe.core.errors import settings_error
from neuromoe.model.networks.training import TrainerSettings
from neuromoe.model.shared.settings import GATES as OF_EXPERTS

READOUTS, POSITIONS = ("places", "mean", "both"), ("add", "gain")
GATES = {"experts": ("best", *OF_EXPERTS), "mixture": ("clinical", "uniform")}


@dataclass(frozen=True)
class NeuroMoESettings(TrainerSettings):
    """Settings of `neuromoe`; beside them those of `TrainerSettings`.

    Parameters
    ----------
    width, layers, heads, widening : int
        Size of the encoders: width of a token, transformer layers, attention heads, feed-forward width over `width`.
    layer_start : float
        Size of what a layer adds at the start of training, times the usual one.
    positions : str
        `add`: the code of the place is added to a token. `gain`: besides, a gain that is learned for each place.
    readout : str
        `places`: by place; `mean`: by the mean of the tokens; `both`.
    rank : int
        Numbers per token that are read out by place.
    dropout : float
        In encoders and experts.
    clinical_width, clinical_dropout : int, float
        Of the fully connected network of clinical and serum features, and of its expert.
    training : str
        `experts`: each expert by its own loss, the gate fitted on people held out. `mixture`: experts and gate together
        by the loss of the mixture, as in the paper.
    linear : bool
        Let ridge regression stand beside each network of `experts`; people held out tell how far each is believed.
    joint : bool
        Have one more expert that reads the tokens of all modalities.
    folds : int
        Members, each trained without one part of the people; their mean predicts. 1 trains a single one, without
        `validation_share` of the people.
    validation_share : float
        Of the training people, set aside where `folds` is 1.
    gate : str
        Of `experts`: `uniform`, `bias`, `quality`, `clinical`, `both`, or the `best` of them on people held out. Of
        `mixture`: `clinical` or `uniform`.
    gate_width, gate_dropout : int, float
        Of the hidden layer of the gate of `mixture`.
    balance : float
        Weight of R_balance in `mixture`, the paper's lambda.
    balance_correction : bool
        Take the batch's own variance off R_balance; false is the equation as printed.
    modalities : str
        Names, with commas, of what is used, or `all`: for ablations.
    tokens : str
        `brain`: patches that touch the brain; `grid`: all of the grid, as in the paper.
    bias_prior, slope_prior : float
        Precision of the normal priors of the gate of `experts`.
    """

    epochs: int = 30
    batch_size: int = 16
    patience: int = 0
    learning_rate: float = 1e-3
    weight_decay: float = 3e-2
    width: int = 32
    layers: int = 1
    heads: int = 2
    widening: int = 2
    layer_start: float = 0.01
    positions: str = "add"
    readout: str = "places"
    rank: int = 4
    dropout: float = 0.3
    clinical_width: int = 32
    clinical_dropout: float = 0.3
    training: str = "experts"
    linear: bool = True
    joint: bool = False
    folds: int = 5
    validation_share: float = 0.2
    gate: str = "best"
    gate_width: int = 16
    gate_dropout: float = 0.3
    balance: float = 0.0
    balance_correction: bool = True
    modalities: str = "all"
    tokens: str = "brain"
    bias_prior: float = 1.0
    slope_prior: float = 4.0

    def __post_init__(self) -> None:
        named = self.readout in READOUTS and self.positions in POSITIONS and self.tokens in ("brain", "grid")
        gated = self.training in GATES and self.gate in GATES[self.training]
        if self.width % self.heads or self.width < 6 or not named or not gated:
            gates = "; ".join(f"{training}: a gate of {', '.join(names)}" for training, names in GATES.items())
            raise settings_error(
                self,
                expected=f"a width from 6 that the heads divide, a readout of {', '.join(READOUTS)}, positions of "
                f"{', '.join(POSITIONS)}, tokens brain or grid, a training of {gates}",
                of="neuromoe",
            )


@dataclass(frozen=True)
class PaperSettings(NeuroMoESettings):
    """Settings of `neuromoe-paper`: those of `neuromoe` with what the paper fixes, and the best of what it leaves."""

    epochs: int = 40
    layers: int = 1
    positions: str = "gain"
    readout: str = "mean"
    training: str = "mixture"
    linear: bool = False
    folds: int = 3
    gate: str = "clinical"
    balance: float = 0.1
    balance_correction: bool = False
