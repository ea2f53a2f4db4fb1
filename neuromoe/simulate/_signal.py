"""Noise, coil shading and storage that all scans share."""

import numpy as np
from numpy.polynomial.legendre import legvander
from numpy.typing import NDArray

from neuromoe.imaging.geometry import Grid

STORED_WHITE_MATTER = 800.0  # White matter's value on disk: noise of 2 to 5 % then spans many integers.


def rician(signal: NDArray, sd: float, rng: np.random.Generator) -> NDArray:
    """Return the magnitude of the signal with Gaussian noise of `sd` in both channels.

    References
    ----------
    Gudbjartsson H, Patz S. The Rician distribution of noisy MRI data. Magn Reson Med 1995.
    doi:10.1002/mrm.1910340618
    """
    real = signal + np.float32(sd) * rng.standard_normal(signal.shape, dtype=np.float32)
    imaginary = np.float32(sd) * rng.standard_normal(signal.shape, dtype=np.float32)
    return np.sqrt(real * real + imaginary * imaginary)


def shading(rng: np.random.Generator, grid: Grid, sd: float, order: int = 3) -> NDArray:
    """Draw a smooth multiplicative field on a grid.

    The logarithm is a sum of products of Legendre polynomials over the field of view, of at most `order`
    together.

    Parameters
    ----------
    sd : float
        Standard deviation of the logarithm over the field of view.

    Returns
    -------
    array (X, Y, Z), float32
        Geometric mean 1.
    """
    powers = np.indices((order + 1,) * 3)
    used = (powers.sum(axis=0) > 0) & (powers.sum(axis=0) <= order)
    coefficients = np.where(used, rng.standard_normal(used.shape) / (1 + powers.sum(axis=0)), 0)
    bases = [legvander(np.linspace(-1, 1, length), order) for length in grid.shape]
    logarithm = np.einsum("abc,xa,yb,zc->xyz", coefficients, *bases, optimize=True)
    logarithm -= logarithm.mean()
    return np.exp(logarithm * (sd / logarithm.std())).astype(np.float32)


def as_stored(signal: NDArray, white_matter: float) -> NDArray:
    """Scale a signal so that white matter is stored as a fixed number, and round to int16."""
    scaled = np.round(signal * np.float32(STORED_WHITE_MATTER / white_matter))
    return np.clip(scaled, 0, 32767).astype(np.int16)
