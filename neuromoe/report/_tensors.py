"""The packed tensors: what their headers and quality numbers say, and their channels as pictures."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuromoe.core.errors import InputError
from neuromoe.imaging.images import Image
from neuromoe.report._page import Figure, Section
from neuromoe.report._pictures import AXIAL, Scale, draw, encode, view_of, window

MODALITIES = ("anat", "dwi", "func")
MODALITY_NAMES = {"anat": "T1w", "dwi": "Diffusion", "func": "BOLD"}


@dataclass(frozen=True)
class Packed:
    """A session's tensor file without its images.

    Parameters
    ----------
    modalities : tuple of str
        Those that the model gets.
    quality : dict
        Modality to quality numbers by name.
    verdicts : dict
        Modality to `pass`, `warn`, `fail` or `missing`.
    reasons : dict
        Modality to the reasons for its verdict.
    channels : dict
        Modality to the names of its channels.
    """

    modalities: tuple[str, ...]
    quality: dict[str, dict[str, float]]
    verdicts: dict[str, str]
    reasons: dict[str, list[str]]
    channels: dict[str, list[str]]


def read_packed(path: Path) -> Packed:
    """Read a tensor file's header and quality numbers, not its images.

    Raises
    ------
    InputError
        The file is none of the step `tensors pack`.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            held, header = set(file.keys()), file.metadata() or {}
            names, verdicts, reasons, channels = (
                json.loads(header[key]) for key in ("quality", "verdict", "reasons", "channels")
            )
            numbers = {
                modality: file.get_tensor(f"quality/{modality}").tolist() if f"quality/{modality}" in held else []
                for modality in MODALITIES
            }
    except (OSError, SafetensorError, KeyError, json.JSONDecodeError) as err:
        raise InputError(
            expected="a tensor file", found=str(err), where=path, fix="delete it and run `tensors pack` again"
        ) from err
    quality = {name: dict(zip(names[name], numbers[name], strict=True)) for name in MODALITIES}
    return Packed(tuple(name for name in MODALITIES if name in held), quality, verdicts, reasons, channels)


def tensor_section(path: Path | None) -> Section:
    """Show every channel of a session's tensors, as the model gets it."""
    section = Section("What the model gets", "tensors")
    if path is None:
        section.words.append("No tensors were packed for this session.")
        return section
    packed = read_packed(path)
    for modality in MODALITIES:
        if modality not in packed.modalities:
            failed = packed.verdicts.get(modality) == "fail"
            why = "left out, for its quality failed" if failed else "absent"
            section.words.append(f"{MODALITY_NAMES[modality]} is {why}; the model decides without it for this person.")
    if not packed.modalities:
        section.words.append(
            "No usable modality: the models decide by clinical data alone, or by the class frequencies."
        )
    for modality in packed.modalities:
        section.figures.extend(_channels(path, modality, packed.channels[modality]))
    return section


def _channels(path: Path, modality: str, names: list[str]) -> list[Figure]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        tensor = file.get_tensor(modality).astype(np.float32)
    titles = [f"{MODALITY_NAMES[modality]}: {name}" for name in names]
    return [_channel(channel, title) for channel, title in zip(tensor, titles, strict=True)]


def _channel(data: NDArray, title: str) -> Figure:
    inside = data != 0
    image = Image(data, np.eye(4))
    view = view_of(image, inside, slices=6, axes=(AXIAL,), margin_mm=1)
    low, high = window(data, inside, 1, 99)
    pixels = draw(view, [Scale(data, low, high, inside=inside)])
    shape = " x ".join(str(size) for size in data.shape)
    caption = f"{shape} voxels, {int(inside.sum())} in the brain; black {low:.2f} to white {high:.2f}."
    alt = f"{title}: six slices from below to above. {caption}"
    return Figure(title, caption, source=encode(pixels), alt=alt, size=(pixels.shape[1], pixels.shape[0]))
