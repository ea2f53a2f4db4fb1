EVALUATION = f"{OUT}/evaluation"


rule evaluate_score:
    input:
        _predictions=[f"{MODELS}/{{experiment}}/{fold}/predictions.tsv" for fold in FOLDS],
    output:
        predictions=f"{EVALUATION}/{{experiment}}/predictions.tsv",
        metrics=f"{EVALUATION}/{{experiment}}/metrics.json",
    log:
        log_of("evaluate_score", "{experiment}"),
    benchmark:
        benchmark_of("evaluate_score", "{experiment}")
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        **step(
            "evaluate",
            "score",
            experiment=lambda wildcards: wildcards.experiment,
            models=lambda wildcards: f"{MODELS}/{wildcards.experiment}",
            folds=FOLDS,
            seed=SETTINGS["seed"],
        ),
    shell:
        RUN


rule evaluate_all:
    input:
        [f"{EVALUATION}/{name}/metrics.json" for name in EXPERIMENTS if FOLDS],
