"""Diffusion: head motion, denoising and the tensor, against ANTs, DIPY and the true motion.

Variants of a phantom: `plain` moves a little, `moved` jumps and loses slices (its own dataset). The error of FA is the
mean absolute difference from the truth in white matter (true FA above .35), after the same denoising and the same
tensor fit, so that the motion alone makes the difference. On a real person of two sessions the main directions of
the second are compared with the first's: what no correction is needed for is the median angle of the same fibres.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from _cases import Case, clock
from numpy.typing import NDArray

PHANTOMS = ["plain", "moved"]
REAL = ["sub-tosh"]


def _moved(case: Case) -> Case:
    """Simulate the phantom's diffusion again with strong motion and lost slices, once."""
    from neuromoe.simulate._plan import plan
    from neuromoe.simulate._session import write_session

    bids = case.bids.with_name(f"{case.bids.name}-moved")
    if not (bids / "done").is_file():
        person = replace(plan(1, case.seed, "full", 0, 0)[0], anat=False, func=False, corrupted=("dwi",))
        write_session(bids, person, seed=case.seed)
        (bids / "done").touch()
    return replace(case, bids=bids)
