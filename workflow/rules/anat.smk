ANAT = f"{DERIVATIVES}/{{folder}}/anat/{{name}}_"
AVERAGE = f"{DERIVATIVES}/{{participant}}/anat/{{participant}}_"


rule anat_extract:
    input:
        t1w=raw("anat"),
        template=TEMPLATE,
    output:
        preproc=ANAT + "desc-preproc_T1w.nii.gz",
        mask=ANAT + "desc-brain_mask.nii.gz",
        gm=ANAT + "label-GM_probseg.nii.gz",
        wm=ANAT + "label-WM_probseg.nii.gz",
        csf=ANAT + "label-CSF_probseg.nii.gz",
        quality=ANAT + "desc-extract_quality.json",
    log:
        log_of("anat_extract"),
    benchmark:
        benchmark_of("anat_extract")
    retries: 2
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=memory(2500, 12, "anat"),
        runtime=60,
    params:
        **step("anat", "extract", seed=SETTINGS["seed"]),
    shell:
        RUN


rule anat_average:
    input:
        preprocs=averaged("desc-preproc_T1w.nii.gz"),
        masks=averaged("desc-brain_mask.nii.gz"),
        template=TEMPLATE,
    output:
        average_t1w=AVERAGE + "desc-average_T1w.nii.gz",
        average_mask=AVERAGE + "desc-average_mask.nii.gz",
        average_to_template=AVERAGE + f"from-average_to-{SPACE}_mode-image_xfm.h5",
        template_to_average=AVERAGE + f"from-{SPACE}_to-average_mode-image_xfm.h5",
        quality=AVERAGE + "desc-average_quality.json",
    log:
        log_of("anat_average", "{participant}"),
    benchmark:
        benchmark_of("anat_average", "{participant}")
    retries: 2
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=average_mb,
        runtime=60,
    params:
        **step("anat", "average", seed=SETTINGS["seed"], **SETTINGS["anat"]["normalize"]),
    shell:
        RUN


rule anat_normalize:
    input:
        preproc=ANAT + "desc-preproc_T1w.nii.gz",
        mask=ANAT + "desc-brain_mask.nii.gz",
        gm=ANAT + "label-GM_probseg.nii.gz",
        wm=ANAT + "label-WM_probseg.nii.gz",
        csf=ANAT + "label-CSF_probseg.nii.gz",
        template=TEMPLATE,
        average_t1w=from_average("desc-average_T1w.nii.gz"),
        average_mask=from_average("desc-average_mask.nii.gz"),
        average_to_template=from_average(f"from-average_to-{SPACE}_mode-image_xfm.h5"),
        template_to_average=from_average(f"from-{SPACE}_to-average_mode-image_xfm.h5"),
    output:
        t1w_template=ANAT + f"space-{SPACE}_desc-preproc_T1w.nii.gz",
        gm_template=ANAT + f"space-{SPACE}_label-GM_probseg.nii.gz",
        wm_template=ANAT + f"space-{SPACE}_label-WM_probseg.nii.gz",
        csf_template=ANAT + f"space-{SPACE}_label-CSF_probseg.nii.gz",
        logjacobian=ANAT + f"space-{SPACE}_stat-logjacobian_T1map.nii.gz",
        modulated=ANAT + f"space-{SPACE}_stat-modulatedGM_T1map.nii.gz",
        t1w_to_template=ANAT + f"from-T1w_to-{SPACE}_mode-image_xfm.h5",
        template_to_t1w=ANAT + f"from-{SPACE}_to-T1w_mode-image_xfm.h5",
        quality=ANAT + "desc-normalize_quality.json",
    log:
        log_of("anat_normalize"),
    benchmark:
        benchmark_of("anat_normalize")
    retries: 2
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=memory(3000, 8, "anat"),
        runtime=60,
    params:
        **step("anat", "normalize", seed=SETTINGS["seed"]),
    shell:
        RUN


rule anat_all:
    input:
        [session.derivative("anat", "desc-normalize_quality.json") for session in SESSIONS.values()],
