from collections import Counter

SPLIT = f"{OUT}/splits/{SETTINGS['train']['split']['scheme']}.json"
MODELS = f"{OUT}/models"
EXPERIMENTS = {name: spec for name, spec in SETTINGS["experiments"].items() if spec}


def labelled_people():
    """Count the people of each class."""
    rows = read_table(INDEX["clinical"])
    people = {(row["group"], row["label"]) for row in rows if row["label"] != MISSING}
    return Counter(label for _, label in people)


def why_not_train():
    """Return why no model can be trained on this dataset, or None."""
    people, needed = labelled_people(), SETTINGS["train"]["split"]["folds"]
    column = SETTINGS["label"]["column"]
    if not people:
        return f"nobody has a label: participants.tsv and the phenotype tables have no usable column {column!r}; set label.column"
    if len(people) < 2:
        return f"everybody with a label is {next(iter(people))!r}; two or more classes are needed"
    few = {label: count for label, count in people.items() if count < needed}
    if few:
        counts = ", ".join(f"{label}: {count}" for label, count in sorted(few.items()))
        return f"too few people for train.split.folds = {needed} ({counts}); lower it, or drop classes by label.classes"
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


rule train_split:
    input:
        clinical=INDEX["clinical"],
    output:
        split=SPLIT,
    params:
        **step("train", "split", seed=SETTINGS["seed"]),
    log:
        log_of("train_split", SCHEME),
    benchmark:
        benchmark_of("train_split", SCHEME)
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    conda:
        CONDA
    shell:
        RUN


rule train_fit:
    input:
        clinical=INDEX["clinical"],
        split=SPLIT,
        _store=f"{STORE}/index.tsv",
    output:
        predictions=f"{MODELS}/{{experiment}}/repeat-{{repeat}}_fold-{{fold}}/predictions.tsv",
    params:
        **step(
            "train",
            "fit",
            store=STORE,
            model=lambda wildcards: f"{MODELS}/{wildcards.experiment}/repeat-{wildcards.repeat}_fold-{wildcards.fold}/model",
            experiment=lambda wildcards: wildcards.experiment,
            kind=experiment("model"),
            settings=experiment("settings"),
            repeat=lambda wildcards: int(wildcards.repeat),
            fold=lambda wildcards: int(wildcards.fold),
            seed=SETTINGS["seed"],
        ),
    log:
        log_of("train_fit", "{experiment}_repeat-{repeat}_fold-{fold}"),
    benchmark:
        benchmark_of("train_fit", "{experiment}_repeat-{repeat}_fold-{fold}")
    threads: 1
    retries: 2
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 3000,
        runtime=240,
    conda:
        CONDA
    shell:
        RUN


rule train_all:
    input:
        [f"{MODELS}/{name}/{fold}/predictions.tsv" for name in EXPERIMENTS for fold in FOLDS],
