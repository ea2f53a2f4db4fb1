"""The settings of the kernel machines."""

from dataclasses import dataclass

from neuromoe.core.errors import settings_error
from neuromoe.model.kernels.pooling import POOLS
from neuromoe.model.shared.settings import GATES


@dataclass(frozen=True)
class KernelMoESettings:
    """Settings of `kernel-moe`.

    Parameters
    ----------
    class_weights : bool
        Weigh people against the frequency of their class.
    folds : int
        Inner parts for choosing kernels and penalties, for calibrating, and for the gate.
    rbf : bool
        Let a modality's expert be nonlinear where that is better on held-out people.
    alone : bool
        Have an expert for each modality.
    joint : bool
        Have an expert that reads all modalities at once.
    gate : str
        What the weights hang on: `uniform`, `bias`, `quality`, `clinical`, `both`, or the `best` of them on people held
        out.
    oddness : bool
        Take a map's distance from the mean map of the training people for a quality number, too.
    pool : str
        `mixture`: sum_e w_e P_e; `product`: prod_e P_e^w_e; `best`: of the two on held-out people.
    passes : int
        2 fits the experts again, counting scans as the gate trusts them.
    bias_prior, slope_prior : float
        Precision of the normal priors of the gate's biases and slopes.
    calibration : int
        Parts for the last temperature: everything is fitted again without each of them, gate and all; 0 leaves the
        temperature that was fitted together with the gate, which is too sure where people are few.
    exact, landmarks : int
        Where there are more than `exact` sessions, experts are functions of so many landmarks among them. Time grows
        with the cube of either.
    """

    class_weights: bool = True
    folds: int = 10
    rbf: bool = True
    alone: bool = True
    joint: bool = True
    gate: str = "best"
    oddness: bool = True
    pool: str = "best"
    passes: int = 2
    bias_prior: float = 1.0
    slope_prior: float = 4.0
    calibration: int = 5
    exact: int = 2000
    landmarks: int = 1000

    def __post_init__(self) -> None:
        named = self.pool in ("best", *POOLS) and self.gate in ("best", *GATES) and (self.alone or self.joint)
        counted = min(self.folds, self.exact, self.landmarks) >= 2 and self.passes in (1, 2)
        calibrated = self.calibration >= 0 and self.calibration != 1
        if not (named and counted and calibrated) or min(self.bias_prior, self.slope_prior) <= 0:
            raise settings_error(
                self,
                expected=f"pool best, mixture or product, a gate of best, {', '.join(GATES)}, passes 1 or 2, folds, "
                "exact and landmarks from 2, calibration 0 or from 2, priors above 0, alone or joint",
                of="kernel-moe",
            )
