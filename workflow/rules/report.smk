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
        bold_raw=first_raw("func"),
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
        **step(
            "report",
            "subject",
            session=lambda wildcards: wildcards.session,
            advice=ADVICE,
            demo=DEMO,
            # Made by the jobs that write the quality numbers: as inputs they would slow the plan of a large dataset.
            t1w_preproc=page_image("anat", "desc-preproc_T1w.nii.gz"),
            t1w_mask=page_image("anat", "desc-brain_mask.nii.gz"),
            gm=page_image("anat", "label-GM_probseg.nii.gz"),
            wm=page_image("anat", "label-WM_probseg.nii.gz"),
            csf=page_image("anat", "label-CSF_probseg.nii.gz"),
            t1w_template=page_image("anat", CHANNEL_FILES["T1w"]),
            gm_template=page_image("anat", CHANNEL_FILES["GM"]),
            logjacobian=page_image("anat", CHANNEL_FILES["logjacobian"]),
            dwi_preproc=page_image("dwi", "desc-preproc_dwi.nii.gz"),
            dwi_mask=page_image("dwi", "desc-brain_mask.nii.gz"),
            fa=page_image("dwi", "param-fa_dwimap.nii.gz"),
            v1=page_image("dwi", "param-v1_dwimap.nii.gz"),
            fa_template=page_image("dwi", CHANNEL_FILES["fa"]),
            md_template=page_image("dwi", CHANNEL_FILES["md"]),
            boldref=page_image("func", "boldref.nii.gz"),
            bold_mask=page_image("func", "desc-brain_mask.nii.gz"),
            confounds=page_image("func", "desc-confounds_timeseries.tsv"),
            boldref_template=page_image("func", f"space-{SPACE}_boldref.nii.gz"),
            alff=page_image("func", CHANNEL_FILES["alff"]),
            falff=page_image("func", CHANNEL_FILES["falff"]),
            reho=page_image("func", CHANNEL_FILES["reho"]),
            seed_map=page_image("func", CHANNEL_FILES["seed"]),
        ),
    shell:
        RUN


rule report_cohort:
    input:
        **INDEX,
        _tensors=[f"{TENSORS}/{key}.safetensors" for key in BY_KEY],
    output:
        page=f"{REPORT}/cohort.html",
        quality=f"{REPORT}/quality.tsv",
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
        **step("report", "result", models=lambda wildcards: MODELS, published=PUBLISHED, described=DESCRIBED, demo=DEMO),
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
