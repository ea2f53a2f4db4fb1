"""How much each channel of a modality counts, by what it says of people held out.

Axis letters: N people, C channel, K class.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neuromoe.model.kernels.linear import base_nll
from neuromoe.model.kernels.ridge import fit_kernel

# A coarse path of penalties: the gain of a channel changes slowly along it.
_RIDGES = (0.1, 1.0, 10.0, 100.0)
# What a channel that says nothing gains by chance, times the people.
_CHANCE = 2.0
# People that channels are weighed on; of more, the first so many.
MOST = 500


def gains(kernels_CNN: NDArray, targets: NDArray, parts: NDArray, classes: int, balance: NDArray) -> NDArray:
    """Return how much less each channel's kernel loses on people held out than the class frequencies (C,), from 0."""
    return np.array([_gain(kernel, targets, parts, classes, balance) for kernel in kernels_CNN])


def pair_gains(
    kernels: Sequence[NDArray], targets: NDArray, parts: NDArray, classes: int, balance: NDArray
) -> list[NDArray]:
    """Return the larger of what each channel gains alone and in a product with a channel of another modality.

    Parameters
    ----------
    kernels : sequence of array (C, N, N)
        Of each modality, zeros where a person lacks it.
    targets, parts : array (N,), int
    classes : int
    balance : array (N,)
        Weights of the loss.

    Returns
    -------
    list of array (C,)
    """
    known = targets, parts, classes, balance
    found = [gains(one, *known) for one in kernels]
    for second in range(len(kernels)):
        for first in range(second):
            for row, one in enumerate(kernels[first]):
                for column, other in enumerate(kernels[second]):
                    gain = _gain(one * other, *known)
                    found[first][row] = max(found[first][row], gain)
                    found[second][column] = max(found[second][column], gain)
    return found


def weigh(gains_C: NDArray, people: int) -> NDArray:
    """Turn gains into weights (C,) that sum to 1: equal where nothing is gained, near 0 for a channel of noise."""
    weights_C = (gains_C + _CHANCE / people) ** 2
    return weights_C / weights_C.sum()


def _gain(kernel_NN: NDArray, targets: NDArray, parts: NDArray, classes: int, balance: NDArray) -> float:
    size = float(np.mean(np.diag(kernel_NN)))
    if size <= 0:
        return 0.0
    everybody, trust = np.arange(len(targets)), np.ones(len(targets))
    fit = fit_kernel(kernel_NN / size, everybody, targets, parts, classes, balance=balance, trust=trust, ridges=_RIDGES)
    return max(base_nll(targets, balance) - fit[0], 0.0)
