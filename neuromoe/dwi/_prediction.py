"""What the other directions of a shell predict for each volume."""

import numpy as np
from numpy.typing import NDArray

from neuromoe.imaging.gradients import Gradients


def leave_one_out_weights(directions: NDArray, reach_rad: float, noise: float) -> NDArray:
    """Weights that predict each direction's signal from the other directions of a shell.

    A Gaussian process with a spherical covariance of the angle between the directions' axes, around the
    mean of the other volumes.

    Parameters
    ----------
    directions : array (V, 3)
        Unit vectors.
    reach_rad : float
        Angle at which the covariance reaches zero.
    noise : float
        Variance of the noise over that of the signal.

    Returns
    -------
    array (V, V)
        Row i predicts volume i; its own weight is zero and the row sums to one.

    References
    ----------
    Andersson JLR, Sotiropoulos SN 2015, doi:10.1016/j.neuroimage.2015.07.067 (Eq. 13).
    """
    angle = np.arccos(np.clip(np.abs(directions @ directions.T), 0, 1)) / reach_rad
    covariance = np.where(angle < 1, 1 - 1.5 * angle + 0.5 * angle**3, 0.0)
    count = len(directions)
    weights = np.zeros((count, count))
    for i in range(count):
        others = np.delete(np.arange(count), i)
        inverse = np.linalg.inv(covariance[np.ix_(others, others)] + noise * np.eye(count - 1))
        row = covariance[i, others] @ inverse
        weights[i, others] = row + (1 - row.sum()) / (count - 1)
    return weights


def predict_left_out(aligned: NDArray, gradients: Gradients, reach_rad: float, noise: float) -> NDArray:
    """Predict every volume (X, Y, Z, V) of a shell from the others; see :func:`leave_one_out_weights`."""
    weights = leave_one_out_weights(gradients.directions, reach_rad, noise)
    return aligned @ weights.T.astype(aligned.dtype)
