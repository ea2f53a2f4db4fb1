"""The trainer of the networks, on Lightning.

Several members may be trained at once, each without one part of the people: what a member says of the people that it
never saw is an honest prediction, of everybody.

Axis letters: B batch, M modality, T token, F features, Q quality number, K class.
"""

import contextlib
import logging
import math
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, TQDMProgressBar
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from neuromoe.core.errors import InputError


@dataclass(frozen=True)
class TrainerSettings:
    """How a network is trained, whatever it is.

    Parameters
    ----------
    epochs, batch_size : int
        Passes over the people; people per step, over all devices together.
    patience : int
        Epochs without a better loss on held-out people before stopping; the best epoch's weights are kept.
    learning_rate, weight_decay, gradient_clip : float
        Of AdamW, on a cosine from `learning_rate` to 0; largest norm of a step's gradient.
    class_weights : bool
        Weigh people against the frequency of their class.
    device : str
        `auto` (a GPU where there is one), `cpu`, `cuda`, `mps`.
    devices, nodes : int
        How many of them on each of how many computers.
    strategy, precision : str
        Lightning's names: `auto`, `ddp`, `fsdp`, ...; `32-true`, `bf16-mixed`, `16-mixed`.
    workers : int
        Processes that read maps beside the training; 0 reads in it.
    loggers : str
        Where losses go, beside the model: `csv`, `tensorboard`, `wandb`, `mlflow`, several with commas, or empty.
    """

    epochs: int = 20
    batch_size: int = 8
    patience: int = 8
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    gradient_clip: float = 1.0
    class_weights: bool = True
    device: str = "auto"
    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"
    precision: str = "32-true"
    workers: int = 0
    loggers: str = "csv"

    def device_now(self) -> str:
        """Name the device of predictions."""
        if self.device != "auto":
            return self.device
        return "cuda" if torch.cuda.is_available() else "cpu"


@dataclass(frozen=True, eq=False)
class Batch:
    """What a network reads of some people.

    Parameters
    ----------
    rows : tensor (B,), int
        Which of the people.
    tokens : dict of str to tensor (B present, T, F)
        Patches of those who have the modality, in the batch's order.
    clinical : tensor (B, F)
        Encoded clinical features.
    present : tensor (B, M), bool
        Who has what.
    target : tensor (B,), int
        Column of the class.
    quality : tensor (B, M, Q)
        Encoded quality numbers; Q may be 0.
    base : tensor (B, M, K)
        What linear experts say, zeros where the network has none.
    """

    rows: Tensor
    tokens: dict[str, Tensor]
    clinical: Tensor
    present: Tensor
    target: Tensor
    quality: Tensor
    base: Tensor

    def to(self, device: Any, **choices: Any) -> "Batch":
        """Move everything to a device."""
        return self._with(lambda values: values.to(device, **choices), self.tokens)

    def take(self, chosen_B: Tensor, names: Sequence[str]) -> "Batch":
        """Keep some people; `names` are the columns of `present`."""
        tokens = {}
        for column, name in enumerate(names):
            if name in self.tokens:
                tokens[name] = self.tokens[name][chosen_B[self.present[:, column]]]
        return replace(self._with(lambda values: values[chosen_B], {}), tokens=tokens)

    def _with(self, change: Callable[[Tensor], Tensor], tokens: dict[str, Tensor]) -> "Batch":
        parts = {name: change(getattr(self, name)) for name in self.__dataclass_fields__ if name != "tokens"}
        return Batch(tokens={name: change(values) for name, values in tokens.items()}, **parts)


@dataclass(frozen=True, eq=False)
class People:
    """Who is trained on.

    Parameters
    ----------
    read : function
        From rows 0..n-1 to a Batch with targets.
    parts : array (n,), int
        Which member never sees the person: none of them where -1.
    class_weights : tensor (K,)
        Of the loss.
    """

    read: Callable[[NDArray], Batch]
    parts: NDArray
    class_weights: Tensor


# From a member, a batch, the class weights and the sum over processes to each person's loss (B,) and a penalty.
Objective = Callable[[nn.Module, Batch, Tensor, Callable[[Tensor], Tensor]], tuple[Tensor, Tensor]]


class _Rows(Dataset):
    """The people of a loader; a whole batch is read at once."""

    def __init__(self, read: Callable[[NDArray], Batch], count: int) -> None:
        self.read, self.count = read, count

    def __len__(self) -> int:
        return self.count

    def __getitems__(self, rows: list[int]) -> Batch:
        return self.read(np.asarray(rows, np.int64))


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
        settings: TrainerSettings,
        seed: int,
    ) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.people, self.objective, self.settings, self.seed = people, objective, settings, seed
        self.history: list[dict[str, float]] = []
        self.sums = torch.zeros(4, dtype=torch.float64)

    def train_dataloader(self) -> DataLoader:
        """Return everybody whom a member trains on."""
        seen = self.people.parts < 0 if len(self.members) == 1 else np.ones(len(self.people.parts), bool)
        return self._loader(np.flatnonzero(seen), shuffle=True)

    def val_dataloader(self) -> DataLoader:
        """Return everybody whom a member is judged on."""
        return self._loader(np.flatnonzero(self.people.parts >= 0), shuffle=False)

    def _loader(self, rows: NDArray, *, shuffle: bool) -> DataLoader:
        return DataLoader(
            _Rows(self.people.read, len(self.people.parts)),
            batch_sampler=_Order(rows, self, shuffle=shuffle),
            collate_fn=_itself,
            num_workers=self.settings.workers,
        )

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

    def _member_loss(self, member: nn.Module, batch: Batch, mine_B: Tensor) -> Tensor:
        mine = batch.take(mine_B, member.names)
        count = self._total(mine_B.sum().double())
        loss_B, penalty = self.objective(member, mine, self.people.class_weights.to(self.device), self._total)
        self.sums[:2] += torch.stack([loss_B.detach().double().sum().cpu(), torch.tensor(float(len(loss_B)))])
        # Lightning averages gradients over processes; the batch's mean is over all of its people.
        return loss_B.sum() * self.trainer.world_size / count.clamp(min=1).to(loss_B.dtype) + penalty

    def validation_step(self, batch: Batch, _: int) -> None:
        """Judge each member on its own part."""
        parts_B = self._parts(batch)
        for number in torch.unique(parts_B).tolist():
            member = self.members[number]
            mine = batch.take(parts_B == number, member.names)
            loss_B, _ = self.objective(member, mine, self.people.class_weights.to(self.device), _alone)
            self.sums[2:] += torch.stack([loss_B.double().sum().cpu(), torch.tensor(float(len(loss_B)))])

    def on_validation_epoch_end(self) -> None:
        """Log the loss of training people and of held-out people."""
        self._close_epoch()

    def on_train_epoch_end(self) -> None:
        """Log the training loss where nobody is held out."""
        if len(self.history) == self.current_epoch:
            self._close_epoch()

    def _close_epoch(self) -> None:
        sums = self._total(self.sums.to(self.device)).cpu()
        found = {"train": float(sums[0] / sums[1].clamp(min=1))}
        if sums[3]:
            found["val"] = float(sums[2] / sums[3])
        self.history.append(found)
        self.log_dict(found, prog_bar=True)
        self.sums.zero_()

    def _total(self, values: Tensor) -> Tensor:
        if self.trainer.world_size == 1:
            return values
        from torch.distributed.nn.functional import all_reduce

        return all_reduce(values)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the losses so far."""
        checkpoint["history"] = self.history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on where the losses ended."""
        self.history = list(checkpoint["history"])


def _itself(batch: Batch) -> Batch:
    return batch


def _alone(values: Tensor) -> Tensor:
    return values


class _Lines(Callback):
    """A line per epoch, where nobody looks at a terminal."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say the losses."""
        assert isinstance(pl_module, Learner)
        losses = ", ".join(f"{name} loss {value:.4f}" for name, value in pl_module.history[-1].items())
        print(f"epoch {pl_module.current_epoch + 1} of {pl_module.settings.epochs}: {losses}", flush=True)


def train_members(learner: Learner, *, folder: Path | None = None, progress: bool = False) -> list[dict[str, float]]:
    """Train, and leave each member with the weights of the best epoch on held-out people, else the last.

    Parameters
    ----------
    learner : Learner
    folder : path, optional
        Where checkpoints and logs are kept; a checkpoint that is there is gone on from, with the same result as an
        uninterrupted run. Without, nothing is kept.
    progress : bool, default=False
        Show a bar on a terminal, else a line per epoch.

    Returns
    -------
    list of dict
        Loss of the training people, and of held-out people where there are any, per epoch.
    """
    s, judged = learner.settings, bool((learner.people.parts >= 0).any())
    with _quietly(), contextlib.ExitStack() as stack:
        kept = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="neuromoe-")))
        monitor = {"monitor": "val"} if judged else {}
        keeper = ModelCheckpoint(kept, "best", save_last=True, save_on_train_epoch_end=True, **monitor)
        keeper.CHECKPOINT_NAME_LAST, keeper._enable_version_counter = "last", False
        callbacks: list[Callback] = [EarlyStopping("val", patience=s.patience)] if judged else []
        terminal = progress and sys.stderr.isatty()
        callbacks += [TQDMProgressBar()] * terminal + [_Lines()] * (progress and not terminal) + [keeper]
        trainer = Trainer(
            accelerator={"cuda": "gpu"}.get(s.device, s.device),
            devices=s.devices,
            num_nodes=s.nodes,
            strategy=s.strategy,
            precision=s.precision,
            max_epochs=s.epochs,
            callbacks=callbacks,
            logger=_loggers(s.loggers, folder) if folder else False,
            default_root_dir=kept,
            enable_progress_bar=terminal,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            limit_val_batches=None if judged else 0,
            use_distributed_sampler=False,
            gradient_clip_val=s.gradient_clip,
            log_every_n_steps=1,
        )
        last = kept / "last.ckpt"
        trainer.fit(learner, ckpt_path=last if last.is_file() else None, weights_only=True)
        if judged and keeper.best_model_path:
            best = torch.load(keeper.best_model_path, map_location="cpu", weights_only=True)
            learner.load_state_dict(best["state_dict"])
    return learner.history


def forget(folder: Path) -> None:
    """Remove what a finished run needs no more; its logs stay."""
    for path in folder.glob("*.ckpt"):
        path.unlink()


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep Lightning's hints about itself, which a user of the models can do nothing about, from the output."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", message=".*(num_workers|does not have many workers|lr_scheduler.step).*")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _loggers(names: str, folder: Path) -> list[Any]:
    """Make Lightning's loggers by name."""
    from lightning.pytorch import loggers

    kinds = {
        "csv": lambda: loggers.CSVLogger(folder, name="", version="logs"),
        "tensorboard": lambda: loggers.TensorBoardLogger(folder, name="", version="logs"),
        "wandb": lambda: loggers.WandbLogger(save_dir=folder, project="neuromoe"),
        "mlflow": lambda: loggers.MLFlowLogger(tracking_uri=f"file:{folder / 'mlflow'}", experiment_name="neuromoe"),
    }
    found = []
    for name in filter(None, (part.strip() for part in names.split(","))):
        try:
            found.append(kinds[name]())
        except (KeyError, ModuleNotFoundError) as err:
            raise InputError(
                expected=f"loggers of {', '.join(kinds)} whose packages are installed",
                found=f"{name}: {err}",
                where="the setting loggers",
                fix=f"pip install {name}, or choose another" if name in kinds else "correct its name",
            ) from err
    return found
