"""Networks that are trained side by side, each without a part of the people, so that what it says of them is honest.

Axis letters: B batch, M modality, T token, F features, K class.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader

from neuromoe.cohort.loading import batch_loader


@dataclass(frozen=True, eq=False)
class Batch:
    """What a network reads of some people.

    Parameters
    ----------
    rows : tensor (B,), int
        Which of the people.
    tokens : dict of str to tensor (B present, T, F)
        Patches of those who have the modality, in the batch's order; no entry where nobody has it.
    clinical : tensor (B, F)
        Encoded clinical features.
    present : tensor (B, M), bool
        Who has what.
    target : tensor (B,), int
        Column of the class.
    """

    rows: Tensor
    tokens: dict[str, Tensor]
    clinical: Tensor
    present: Tensor
    target: Tensor

    def to(self, device: Any, **choices: Any) -> "Batch":
        """Move everything to a device."""
        return self._with(lambda values: values.to(device, **choices), self.tokens)

    def take(self, chosen_B: Tensor, names: Sequence[str]) -> "Batch":
        """Keep some people; `names` are the columns of `present`."""
        tokens = {}
        for column, name in enumerate(names):
            kept = chosen_B[self.present[:, column]]
            if name in self.tokens and kept.any():
                tokens[name] = self.tokens[name][kept]
        return replace(self._with(lambda values: values[chosen_B], {}), tokens=tokens)

    def _with(self, change: Callable[[Tensor], Tensor], tokens: dict[str, Tensor]) -> "Batch":
        parts: dict[str, Any] = {k: change(value) for k, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, tokens={name: change(values) for name, values in tokens.items()}, **parts)


@dataclass(frozen=True, eq=False)
class People:
    """Who is trained on.

    Parameters
    ----------
    read : function
        From rows 0..n-1 to a Batch with targets.
    parts : array (n,), int
        Which member never sees the person: none of them where -1.
    targets : array (n,), int
        Column of the class.
    class_weights : tensor (K,)
        Of the loss.
    """

    read: Callable[[NDArray], Batch]
    parts: NDArray
    targets: NDArray
    class_weights: Tensor

    def folder_in(self, folder: Path, known: Any, batch_size: int) -> Path:
        """Name a folder that no training of other people, maps or settings, all of which `known` tells, goes on from.

        Reads everybody once, in batches.
        """
        digest = hashlib.sha256(repr(known).encode())
        for start in range(0, len(self.parts), batch_size):
            rows = np.arange(start, min(start + batch_size, len(self.parts)))
            batch = self.read(rows)
            read = [batch.clinical, batch.present, *batch.tokens.values()]
            for values in [self.parts[rows], self.targets[rows], *read]:
                digest.update(np.ascontiguousarray(values).tobytes())
        return folder / digest.hexdigest()[:12]


# From a member, a batch, the class weights and the sum over processes to each person's loss (B,) and a penalty.
Objective = Callable[[Any, Batch, Tensor, Callable[[Tensor], Tensor]], tuple[Tensor, Tensor]]


class _Order:
    """Batches of rows; shuffled anew each epoch from the seed alone, so that a resumed run meets the same ones.

    Each process takes every n-th row of each batch.
    """

    def __init__(self, rows: NDArray, learner: "Learner", *, shuffle: bool) -> None:
        self.rows, self.learner, self.shuffle = rows, learner, shuffle

    def __len__(self) -> int:
        return math.ceil(len(self.rows) / self.learner.settings.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        learner, size, order = self.learner, self.learner.settings.batch_size, self.rows
        if self.shuffle:
            order = np.random.default_rng([learner.seed, learner.current_epoch]).permutation(order)
        for start in range(0, len(order), size):
            yield order[start : start + size][learner.global_rank :: learner.trainer.world_size].tolist()


class Learner(LightningModule):
    """Members that are trained side by side, each judged on the people that it does not see.

    Parameters
    ----------
    members : list of module
    people : People
    objective : function
    settings : TrainerSettings
    seed : int
        Of the order of people and of dropout.
    """

    def __init__(
        self,
        members: Sequence[nn.Module],
        people: People,
        objective: Objective,
        settings: Any,
        seed: int,
    ) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.people, self.objective, self.settings, self.seed = people, objective, settings, seed
        self.history: list[dict[str, float]] = []
        self.saying = False
        self.sums = torch.zeros(4, dtype=torch.float64)

    def train_dataloader(self) -> DataLoader:
        """Return everybody whom a member trains on."""
        seen = self.people.parts < 0 if len(self.members) == 1 else np.ones(len(self.people.parts), bool)
        return self._loader(np.flatnonzero(seen), shuffle=True)

    def val_dataloader(self) -> DataLoader:
        """Return everybody whom a member is judged on."""
        return self._loader(np.flatnonzero(self.people.parts >= 0), shuffle=False)

    def _loader(self, rows: NDArray, *, shuffle: bool) -> DataLoader:
        return batch_loader(self.people.read, _Order(rows, self, shuffle=shuffle), workers=self.settings.workers)

    def configure_optimizers(self) -> Any:
        """Return AdamW on a cosine over all steps; small parts that start at zero, as the gate, go faster."""
        s = self.settings
        fast = {id(value) for member in self.members for value in getattr(member, "fast", list)()}
        groups = [
            {"params": [value for value in self.parameters() if id(value) not in fast], "lr": s.learning_rate},
            {"params": [value for value in self.parameters() if id(value) in fast], "lr": 10 * s.learning_rate},
        ]
        optimizer = torch.optim.AdamW([group for group in groups if group["params"]], weight_decay=s.weight_decay)
        steps = max(s.epochs * len(self.train_dataloader()), 1)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(self, *_: Any, **__: Any) -> None:
        """Clip each member by itself: they do not know of each other."""
        for member in self.members:
            torch.nn.utils.clip_grad_norm_(member.parameters(), self.settings.gradient_clip)

    def on_train_epoch_start(self) -> None:
        """Draw the epoch's random numbers from seed, epoch and process alone."""
        state = np.random.SeedSequence([self.seed, self.current_epoch, self.global_rank]).generate_state(1)
        torch.manual_seed(int(state[0]))
        self.sums.zero_()

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Return the members' summed loss."""
        parts_B = self._parts(batch)
        losses = [self._member_loss(member, batch, parts_B != number) for number, member in enumerate(self.members)]
        return torch.stack(losses).sum()

    def _parts(self, batch: Batch) -> Tensor:
        return torch.from_numpy(self.people.parts[batch.rows.cpu().numpy()]).to(batch.rows.device)

    def _member_loss(self, member: Any, batch: Batch, mine_B: Tensor) -> Tensor:
        mine = batch.take(mine_B, member.names)
        count = self._total(mine_B.sum().float())
        loss_B, penalty = self.objective(member, mine, self.people.class_weights.to(self.device), self._total)
        self.sums[:2] += torch.stack([loss_B.detach().cpu().double().sum(), torch.tensor(float(len(loss_B)))])
        # Lightning averages gradients over processes; the batch's mean is over all of its people.
        return loss_B.sum() * self.trainer.world_size / count.clamp(min=1).to(loss_B.dtype) + penalty

    def validation_step(self, batch: Batch, _: int) -> None:
        """Judge each member on its own part."""
        parts_B = self._parts(batch)
        member: Any
        for number, member in enumerate(self.members):
            mine = batch.take(parts_B == number, member.names)
            loss_B = self.objective(member, mine, self.people.class_weights.to(self.device), _alone)[0]
            self.sums[2:] += torch.stack([loss_B.cpu().double().sum(), torch.tensor(float(len(loss_B)))])

    def on_validation_epoch_end(self) -> None:
        """Log the loss of training people and of held-out people."""
        self._close_epoch()

    def on_train_epoch_end(self) -> None:
        """Log the training loss where nobody is held out."""
        if len(self.history) == self.current_epoch:
            self._close_epoch()

    def _close_epoch(self) -> None:
        shared = self.trainer.world_size > 1
        sums = self._total(self.sums.to(self.device)).cpu() if shared else self.sums
        found = {"train": float(sums[0] / sums[1].clamp(min=1))}
        if sums[3]:
            found["val"] = float(sums[2] / sums[3])
        self.history.append(found)
        if self.saying and self.global_rank == 0:
            losses = ", ".join(f"{name} loss {value:.4f}" for name, value in found.items())
            print(f"epoch {self.current_epoch + 1} of {self.settings.epochs}: {losses}", flush=True)
        self.log_dict(found, prog_bar=True)
        self.sums.zero_()

    def _total(self, values: Tensor) -> Tensor:
        if self.trainer.world_size == 1:
            return values
        everywhere = self.all_gather(values, sync_grads=True)
        assert isinstance(everywhere, Tensor)
        return everywhere.sum(dim=0)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the losses so far."""
        checkpoint["history"] = self.history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on where the losses ended."""
        self.history = list(checkpoint["history"])


def _alone(values: Tensor) -> Tensor:
    return values
