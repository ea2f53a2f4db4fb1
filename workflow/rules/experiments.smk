# What is trained, on which splits, or why nothing is. No rules here.
from collections import Counter

SPLIT = f"{OUT}/splits/{SETTINGS['train']['split']['scheme']}.json"
MODELS = f"{OUT}/models"
EXPERIMENTS = {name: spec for name, spec in SETTINGS["experiments"].items() if spec}
PUBLISHED = {name: spec["published"] for name, spec in EXPERIMENTS.items() if spec.get("published") is not None}


def check_settings():
    """Stop before anything is computed where a model does not know its settings."""
    for name, spec in EXPERIMENTS.items():
        if spec.get("settings"):
            from neuromoe.model.registry import build_model

            try:
                build_model(spec["model"], **spec["settings"])
            except InputError as error:
                raise WorkflowError(f"experiments.{name}: {error}")


# Jobs that read this file again need not load every model.
if workflow.is_main_process:
    check_settings()


def described(spec):
    """Say in a few words what an experiment is."""
    words = [spec["model"], *(f"{key} {value}" for key, value in (spec.get("settings") or {}).items())]
    if spec.get("search"):
        words.append(f"searched: {', '.join(spec['search']['space'])}")
    return "; ".join(words)


DESCRIBED = {name: described(spec) for name, spec in EXPERIMENTS.items()}


def labelled_people():
    """Count the people of each class."""
    rows = read_table(INDEX["clinical"])
    people = {(row["group"], row["label"]) for row in rows if row["label"] != MISSING}
    return Counter(label for _, label in people)


def why_not_train():
    """Return why no model can be trained on this dataset, or None."""
    split = SETTINGS["train"]["split"]
    people, needed = labelled_people(), {"kfold": split["folds"], "single": 4, "leave-one-site-out": 2}[split["scheme"]]
    column = SETTINGS["label"]["column"]
    if not people:
        return f"nobody has a label: participants.tsv and the phenotype tables have no usable column {column!r}; set label.column"
    if len(people) < 2:
        return f"everybody with a label is {next(iter(people))!r}; two or more classes are needed"
    few = {label: count for label, count in people.items() if count < needed}
    if few:
        counts = ", ".join(f"{label}: {count}" for label, count in sorted(few.items()))
        return f"too few people: train.split needs {needed} of each class ({counts}); ask for fewer folds, or drop classes by label.classes"
    return None if EXPERIMENTS else "the setting experiments is empty"


REASON = why_not_train()
SCHEME = SETTINGS["train"]["split"]["scheme"]


def fold_names():
    """Return the names of the splits, which follow from the settings and the sites alone."""
    settings = SETTINGS["train"]["split"]
    if SCHEME == "single":
        return ["repeat-0_fold-0"]
    if SCHEME == "leave-one-site-out":
        rows = read_table(INDEX["clinical"])
        sites = {row["site"] for row in rows if row["label"] != MISSING}
        return [f"repeat-0_fold-{fold}" for fold in range(len(sites))]
    return [f"repeat-{r}_fold-{f}" for r in range(settings["repeats"]) for f in range(settings["folds"])]


FOLDS = [] if REASON else fold_names()


def experiment(key):
    def value(wildcards):
        spec = EXPERIMENTS.get(wildcards.experiment)
        if spec is None:
            raise InputError(
                expected=f"one of {', '.join(EXPERIMENTS)}",
                found=wildcards.experiment,
                where="experiments",
                fix="name it in the config",
            )
        return spec.get(key)

    return value


def lent(wildcards):
    """Return the predictions of experiments that `neuromoe-auto` has for candidates, so that none is fitted twice."""
    spec = EXPERIMENTS.get(wildcards.experiment) or {}
    if spec.get("model") != "neuromoe-auto" or spec.get("search"):
        return []
    from neuromoe.model.auto import AutoSettings

    settings = AutoSettings(**(spec.get("settings") or {}))
    own = {name: settings.candidate_settings.get(name, {}) for name in settings.names}
    same = {
        other["model"]: name
        for name, other in EXPERIMENTS.items()
        if other["model"] in own and (other.get("settings") or {}) == own[other["model"]] and not other.get("search")
    }
    fold = f"repeat-{wildcards.repeat}_fold-{wildcards.fold}"
    return [f"{MODELS}/{name}/{fold}/predictions.tsv" for name in same.values()]


def say_what_follows():
    """Tell the size of the run before it starts."""
    images = sum(len(rows) for session in SESSIONS.values() for rows in session.rows.values())
    said = f"{len(SESSIONS)} sessions, {images} images, space {SPACE}"
    fits = len(EXPERIMENTS) * len(FOLDS)
    logger.info(
        f"{said}; {fits} fits, each of half a minute or less for 24 people, and longer with more" if fits else said
    )
    for words in [*ADVICE, *not_trained()]:
        logger.info(words)


def say_what_was_done():
    """Tell where the report is, and why nothing was trained if so."""
    page = Path(f"{REPORT}/index.html")
    if page.is_file():
        logger.info(f"The report: {page.resolve()}")
    for words in [*ADVICE, *not_trained()]:
        logger.info(words)


def not_trained():
    return [f"Nothing is trained: {REASON}."] if REASON else []
