"""The settings of the kernel machines."""

from dataclasses import dataclass

from neuromoe.core.errors import settings_error
from neuromoe.model.kernels.pool import POOLS


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
    quality : bool
        Let the gate follow the scans' quality numbers.
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
    most : int
        Sessions that the fit is made on; of more, so many are drawn. Time grows with their cube.
    """

    class_weights: bool = True
    folds: int = 10
    rbf: bool = True
    alone: bool = True
    joint: bool = True
    quality: bool = True
    oddness: bool = True
    pool: str = "best"
    passes: int = 2
    bias_prior: float = 1.0
    slope_prior: float = 4.0
    calibration: int = 5
    most: int = 2000

    def __post_init__(self) -> None:
        named = self.pool in ("best", *POOLS) and self.passes in (1, 2) and (self.alone or self.joint)
        counted = self.folds >= 2 and self.calibration >= 0 and self.calibration != 1 and self.most >= 2
        if not named or not counted or min(self.bias_prior, self.slope_prior) <= 0:
            raise settings_error(
                self,
                expected="pool best, mixture or product, passes 1 or 2, folds and most from 2, "
                "calibration 0 or from 2, priors above 0, alone or joint",
                of="kernel-moe",
            )
