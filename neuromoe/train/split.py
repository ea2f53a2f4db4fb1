"""Who is trained on and who is tested, decided before anything is fitted."""

from pathlib import Path


def split(
    *,
    clinical: Path,
    split: Path,
    scheme: str = "kfold",
    folds: int = 5,
    repeats: int = 1,
    validation_share: float = 0.2,
    seed: int = 0,
) -> None:
    """Freeze the split that every model of every experiment uses.

    The participant, or the family where there is one, is the unit; classes, and sites within them, are spread
    evenly. People without a label are in no part.

    Parameters
    ----------
    clinical : path
        index/clinical.tsv: participant_id, label, site, group.
    split : path
        The JSON file to write: settings, people per class, and for each repeat and fold (from 0) the names of
        `train`, `val` and `test`; `hash` is the sha256 of all the rest.
    scheme : str, default="kfold"
        `kfold`, `single` (50 % train, 25 % validation, 25 % test) or `leave-one-site-out`.
    folds : int, default=5
        Folds of `kfold`.
    repeats : int, default=1
        How often the whole is drawn anew.
    validation_share : float, default=0.2
        Inner validation part of the people who are not tested.
    seed : int, default=0
        Of all draws.

    Raises
    ------
    InputError
        There are too few people, classes or sites, or one participant has several classes.
    """
    import numpy as np

    from neuromoe.core.atomic import write_json
    from neuromoe.train._folds import content_hash, make_folds
    from neuromoe.train._people import read_people

    people, unlabeled = read_people(clinical)
    chosen = make_folds(
        people, scheme=scheme, folds=folds, repeats=repeats, validation_share=validation_share, seed=seed
    )
    names, counts = np.unique(people.classes, return_counts=True)
    content = {
        "classes": dict(zip(names.tolist(), counts.tolist(), strict=True)),
        "folds": chosen,
        "repeats": repeats,
        "scheme": scheme,
        "seed": seed,
        "validation_share": validation_share,
    }
    write_json(split, {**content, "hash": content_hash(content)})
    print(f"{len(people)} people, {unlabeled} without a label; {len(chosen)} fits of {scheme}", flush=True)
