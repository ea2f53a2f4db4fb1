"""Three tissues by a mixture of normal distributions, the template's priors and a Markov random field.

References
----------
.. [1] Van Leemput et al. (1999), Automated model-based tissue classification of MR images of the brain, IEEE Trans.
   Med. Imaging 18, doi:10.1109/42.811270.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

# Posteriors that change by less than this on average are final.
SETTLED = 1e-3
LEAST_PRIOR = 0.01


def mixture_probabilities(
    values: NDArray,
    mask: NDArray,
    priors: NDArray,
    *,
    prior_weight: float = 1.0,
    smoothing: float = 1.0,
    iterations: int = 20,
) -> NDArray:
    """Segment a brain into CSF, GM and WM by expectation maximisation.

    The field's mean of the six neighbours' probabilities stands in for their labels, all voxels at once.

    Parameters
    ----------
    values : array (X, Y, Z)
        A bias-corrected T1w image on nearly cubic voxels.
    mask : array (X, Y, Z) of bool
        The brain.
    priors : array (3, X, Y, Z)
        Probabilities of CSF, GM and WM.
    prior_weight : float, default=1.0
        Exponent of the priors.
    smoothing : float, default=1.0
        Weight of each neighbour in the exponent.
    iterations : int, default=20
        At most.

    Returns
    -------
    array (3, X, Y, Z), float32
        Probabilities; zero outside the mask.

    Raises
    ------
    RuntimeError
        A class is empty, or the means are not in the order of a T1w: the mask holds no brain.

    Examples
    --------
    >>> values = np.arange(27.0).reshape(3, 3, 3)
    >>> priors = np.broadcast_to(0.2 + 0.4 * np.eye(3)[:, :, None, None], (3, 3, 3, 3))
    >>> mixture_probabilities(values, values > -1, priors).argmax(axis=0)[:, 0, 0]
    array([0, 1, 2])
    """
    import torch

    inside = torch.from_numpy(mask)
    chances = torch.from_numpy(np.clip(priors, 0, None).astype(np.float32) + LEAST_PRIOR)
    chances = chances / chances.sum(0)
    found = torch.where(inside, chances, 0.0)
    known = prior_weight * chances[:, inside].log()
    y = torch.from_numpy(np.ascontiguousarray(values[mask], np.float32))
    for _ in range(iterations):
        before = found[:, inside]
        after = torch.softmax(_likelihood(y, before) + known + smoothing * _neighbours(found)[:, inside], dim=0)
        found[:, inside] = after
        if float((after - before).abs().mean()) < SETTLED:
            break
    return found.numpy()


def _likelihood(y: "Tensor", shares: "Tensor") -> "Tensor":
    """Return the logarithm of each class's normal density (3, N) at the intensities (N), by their shares (3, N)."""
    total = shares.sum(1)
    means = (shares * y).sum(1) / total
    deviations = y - means[:, None]
    variances = (shares * deviations**2).sum(1) / total
    if not (variances > 0).all() or not means[0] < means[1] < means[2]:
        raise RuntimeError(f"no three tissues: their means are {means.tolist()}")
    return -0.5 * (deviations**2 / variances[:, None] + variances.log()[:, None])


def _neighbours(shares: "Tensor") -> "Tensor":
    """Add up what the six neighbours hold (3, X, Y, Z); outside the image there is nothing."""
    import torch

    total = torch.zeros_like(shares)
    for axis in (1, 2, 3):
        size = shares.shape[axis] - 1
        total.narrow(axis, 1, size).add_(shares.narrow(axis, 0, size))
        total.narrow(axis, 0, size).add_(shares.narrow(axis, 1, size))
    return total
