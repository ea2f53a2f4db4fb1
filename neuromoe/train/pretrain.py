"""Encoders that learn from the scans of people without a label, before any model is fitted."""

from pathlib import Path
from typing import Any


def pretrain(
    *,
    store: Path,
    clinical: Path,
    pretrained: Path,
    people: str = "unlabeled",
    settings: dict[str, Any] | None = None,
    threads: int = 1,
    seed: int = 0,
) -> None:
    """Train the encoders of `neuromoe` and `neuromoe-paper` to predict hidden patches of scans.

    Parameters
    ----------
    store : path
        The folder of `tensors store`, or its index.tsv.
    clinical : path
        index/clinical.tsv, with clinical.json beside it: who has a label.
    pretrained : path
        pretrained.json to write into a folder of its own: who was looked at, the encoders' size, and for each modality
        the share of the variance in hidden patches that is predicted in people held out. The weights lie beside it, in
        pretrained.safetensors. While it runs, checkpoints and losses are in a folder `..._training` beside it.
    people : str, default="unlabeled"
        `unlabeled`: participants and families without any label, so that nobody is looked at whom a model is tested
        on; `all`: everybody's scans, never their labels.
    settings : dict, optional
        Fields of `neuromoe.model.pretraining.PretrainingSettings`.
    threads : int, default=1
        Of torch. Results are the same for the same number only.
    seed : int, default=0
        Of all draws.

    Raises
    ------
    InputError
        Fewer than three unlabeled people have scans, or the file is named otherwise, or a setting is unknown.
    """
    import numpy as np
    import torch

    from neuromoe.core.errors import InputError
    from neuromoe.model import Cohort
    from neuromoe.model.pretraining import pretrain as train_encoders

    if people not in ("unlabeled", "all"):
        raise InputError(
            expected="unlabeled or all", found=people, where="the setting train.pretrain.people", fix="correct it"
        )
    if pretrained.name != "pretrained.json":
        raise InputError(
            expected="a file pretrained.json in a folder of its own",
            found=str(pretrained),
            where="--pretrained",
            fix="write, say, results/pretrained/pretrained.json",
        )
    folder = pretrained.resolve().parent
    torch.set_num_threads(threads)
    cohort = Cohort.open(store, clinical=clinical)
    positions = np.arange(len(cohort)) if people == "all" else None
    training = folder.with_name(f"{folder.name}_training")
    found = train_encoders(cohort, positions, seed=seed, folder=training, progress=True, **(settings or {}))
    found.save(folder)
    for path in training.rglob("*.ckpt"):
        path.unlink()
    told = ", ".join(f"{name} {share:.1%}" for name, share in found.explained.items())
    print(f"encoders of {len(found.participants)} participants; predicted of hidden patches in people held out: {told}")
