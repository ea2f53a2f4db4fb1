"""Deep peers of MONAI that fuse early: all maps are channels of one volume, zeros where absent.

Axis letters: N people, C channel, X Y Z voxels, F encoded clinical features, K class.
"""

import copy

import numpy as np
import torch
from _simulators import MODALITIES, SIDE, Simulated
from numpy.typing import NDArray
from torch import Tensor, nn

from neuromoe.cohort.clinical import ClinicalEncoder
from neuromoe.cohort.inner import split_inner
from neuromoe.cohort.patches import join_patches

DEEP = ("early-cnn", "early-transformer")
EPOCHS, BATCH, PATIENCE, SHARE = 40, 8, 10, 0.2


class _WithClinical(nn.Module):
    """A network of MONAI on the volumes, and a linear map of the clinical features beside it."""

    def __init__(self, network: nn.Module, features: int, classes: int) -> None:
        super().__init__()
        self.network, self.clinical = network, nn.Linear(features, classes)

    def forward(self, volumes: Tensor, clinical: Tensor) -> Tensor:
        logits = self.network(volumes)
        return (logits[0] if isinstance(logits, tuple) else logits) + self.clinical(clinical)


def learn_deep(method: str, simulated: Simulated, seed: int) -> NDArray:
    """Train with early stopping on an inner part; return the external people's probabilities (n, K)."""
    cohort, train, external = simulated.cohort, simulated.train, simulated.external
    targets = cohort.labels[train].astype(int)
    table = ClinicalEncoder.fit(cohort.clinical.iloc[train], cohort.clinical_types).encode(cohort.clinical, len(cohort))
    volumes, clinical = torch.from_numpy(_volumes(simulated)), torch.from_numpy(table)
    kept, aside = split_inner(cohort.groups[train], targets, SHARE, seed)
    labels = torch.zeros(len(cohort), dtype=torch.long)
    labels[train] = torch.from_numpy(targets)
    torch.manual_seed(seed)
    model = _WithClinical(
        _network(method, volumes.shape[1], int(targets.max()) + 1), table.shape[1], int(targets.max()) + 1
    )
    counts = torch.bincount(labels[train])
    loss = nn.CrossEntropyLoss(weight=len(train) / (len(counts) * counts))
    _train(model, volumes, clinical, labels, train[kept], train[aside], loss, seed)
    with torch.inference_mode():
        said = [model(volumes[rows], clinical[rows]).softmax(dim=1) for rows in np.array_split(external, 20)]
    return torch.cat(said).double().numpy()


def _volumes(simulated: Simulated) -> NDArray:
    """Return volumes (N, C, X, Y, Z), each channel less its mean over training people and of unit deviation."""
    from _learners import scaled

    cohort, found = simulated.cohort, []
    for name in MODALITIES:
        there = np.flatnonzero(cohort.rows[name] >= 0)
        maps = scaled(simulated, name, there)
        tokens = len(cohort.places)
        patches = maps.reshape(*maps.shape[:2], tokens, -1).transpose(0, 2, 1, 3).reshape(len(there), tokens, -1)
        volumes = np.zeros((len(cohort), maps.shape[1], SIDE, SIDE, SIDE), np.float32)
        volumes[there] = join_patches(patches, cohort.places, cohort.grid) * maps.shape[2] ** 0.5
        found.append(volumes)
    return np.concatenate(found, axis=1)


def _network(method: str, channels: int, classes: int) -> nn.Module:
    from monai.networks.nets import ViT, resnet10

    if method == "early-cnn":
        return resnet10(spatial_dims=3, n_input_channels=channels, num_classes=classes, feed_forward=True)
    size = {"hidden_size": 64, "mlp_dim": 128, "num_layers": 2, "num_heads": 4, "dropout_rate": 0.3}
    shape = (SIDE,) * 3
    return ViT(channels, shape, 4, classification=True, num_classes=classes, post_activation="", **size)


def _train(
    model: nn.Module,
    volumes: Tensor,
    clinical: Tensor,
    labels: Tensor,
    train: NDArray,
    val: NDArray,
    loss: nn.Module,
    seed: int,
) -> None:
    rng, best, waited = np.random.default_rng(seed), np.inf, 0
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=1e-2)
    state = copy.deepcopy(model.state_dict())
    for _ in range(EPOCHS):
        model.train()
        for rows in np.array_split(rng.permutation(train), max(len(train) // BATCH, 1)):
            optimizer.zero_grad()
            loss(model(volumes[rows], clinical[rows]), labels[rows]).backward()
            optimizer.step()
        model.eval()
        with torch.inference_mode():
            now = float(loss(model(volumes[val], clinical[val]), labels[val]))
        best, state, waited = (now, copy.deepcopy(model.state_dict()), 0) if now < best else (best, state, waited + 1)
        if waited >= PATIENCE:
            break
    model.load_state_dict(state)
    model.eval()
