"""FSL, on images of this package: the same inputs and outputs as our own functions.

Each call goes through files in a temporary folder of its own, and through nipype. What FSL counts and turns otherwise
is translated in `_fsl_space`.
"""

from neuromoe.core._fsl_bold import mcflirt, slicetimer
from neuromoe.core._fsl_distortion import (
    Eddy,
    correct_diffusion,
    field_from_pair,
    field_from_phase,
    phase_difference,
    read_encoded,
)
from neuromoe.core._fsl_head import bet, epi_reg, fast, flirt, fnirt
from neuromoe.core._fsl_job import FslError
from neuromoe.core._fsl_space import PhaseEncoding, field_to_displacement, phase_encoding
from neuromoe.core._fsl_tensor import TensorMaps, dtifit

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
