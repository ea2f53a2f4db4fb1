"""Encoders that learn from scans without labels: hidden patches are predicted from those that are shown.

Axis letters: N people, B batch, M modality, T token, F voxels of a patch over all channels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from neuromoe.cohort.clinical import ClinicalEncoder
from neuromoe.cohort.cohort import Cohort
from neuromoe.cohort.inner import split_inner
from neuromoe.cohort.loading import PatchDataset
from neuromoe.core.errors import InputError, settings_error
from neuromoe.model.kernels.maps import Maps, reader_of
from neuromoe.model.networks.encoders import SIZE
from neuromoe.model.networks.learner import Learner, People
from neuromoe.model.networks.masked import MaskedScans, masked_loss
from neuromoe.model.networks.pretrained import Pretrained, Scaling, load_pretrained
from neuromoe.model.networks.reader import Reader
from neuromoe.model.networks.training import TrainerSettings, train_members
from neuromoe.model.shared.fit_checks import check_positions
from neuromoe.model.shared.settings import check_seed, make_settings

# So many times as far from the mean map as is usual, a scan's squared errors would outweigh those of all others.
_FAR = 3.0

__all__ = ["Pretrained", "PretrainingSettings", "load_pretrained", "pretrain"]


@dataclass(frozen=True)
class PretrainingSettings(TrainerSettings):
    """Settings of `pretrain`; beside them those of `TrainerSettings`.

    Parameters
    ----------
    width, layers, heads, widening, dropout : int, float
        Of the encoders; all but the dropout must be those of the network that starts from them.
    hidden : float
        Share of the patches that is hidden.
    held_out : float
        Share of the people that is not learned from: training stops by them, and the figures are theirs.
    """

    epochs: int = 40
    batch_size: int = 16
    patience: int = 6
    learning_rate: float = 3e-3
    width: int = 32
    layers: int = 2
    heads: int = 2
    widening: int = 2
    dropout: float = 0.0
    hidden: float = 0.6
    held_out: float = 0.2

    def __post_init__(self) -> None:
        right = self.width % self.heads == 0 and self.width >= 6
        if not right or not 0 < self.hidden < 1 or not 0 < self.held_out <= 0.5:
            raise settings_error(
                self,
                expected="a width from 6 that the heads divide, hidden between 0 and 1, held_out to 0.5",
                of="the pretraining",
            )


def pretrain(
    cohort: Cohort,
    positions: ArrayLike | None = None,
    *,
    seed: int = 0,
    folder: Path | str | None = None,
    progress: bool = False,
    **settings: Any,
) -> Pretrained:
    """Train the encoder of each imaging modality to predict hidden patches.

    Parameters
    ----------
    cohort : Cohort
        Best one that was opened: memory then does not grow with it.
    positions : array (n,), int, optional
        Rows to learn from; labels are never read. By default those whose participant and family have no label
        at all, so that nobody whom a model is trained or tested on was looked at.
    seed : int, default=0
        Of weights, hidden patches, order, and of who is held out.
    folder : path, optional
        Where checkpoints and logs are kept; a run that was killed goes on from there, with the same result.
    progress : bool, default=False
        Show how training goes.
    **settings
        The fields of `PretrainingSettings`.

    Returns
    -------
    Pretrained

    Raises
    ------
    InputError
        Fewer than three people have maps, a setting is unknown, or the training ran away.

    References
    ----------
    He K et al. 2022, doi:10.1109/CVPR52688.2022.01553: an encoder that sees the visible patches alone and a light
    decoder. Here each patch is predicted as the deviation from the mean map, not as normalised by itself.
    """
    s, seed = make_settings(PretrainingSettings, settings, "the pretraining"), check_seed(seed)
    rows = _chosen(cohort, positions)
    kept, aside = split_inner(cohort.groups[rows], np.zeros(len(rows)), s.held_out, seed)
    rows = rows[np.concatenate([kept, aside])]
    scalings = _scalings(cohort, rows[: len(kept)])
    read = _reader(cohort, rows, scalings)
    people = People(read, np.repeat([-1, 0], [len(kept), len(aside)]), np.zeros(len(rows), np.int64), torch.ones(1))
    size = {name: getattr(s, name) for name in SIZE}
    features = {name: scaling.mean.shape[1] for name, scaling in scalings.items()}
    # The caller's own stream of random numbers goes on as if nothing had happened.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = MaskedScans(features, torch.from_numpy(cohort.places), hidden=s.hidden, size=size)
        own = None if folder is None else people.folder_in(Path(folder), ("pretrain", seed, s), s.batch_size)
        train_members(Learner([network], people, masked_loss, s, seed), folder=own, progress=progress)
    explained = _explained(network.to(s.device_now()).eval(), read, np.arange(len(kept), len(rows)), s)
    who = sorted(set(map(str, cohort.participants[rows])))
    places = np.asarray(cohort.places, np.int64)
    del size["dropout"]
    return Pretrained(_weights(network), scalings, size, places, explained, who)


def _chosen(cohort: Cohort, positions: ArrayLike | None) -> NDArray:
    """Return the rows to learn from that have a map."""
    if positions is None:
        labeled = np.array([label is not None for label in cohort.labels], bool)
        known = np.isin(cohort.groups, cohort.groups[labeled]) | np.isin(
            cohort.participants, cohort.participants[labeled]
        )
        rows = np.flatnonzero(~known)
    else:
        rows = check_positions(cohort, positions, "positions")
    rows = rows[cohort.present(rows, list(cohort.tokens)).any(axis=1)]
    # Of one person who is learned from, nothing is left beside the mean map.
    if len(np.unique(cohort.groups[rows])) < 3 or len(cohort.places) < 2:
        raise InputError(
            expected="scans of two patches or more, of three people or families"
            + (" who have no label" if positions is None else ""),
            found=f"{len(cohort.places)} patches, {len(np.unique(cohort.groups[rows]))} among {len(cohort)} sessions",
            where="the pretraining",
            fix="add unlabeled people, or leave pretraining out",
        )
    return rows


def _scalings(cohort: Cohort, rows: NDArray) -> dict[str, Scaling]:
    """Learn where each modality's maps lie; those that lie too far from the others count as pulled back."""
    found = {}
    for name in cohort.tokens:
        mine = rows[cohort.rows[name][rows] >= 0]
        if len(mine):
            frame = Maps.fit(reader_of(cohort, name, mine, ClinicalEncoder()), np.arange(len(mine)), far=_FAR).frame
            mean = frame.mean.reshape(cohort.tokens[name].shape[1:])
            found[name] = Scaling(mean, frame.scale / np.float32(mean.size**0.5), frame.limit)
    return found


def _reader(cohort: Cohort, rows: NDArray, scalings: Mapping[str, Scaling]) -> Reader:
    """Return what reads batches of scaled patches, without labels and clinical data, by rows 0..n-1."""
    count, names = len(rows), list(scalings)
    nothing, targets = torch.zeros((count, 0)), torch.zeros(count, dtype=torch.int64)
    blank = torch.zeros((count, len(names), 0))
    return Reader(
        PatchDataset(cohort, rows),
        partial(_scaled, scalings),
        names,
        cohort.present(rows, names),
        nothing,
        targets,
        blank,
        blank,
        cohort.patch,
    )


def _scaled(scalings: Mapping[str, Scaling], patches: PatchDataset, name: str, rows: NDArray) -> Tensor:
    return scalings[name].apply(patches.tokens(name, rows))


def _explained(network: MaskedScans, read: Reader, rows: NDArray, s: PretrainingSettings) -> dict[str, float]:
    """Return the share of the variance in hidden patches of these people that is predicted, per modality."""
    sums = {name: np.zeros(2) for name in network.names}
    with torch.inference_mode():
        for start in range(0, len(rows), s.batch_size):
            batch = read(rows[start : start + s.batch_size]).to(s.device_now())
            for name, (wrong_B, whole_B) in network.errors(batch).items():
                sums[name] += [float(wrong_B.double().sum()), float(whole_B.double().sum())]
    explained = {name: float(1 - wrong / whole) if whole else 0.0 for name, (wrong, whole) in sums.items()}
    if not np.isfinite([*explained.values()]).all():
        raise InputError(
            expected="an error of hidden patches that is finite",
            found=", ".join(f"{name} {share}" for name, share in explained.items()),
            where="the pretraining",
            fix="look for NaN and huge values in the maps, or lower learning_rate",
        )
    return explained


def _weights(network: MaskedScans) -> dict[str, dict[str, NDArray]]:
    scans: Any = network.scans
    return {
        name: {key: value.cpu().numpy() for key, value in scans[name].encoder.state_dict().items()}
        for name in network.names
    }
