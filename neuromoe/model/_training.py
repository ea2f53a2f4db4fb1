"""The training loop of the networks.

Axis letters: B batch, M modality, T token, F features, K class.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neuromoe.model.losses import balance_penalty, weighted_cross_entropy


@dataclass(frozen=True, eq=False)
class Batch:
    """What the network reads of some people.

    Parameters
    ----------
    tokens : dict of str to tensor (B present, T, F)
        Patches of those who have the modality, in the batch's order.
    clinical : tensor (B, F)
        Encoded clinical features.
    present : tensor (B, M), bool
        Who has what.
    target : tensor (B,), int
        Column of the class.
    """

    tokens: dict[str, Tensor]
    clinical: Tensor
    present: Tensor
    target: Tensor

    def to(self, device: str) -> "Batch":
        """Move everything to a device."""
        tokens = {name: values.to(device) for name, values in self.tokens.items()}
        return Batch(tokens, self.clinical.to(device), self.present.to(device), self.target.to(device))


def train_network(
    network: nn.Module,
    read: Callable[[NDArray, bool], Batch],
    train: NDArray,
    val: NDArray,
    settings: Any,
    class_weights_K: Tensor,
    seed: int,
) -> list[dict[str, float]]:
    """Train with AdamW on a cosine, and stop where the validation people's loss no longer falls.

    Parameters
    ----------
    network : module
        Returns log probabilities (B, K) and log gate (B, M) of a Batch; left with its best epoch's weights.
    read : function
        From positions (and True for targets) to a Batch.
    train, val : array, int
        Positions; with an empty `val` all epochs are run and the last weights stay.
    settings : PaperSettings
        Epochs, rates and so on.
    class_weights_K : tensor (K,)
        Of the cross-entropy.
    seed : int
        Of the order of people.

    Returns
    -------
    list of dict
        Loss of the training people and of `val` per epoch.
    """
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    steps = settings.epochs * -(-len(train) // settings.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    history: list[dict[str, float]] = []
    best, best_state, waited = np.inf, None, 0
    for _ in range(settings.epochs):
        network.train()
        losses = []
        for rows in _batches(rng.permutation(train), settings.batch_size):
            loss = _loss(network, read(rows, True), settings, class_weights_K)
            _step(network, loss, optimizer, settings.gradient_clip)
            schedule.step()
            losses.append(float(loss.detach()) * len(rows))
        history.append({"train": sum(losses) / len(train)})
        if len(val):
            now = history[-1]["val"] = _validate(network, read, val, settings, class_weights_K)
            best, best_state, waited = (now, _copy(network), 0) if now < best else (best, best_state, waited + 1)
            if waited >= settings.patience:
                break
    if best_state is not None:
        network.load_state_dict(best_state)
    return history


def _batches(rows: NDArray, size: int) -> list[NDArray]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(network.state_dict())


def _loss(network: nn.Module, batch: Batch, settings: Any, class_weights_K: Tensor) -> Tensor:
    log_mixture_BK, log_gate_BM = network(batch)
    penalty = balance_penalty(log_gate_BM.exp(), batch.present, corrected=settings.balance_correction)
    return weighted_cross_entropy(log_mixture_BK, batch.target, class_weights_K) + settings.balance * penalty


def _step(network: nn.Module, loss: Tensor, optimizer: torch.optim.Optimizer, clip: float) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), clip)
    optimizer.step()


def _validate(
    network: nn.Module,
    read: Callable[[NDArray, bool], Batch],
    val: NDArray,
    settings: Any,
    class_weights_K: Tensor,
) -> float:
    network.eval()
    total = 0.0
    with torch.inference_mode():
        for rows in _batches(val, settings.batch_size):
            batch = read(rows, True)
            total += float(weighted_cross_entropy(network(batch)[0], batch.target, class_weights_K)) * len(rows)
    return total / len(val)
