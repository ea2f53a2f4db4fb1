rule train_split:
    input:
        clinical=INDEX["clinical"],
    output:
        split=SPLIT,
    log:
        log_of("train_split", SCHEME),
    benchmark:
        benchmark_of("train_split", SCHEME)
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        **step("train", "split", seed=SETTINGS["seed"]),
    shell:
        RUN


rule train_fit:
    input:
        clinical=INDEX["clinical"],
        split=SPLIT,
        _store=f"{STORE}/index.tsv",
        candidates=lent,
    output:
        predictions=f"{MODELS}/{{experiment}}/repeat-{{repeat}}_fold-{{fold}}/predictions.tsv",
    log:
        log_of("train_fit", "{experiment}_repeat-{repeat}_fold-{fold}"),
    benchmark:
        benchmark_of("train_fit", "{experiment}_repeat-{repeat}_fold-{fold}")
    retries: 2
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 3000,
        runtime=240,
    params:
        **step(
            "train",
            "fit",
            store=lambda wildcards: STORE,
            model=lambda wildcards: f"{MODELS}/{wildcards.experiment}/repeat-{wildcards.repeat}_fold-{wildcards.fold}/model",
            experiment=lambda wildcards: wildcards.experiment,
            kind=experiment("model"),
            settings=experiment("settings"),
            search=experiment("search"),
            repeat=lambda wildcards: int(wildcards.repeat),
            fold=lambda wildcards: int(wildcards.fold),
            seed=SETTINGS["seed"],
        ),
    shell:
        RUN


rule train_all:
    input:
        [f"{MODELS}/{name}/{fold}/predictions.tsv" for name in EXPERIMENTS for fold in FOLDS],
