"""FSL, on images of this package: the same inputs and outputs as our own functions.

Each call goes through files in a temporary folder of its own, and through nipype. What FSL counts and turns otherwise
is translated in `neuromoe.fsl.space`.
"""

from neuromoe.fsl.bold import mcflirt, slicetimer
from neuromoe.fsl.distortion import (
    Eddy,
    correct_diffusion,
    field_from_pair,
    field_from_phase,
    phase_difference,
    read_encoded,
)
from neuromoe.fsl.head import bet, epi_reg, fast, flirt, fnirt
from neuromoe.fsl.job import FslError
from neuromoe.fsl.space import PhaseEncoding, field_to_displacement, phase_encoding
from neuromoe.fsl.tensor import TensorMaps, dtifit

__all__ = [
    "Eddy",
    "FslError",
    "PhaseEncoding",
    "TensorMaps",
    "bet",
    "correct_diffusion",
    "dtifit",
    "epi_reg",
    "fast",
    "field_from_pair",
    "field_from_phase",
    "field_to_displacement",
    "flirt",
    "fnirt",
    "mcflirt",
    "phase_difference",
    "phase_encoding",
    "read_encoded",
    "slicetimer",
]
