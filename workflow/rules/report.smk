REPORT = f"{OUT}/report"
PAGES = [f"{REPORT}/sessions/{key}.html" for key in BY_KEY]
RESULT = [] if REASON else [f"{REPORT}/result.html"]
ADVICE = (
    ["A template with the whole head is better for real data: this run used the bundled one, which has the brain only."]
    if not DEMO and SETTINGS["template"] == BUNDLED
    else []
)


rule report_subject:
    input:
        template=TEMPLATE,
        t1w=raw("anat"),
        dwi_raw=raw("dwi"),
        bold_raw=raw("func"),
        qualities=lambda wildcards: [path for modality in MODALITIES for path in qualities(modality)(wildcards)],
        tensor=f"{TENSORS}/{{session}}.safetensors",
    output:
        page=f"{REPORT}/sessions/{{session}}.html",
    log:
        log_of("report_subject", "{session}"),
    benchmark:
        benchmark_of("report_subject", "{session}")
    retries: 2
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=memory(1500, 8, "func"),
        runtime=30,
    params:
        **step("report", "subject", session=lambda wildcards: wildcards.session, advice=ADVICE, demo=DEMO),
    shell:
        RUN


rule report_cohort:
    input:
        **INDEX,
        _tensors=[f"{TENSORS}/{key}.safetensors" for key in BY_KEY],
    output:
        page=f"{REPORT}/cohort.html",
    log:
        log_of("report_cohort", "cohort"),
    benchmark:
        benchmark_of("report_cohort", "cohort")
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        **step("report", "cohort", tensors=lambda wildcards: TENSORS, advice=ADVICE, demo=DEMO),
    shell:
        RUN


rule report_result:
    input:
        metrics=[f"{EVALUATION}/{name}/metrics.json" for name in EXPERIMENTS],
        predictions=[f"{EVALUATION}/{name}/predictions.tsv" for name in EXPERIMENTS],
    output:
        page=f"{REPORT}/result.html",
    log:
        log_of("report_result", "result"),
    benchmark:
        benchmark_of("report_result", "result")
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        **step("report", "result", demo=DEMO),
    shell:
        RUN


rule report_index:
    input:
        sessions=INDEX["sessions"],
        cohort=f"{REPORT}/cohort.html",
        result=RESULT,
        _subjects=PAGES,
    output:
        page=f"{REPORT}/index.html",
    log:
        log_of("report_index", "index"),
    benchmark:
        benchmark_of("report_index", "index")
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        **step(
            "report", "index", subjects=lambda wildcards: f"{REPORT}/sessions", reason=REASON, advice=ADVICE, demo=DEMO
        ),
    shell:
        RUN


rule reports_all:
    input:
        f"{REPORT}/index.html",
        f"{REPORT}/cohort.html",
        PAGES,
