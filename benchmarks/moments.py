"""Measure how people's tensors differ: what the simulators of `_simulators.py` are made by.

    python benchmarks/moments.py <folder of tensors>     # sub-*.safetensors, as the step `tensors pack` writes them

Of each channel: the root mean square of the map that all people share and of what is left, how what is left is
correlated from voxel to voxel, and the correlations of the channels of a modality. The numbers, not the maps, go to
benchmarks/moments.json.

Axis letters: N people, C channel, X Y Z voxels.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.saving import read_arrays

HERE = Path(__file__).parent
# Standard deviations of the Gaussians that white noise is smoothed by, voxels: 0 is noise as it is.
WIDTHS = (0.0, 1.0, 2.0, 4.0)
LAGS = 8
MODALITIES = ("anat", "dwi", "func")


def read(folder: Path) -> tuple[dict[str, NDArray], dict[str, list[str]]]:
    """Read the maps of each modality (N, C, X, Y, Z), float32, and the names of their channels."""
    found, channels = defaultdict(list), {}
    for path in sorted(folder.glob("sub-*.safetensors")):
        arrays, header = read_arrays(path)
        for name in arrays.keys() & set(MODALITIES):
            found[name].append(arrays[name].astype(np.float32))
            channels[name] = json.loads(header["channels"])[name]
    return {name: np.stack(found[name]) for name in MODALITIES}, channels


def moments(maps_NCXYZ: NDArray) -> dict:
    """Measure one modality."""
    brain = (maps_NCXYZ != 0).any(axis=(0, 1))
    mean = maps_NCXYZ.mean(axis=0)
    # The people's own mean takes a part of the deviation away.
    away = (maps_NCXYZ - mean) * np.sqrt(len(maps_NCXYZ) / (len(maps_NCXYZ) - 1))
    inside = away[:, :, brain].astype(float)
    deviation = np.sqrt((inside**2).mean(axis=(0, 2)))
    correlation = np.einsum("ncv,ndv->cd", inside, inside) / inside[:, 0].size / np.outer(deviation, deviation)
    return {
        "people": len(maps_NCXYZ),
        "common": _rounded(np.sqrt((mean[:, brain].astype(float) ** 2).mean(axis=1))),
        "deviation": _rounded(deviation),
        "correlation": _rounded(correlation),
        "smoothness": [_rounded(smoothness(away[:, channel], brain)) for channel in range(len(mean))],
    }


def smoothness(away_NXYZ: NDArray, brain: NDArray) -> NDArray:
    """Return shares of noise, white and smoothed by each of `WIDTHS`, that give the correlations by distance."""
    from scipy.optimize import nnls

    lags = np.arange(1, LAGS + 1)
    found = np.array([_correlation(away_NXYZ, brain, int(lag)) for lag in lags])
    # Smoothed by a Gaussian of deviation w, white noise is correlated by exp(-d^2 / (4 w^2)) at a distance d.
    known = np.stack([np.exp(-(lags**2) / (4 * width**2)) for width in WIDTHS if width], axis=1)
    shares = nnls(known, found)[0]
    return np.append(max(1 - shares.sum(), 0), shares) / max(shares.sum(), 1)


def _correlation(away_NXYZ: NDArray, brain: NDArray, lag: int) -> float:
    total, squares = 0.0, 0.0
    for axis in (1, 2, 3):
        size = away_NXYZ.shape[axis]
        one = np.take(away_NXYZ, np.arange(size - lag), axis).astype(float)
        other = np.take(away_NXYZ, np.arange(lag, size), axis).astype(float)
        both = np.take(brain, np.arange(size - lag), axis - 1) & np.take(brain, np.arange(lag, size), axis - 1)
        total += (one * other)[:, both].sum()
        squares += ((one**2 + other**2) / 2)[:, both].sum()
    return total / squares


def _rounded(values: NDArray) -> list:
    return np.round(np.asarray(values, float), 4).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tensors", type=Path)
    maps, channels = read(parser.parse_args().tensors)
    found = {name: {"channels": channels[name], **moments(maps[name])} for name in MODALITIES}
    text = json.dumps({"modalities": found}, indent=1) + "\n"
    (HERE / "moments.json").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
