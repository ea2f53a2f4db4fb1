NETWORKS = SETTINGS["func"]["normalize"]["networks"]
FUNC = f"{DERIVATIVES}/{{folder}}/func/{{name}}_"


rule func_correct:
    input:
        bold=raw("func"),
        sidecars=raw("func", "sidecars"),
        template=TEMPLATE,
        t1w=from_anatomy("desc-preproc_T1w.nii.gz"),
        t1w_mask=from_anatomy("desc-brain_mask.nii.gz"),
        t1w_white=white_for("func", "correct"),
        fieldmaps=fieldmaps("func"),
        fieldmap_sidecars=fieldmaps("func", "sidecars"),
        sbref=single_band,
    output:
        boldref=FUNC + "boldref.nii.gz",
        mask=FUNC + "desc-brain_mask.nii.gz",
        slicetimed=FUNC + "desc-slicetimed_bold.nii.gz",
        motion=FUNC + "from-orig_to-boldref_mode-image_xfm.txt",
        quality=FUNC + "desc-correct_quality.json",
    log:
        log_of("func_correct"),
    benchmark:
        benchmark_of("func_correct")
    retries: 2
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=memory(2000, 8, "func"),
        runtime=60,
    params:
        **step("func", "correct", seed=SETTINGS["seed"], transform=transform_from("boldref", "func")),
    shell:
        RUN


rule func_normalize:
    input:
        **(dict(networks=NETWORKS) if NETWORKS not in (None, "bundled") else {}),
        bold=FUNC + "desc-slicetimed_bold.nii.gz",
        boldref=FUNC + "boldref.nii.gz",
        mask=FUNC + "desc-brain_mask.nii.gz",
        motion=FUNC + "from-orig_to-boldref_mode-image_xfm.txt",
        template=TEMPLATE,
        gm=from_anatomy("label-GM_probseg.nii.gz"),
        wm=from_anatomy("label-WM_probseg.nii.gz"),
        csf=from_anatomy("label-CSF_probseg.nii.gz"),
        t1w_to_template=from_anatomy(f"from-T1w_to-{SPACE}_mode-image_xfm.h5"),
    output:
        **(dict(network_map=FUNC + f"space-{SPACE}_stat-network_boldmap.nii.gz") if NETWORKS else {}),
        confounds=FUNC + "desc-confounds_timeseries.tsv",
        boldref_template=FUNC + f"space-{SPACE}_boldref.nii.gz",
        mask_template=FUNC + f"space-{SPACE}_desc-brain_mask.nii.gz",
        alff=FUNC + f"space-{SPACE}_stat-alff_boldmap.nii.gz",
        falff=FUNC + f"space-{SPACE}_stat-falff_boldmap.nii.gz",
        reho=FUNC + f"space-{SPACE}_stat-reho_boldmap.nii.gz",
        seed_map=FUNC + f"space-{SPACE}_stat-seed_boldmap.nii.gz",
        quality=FUNC + "desc-normalize_quality.json",
    log:
        log_of("func_normalize"),
    benchmark:
        benchmark_of("func_normalize")
    retries: 2
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=memory(3000, 16, "func"),
        runtime=60,
    params:
        **step(
            "func",
            "normalize",
            transform=transform_from("boldref", "func"),
            repetition_time_s=repetition_time_s,
        ),
    shell:
        RUN


rule func_average:
    input:
        **(dict(network_map=of_each_run(f"space-{SPACE}_stat-network_boldmap.nii.gz")) if NETWORKS else {}),
        alff=of_each_run(CHANNEL_FILES["alff"]),
        falff=of_each_run(CHANNEL_FILES["falff"]),
        reho=of_each_run(CHANNEL_FILES["reho"]),
        seed_map=of_each_run(CHANNEL_FILES["seed"]),
        masks=of_each_run(f"space-{SPACE}_desc-brain_mask.nii.gz"),
        correct_qualities=of_each_run("desc-correct_quality.json"),
        normalize_qualities=of_each_run("desc-normalize_quality.json"),
    output:
        **(dict(network_map_average=FUNC + f"space-{SPACE}_stat-network_{AVERAGED}") if NETWORKS else {}),
        alff_average=FUNC + f"space-{SPACE}_stat-alff_{AVERAGED}",
        falff_average=FUNC + f"space-{SPACE}_stat-falff_{AVERAGED}",
        reho_average=FUNC + f"space-{SPACE}_stat-reho_{AVERAGED}",
        seed_map_average=FUNC + f"space-{SPACE}_stat-seed_{AVERAGED}",
        correct_quality=FUNC + "stat-mean_desc-correct_quality.json",
        normalize_quality=FUNC + "stat-mean_desc-normalize_quality.json",
    log:
        log_of("func_average"),
    benchmark:
        benchmark_of("func_average")
    retries: 2
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 1500,
        runtime=30,
    params:
        **step("func", "average"),
    shell:
        RUN


rule func_all:
    input:
        [session.derivative("func", "desc-normalize_quality.json") for session in SESSIONS.values()],
