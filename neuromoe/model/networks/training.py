"""The trainer of the networks, on Lightning: settings, checkpoints, loggers, a progress line."""

import contextlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from neuromoe.core.errors import InputError
from neuromoe.model.networks.learner import Learner


@dataclass(frozen=True)
class TrainerSettings:
    """How a network is trained, whatever it is.

    Parameters
    ----------
    epochs, batch_size : int
        Passes over the people; people per step, over all devices together.
    patience : int
        Epochs without a better loss on held-out people before stopping; the best epoch's weights are kept. 0 trains to
        the end and keeps the last weights.
    learning_rate, weight_decay, gradient_clip : float
        Of AdamW, on a cosine from `learning_rate` to 0; largest norm of a step's gradient.
    class_weights : bool
        Weigh people against the frequency of their class.
    device : str
        `auto` (a GPU where there is one), `cpu`, `cuda`, `mps`.
    devices, nodes : int
        How many of them on each of how many computers.
    strategy, precision : str
        Lightning's names: `auto`, `ddp`, `fsdp`, ...; one of `32-true`, `bf16-mixed`, `16-mixed`.
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

    def strategy_now(self) -> str:
        """Name Lightning's strategy; several processes must bear that a batch lacks a modality, and so an encoder."""
        shared = self.devices * self.nodes > 1 and self.strategy in ("auto", "ddp")
        return "ddp_find_unused_parameters_true" if shared else self.strategy

    def device_now(self) -> str:
        """Name the device of predictions."""
        if self.device != "auto":
            return self.device
        return "cuda" if torch.cuda.is_available() else "cpu"


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
    stops = judged and s.patience > 0
    with _quietly(), contextlib.ExitStack() as stack:
        kept = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="neuromoe-")))
        keeper = ModelCheckpoint(
            kept, "best", monitor="val" if stops else None, save_last=True, save_on_train_epoch_end=True
        )
        keeper.CHECKPOINT_NAME_LAST, keeper._enable_version_counter = "last", False
        callbacks: list[Callback] = [EarlyStopping("val", patience=s.patience)] if stops else []
        terminal = progress and sys.stderr.isatty()
        callbacks += [TQDMProgressBar()] * terminal + [keeper]
        learner.saying = progress and not terminal
        trainer = _trainer(
            s,
            callbacks=callbacks,
            logger=_loggers(s.loggers, folder) if folder else False,
            default_root_dir=kept,
            enable_progress_bar=terminal,
            limit_val_batches=None if judged else 0,
        )
        trainer.fit(learner, ckpt_path=_last(kept), weights_only=True)
        if stops and keeper.best_model_path:
            best = torch.load(keeper.best_model_path, map_location="cpu", weights_only=True)
            learner.load_state_dict(best["state_dict"])
    return learner.history


def _last(kept: Path) -> Path | None:
    """Return the checkpoint to go on from; none that is half, or names a best one of before its folder was moved."""
    path = kept / "last.ckpt"
    if not path.is_file():
        return None
    try:
        callbacks = torch.load(path, map_location="cpu", weights_only=True)["callbacks"]
        here = {state["dirpath"] for state in callbacks.values() if "dirpath" in state} == {os.path.realpath(kept)}
    except (RuntimeError, EOFError, KeyError, UnpicklingError):
        here = False
    if not here:
        print(f"note: {path} is damaged or was moved: training starts again", flush=True)
    return path if here else None


def _trainer(s: Any, **more: Any) -> Trainer:
    try:
        return Trainer(
            accelerator={"cuda": "gpu"}.get(s.device_now(), s.device_now()),
            devices=s.devices,
            num_nodes=s.nodes,
            strategy=s.strategy_now(),
            precision=s.precision,
            max_epochs=s.epochs,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            gradient_clip_val=s.gradient_clip,
            log_every_n_steps=1,
            **more,
        )
    except (ValueError, MisconfigurationException) as err:
        raise InputError(
            expected="a device, devices, nodes, strategy and precision that Lightning can use on this computer",
            found=str(err),
            where="the settings of the network",
            fix="correct the one that is named, or leave it out",
        ) from err


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
        except ModuleNotFoundError as err:
            raise InputError(
                expected="loggers whose packages are installed",
                found=f"{name}: {err}",
                where="the setting loggers",
                fix=f"pip install {name}, or choose another",
            ) from err
    return found
