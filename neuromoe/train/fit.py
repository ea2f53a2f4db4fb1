"""One model of one experiment, fitted on one fold."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuromoe.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from neuromoe.model import Cohort, Model
    from neuromoe.train._split_file import Fold


def fit(
    *,
    store: Path,
    clinical: Path,
    split: Path,
    predictions: Path,
    model: Path,
    experiment: str,
    kind: str,
    settings: dict[str, Any] | None = None,
    search: dict[str, Any] | None = None,
    candidates: list[Path] | None = None,
    repeat: int = 0,
    fold: int = 0,
    threads: int = 1,
    seed: int = 0,
) -> None:
    """Fit a model on a fold's training people and predict its test people.

    Parameters
    ----------
    store : path
        The folder of `tensors store`, or its index.tsv.
    clinical : path
        index/clinical.tsv, with clinical.json beside it.
    split : path
        The frozen split.
    predictions : path
        Table to write, one row per test session: repeat, fold, participant_id, session_id, label,
        p_<class>..., gate_<modality>..., pattern (what the person has, as `anat+func+clinical`).
    model : path
        Folder for the fitted model. Beside it, in `training`, a network keeps its losses and, until it is fitted, the
        checkpoints that a fit that was killed goes on from.
    experiment : str
        Its name, for the log.
    kind : str
        The model, one of `neuromoe.model.available()`.
    settings : dict, optional
        The model's own.
    search : dict, optional
        `trials` and `space` of a search for settings within the training people, see `neuromoe.model.search`.
    candidates : list of path, optional
        Predictions of experiments that were fitted on this fold, each beside the folder of its model. `neuromoe-auto`
        takes them as candidates where their settings are those that it would fit them with.
    repeat, fold : int, default=0
        Which of the split's, both counted from 0.
    threads : int, default=1
        Of torch. Results are the same for the same number only.
    seed : int, default=0
        Of the model; each repeat and fold draws its own from it.

    Raises
    ------
    InputError
        The split does not fit the store, or somebody would be in two parts.
    """
    import numpy as np

    from neuromoe.core.atomic import write_text
    from neuromoe.model import Cohort, LongFit, build_model, load
    from neuromoe.model.auto import NeuroMoEAuto
    from neuromoe.train._split_file import read_fold

    if kind.startswith("neuromoe"):
        import torch

        torch.set_num_threads(threads)
    cohort, parts = Cohort.open(store, clinical=clinical), read_fold(split, repeat, fold)
    rows = {name: _rows(cohort, getattr(parts, name)) for name in ("train", "val", "test")}
    _check(cohort, rows, parts, split)
    counts = ", ".join(f"{len(value)} {name}" for name, value in rows.items())
    print(f"{experiment}, repeat {repeat}, fold {fold}: {kind} on {counts} sessions", flush=True)
    own_seed = int(np.random.SeedSequence([seed, repeat, fold]).generate_state(1)[0])
    if search:
        from neuromoe.model.search import search_settings

        both = np.concatenate([rows["train"], rows["val"]])
        found = search_settings(kind, cohort, both, settings=settings or {}, seed=own_seed, progress=True, **search)
        settings = found.settings
    fitted = build_model(kind, seed=own_seed, **(settings or {}))
    if isinstance(fitted, LongFit):
        fitted.folder, fitted.progress = model.parent / "training", True
    if candidates and isinstance(fitted, NeuroMoEAuto):
        fitted.lent = {one.name: one for one in (load(path.parent / "model") for path in candidates)}
    fitted.fit(cohort, rows["train"], rows["val"] if len(rows["val"]) else None)
    table = _predict(fitted, cohort, rows["test"], repeat, fold)
    fitted.save(model)
    if isinstance(fitted, LongFit):
        fitted.forget_checkpoints()
    write_text(predictions, table.to_csv(sep="\t", index=False, float_format="%.9g", lineterminator="\n"))
    named = fitted.classes_[table.filter(regex="^p_").to_numpy().argmax(axis=1)].astype(str)
    right = (table["label"] == named).sum()
    print(f"{right} of {len(table)} test sessions right (one fold; `evaluate score` pools them)", flush=True)


def _rows(cohort: "Cohort", names: frozenset[str]) -> "np.ndarray":
    """Return the labeled sessions of these participants."""
    import numpy as np

    known = np.array([label is not None for label in cohort.labels], bool)
    return np.flatnonzero(np.isin(cohort.participants, sorted(names)) & known)


def _check(cohort: "Cohort", rows: "dict[str, np.ndarray]", parts: "Fold", split: Path) -> None:
    from neuromoe.train._split_file import check_disjoint

    for what in ("participants", "groups"):
        owners = getattr(cohort, what)
        check_disjoint({name: frozenset(owners[value].tolist()) for name, value in rows.items()}, what, split)
    here = set(cohort.participants.tolist())
    absent = sorted((parts.train | parts.val | parts.test) - here)
    if absent:
        print(f"not in the store, so left out: {', '.join(absent)}", flush=True)
    if not len(rows["train"]) or not len(rows["test"]):
        raise InputError(
            expected="people to train on and to test in the store",
            found=f"{len(rows['train'])} and {len(rows['test'])} sessions",
            where=split,
            fix="run `tensors store` and `train split` on the same participants",
        )


def _predict(model: "Model", cohort: "Cohort", rows: "np.ndarray", repeat: int, fold: int) -> "pd.DataFrame":
    import pandas as pd

    probabilities, weights = model.predict_proba(cohort, rows), model.gate(cohort, rows)
    return pd.DataFrame(
        {
            "repeat": repeat,
            "fold": fold,
            "participant_id": cohort.participants[rows],
            "session_id": cohort.sessions[rows],
            "label": [str(label) for label in cohort.labels[rows]],
            **{f"p_{name}": probabilities[:, column] for column, name in enumerate(model.classes_)},
            **{f"gate_{name}": weights[:, column] for column, name in enumerate(model.modalities_)},
            "pattern": cohort.patterns(rows),
        }
    )
