"""Pretrained encoders, as they are kept and lent to networks.

Axis letters: B batch, T token, F voxels of a patch over all channels.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuromoe.cohort.cohort import Cohort
from neuromoe.cohort.patches import spread_patches
from neuromoe.core.atomic import write_json
from neuromoe.core.errors import InputError
from neuromoe.core.saving import read_arrays, read_facts, write_arrays
from neuromoe.model.networks.reader import near_tokens

NAME = "pretrained"
_PARTS = ("mean", "scale", "limit")


@dataclass(frozen=True, eq=False)
class Scaling:
    """How the maps of a modality are scaled before an encoder reads them.

    Parameters
    ----------
    mean : array (T, F), float32
        Mean map of those who were learned from.
    scale : array (1,), float32
        Deviation of a voxel, over all voxels and people.
    limit : array (1,)
        Distance from the mean map beyond which a map is read as if it lay there.
    """

    mean: NDArray
    scale: NDArray
    limit: NDArray

    def apply(self, tokens_BTF: Tensor) -> Tensor:
        """Return the patches less the mean map, in deviations of a voxel; in place."""
        return near_tokens(tokens_BTF, self.mean, self.limit, 1 / float(self.scale[0]))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray], name: str) -> "Scaling":
        """Take it from what `scaling_arrays` returned."""
        return cls(*(arrays[f"scaling.{name}.{part}"] for part in _PARTS))

    def spread(self, cohort: Cohort) -> "Scaling":
        """Return the scaling of all patches of the grid: those outside the brain are zeros and stay so."""
        return replace(self, mean=spread_patches(self.mean[None], cohort.places, cohort.grid)[0])


def scaling_arrays(scalings: Mapping[str, Scaling]) -> dict[str, NDArray]:
    """Return scalings as named arrays."""
    return {f"scaling.{name}.{part}": getattr(own, part) for name, own in scalings.items() for part in _PARTS}


@dataclass(frozen=True, eq=False)
class Pretrained:
    """Pretrained encoders.

    Parameters
    ----------
    encoders : mapping of str to mapping of str to array
        Weights of each modality's encoder.
    scalings : mapping of str to Scaling
        What its maps were scaled by.
    size : mapping
        width, layers, heads, widening of the encoders.
    places : array (T, 3), int
        Where the in-brain patches lie.
    explained : mapping of str to float
        Share of the variance about the mean map, in hidden patches of people held out, that is predicted: 1 is all.
    participants : list of str
        Everybody whose scans were looked at, sorted.
    """

    encoders: Mapping[str, Mapping[str, NDArray]]
    scalings: Mapping[str, Scaling]
    size: Mapping[str, int]
    places: NDArray
    explained: Mapping[str, float]
    participants: list[str]

    def save(self, folder: Path | str) -> None:
        """Write `pretrained.safetensors` and, when that is whole, `pretrained.json` into a folder."""
        facts = {"size": dict(self.size), "explained": dict(self.explained), "participants": self.participants}
        write_arrays(Path(folder) / f"{NAME}.safetensors", self.arrays())
        write_json(Path(folder) / f"{NAME}.json", facts)

    def arrays(self) -> dict[str, NDArray]:
        """Return weights, scalings and places by name."""
        weights = {f"encoder.{name}.{key}": value for name, own in self.encoders.items() for key, value in own.items()}
        return {**weights, **scaling_arrays(self.scalings), "places": self.places}

    def digest(self) -> str:
        """Return a digest of all numbers."""
        total = hashlib.sha256()
        for name, value in sorted(self.arrays().items()):
            total.update(name.encode() + np.ascontiguousarray(value).tobytes())
        return total.hexdigest()

    def check(self, cohort: Cohort, settings: Any) -> None:
        """Raise InputError unless the encoders fit the cohort's maps and a network's settings."""
        own = {name: int(cohort.tokens[name].shape[2]) for name in cohort.tokens}
        size = {name: getattr(settings, name) for name in self.size}
        shared = [name for name in self.encoders if name in own]
        found = {name: own[name] for name in shared}, size, len(cohort.places)
        known = {name: self.scalings[name].mean.shape[1] for name in shared}, dict(self.size), len(self.places)
        if found != known or not shared or not np.array_equal(self.places, cohort.places):
            raise InputError(
                expected="pretrained encoders of the cohort's modalities, values per patch and places, and of the "
                f"model's size: {_said(own, found[1], found[2])}",
                found=_said({name: self.scalings[name].mean.shape[1] for name in self.encoders}, *known[1:])
                + ("" if found != known or not shared else " at other places"),
                where="the setting pretrained",
                fix="pretrain again with this store and these sizes, or leave the setting out",
            )

    def lend(self, members: Sequence[Any]) -> None:
        """Give the weights to the `encoders` of networks; those of other modalities stay as they are."""
        for name, own in self.encoders.items():
            for member in members:
                if name in member.encoders:
                    member.encoders[name].load_state_dict({key: torch.tensor(value) for key, value in own.items()})


def _said(features: Mapping[str, int], size: Mapping[str, int], places: int) -> str:
    maps = ", ".join(f"{name} {count}" for name, count in features.items())
    return f"{maps} at {places} places; {', '.join(f'{name} {value}' for name, value in size.items())}"


def load_pretrained(folder: Path | str) -> Pretrained:
    """Read what `Pretrained.save` wrote.

    Raises
    ------
    InputError
        The folder holds no pretrained encoders.
    """
    facts = read_facts(Path(folder) / f"{NAME}.json")
    arrays, _ = read_arrays(Path(folder) / f"{NAME}.safetensors")
    try:
        explained, size, who, places = (
            *(facts[key] for key in ("explained", "size", "participants")),
            arrays["places"],
        )
        scalings = {name: Scaling.from_arrays(arrays, name) for name in explained}
    except (KeyError, TypeError) as err:
        raise InputError(
            expected="encoders that this version of NeuroMoE pretrained",
            found=f"no {err} in them",
            where=folder,
            fix="pretrain again",
        ) from err
    encoders = {name: _below(arrays, f"encoder.{name}.") for name in explained}
    return Pretrained(encoders, scalings, size, places, explained, who)


def _below(arrays: Mapping[str, NDArray], start: str) -> dict[str, NDArray]:
    return {key.removeprefix(start): value for key, value in arrays.items() if key.startswith(start)}
