DWI = f"{DERIVATIVES}/{{folder}}/dwi/{{name}}_"


rule dwi_correct:
    input:
        dwi=raw("dwi"),
        bval=raw("dwi", "bval"),
        bvec=raw("dwi", "bvec"),
        sidecars=raw("dwi", "sidecars"),
        fieldmaps=fieldmaps("dwi"),
        fieldmap_sidecars=fieldmaps("dwi", "sidecars"),
    output:
        preproc=DWI + "desc-preproc_dwi.nii.gz",
        preproc_bval=DWI + "desc-preproc_dwi.bval",
        preproc_bvec=DWI + "desc-preproc_dwi.bvec",
        mask=DWI + "desc-brain_mask.nii.gz",
        quality=DWI + "desc-correct_quality.json",
    log:
        log_of("dwi_correct"),
    benchmark:
        benchmark_of("dwi_correct")
    retries: 2
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=memory(1500, 12, "dwi"),
        runtime=120,
    params:
        **step("dwi", "correct", seed=SETTINGS["seed"]),
    shell:
        RUN


rule dwi_normalize:
    input:
        dwi=DWI + "desc-preproc_dwi.nii.gz",
        bval=DWI + "desc-preproc_dwi.bval",
        bvec=DWI + "desc-preproc_dwi.bvec",
        mask=DWI + "desc-brain_mask.nii.gz",
        template=TEMPLATE,
        t1w=from_anatomy("desc-preproc_T1w.nii.gz"),
        t1w_white=white_for("dwi", "normalize"),
        t1w_mask=from_anatomy("desc-brain_mask.nii.gz"),
        t1w_to_template=from_anatomy(f"from-T1w_to-{SPACE}_mode-image_xfm.h5"),
    output:
        **{name: DWI + f"param-{name}_dwimap.nii.gz" for name in (*DWI_MAPS, "v1", "dec")},
        **{f"{name}_template": DWI + f"space-{SPACE}_param-{name}_dwimap.nii.gz" for name in DWI_MAPS},
        quality=DWI + "desc-normalize_quality.json",
    log:
        log_of("dwi_normalize"),
    benchmark:
        benchmark_of("dwi_normalize")
    retries: 2
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=memory(2500, 8, "dwi"),
        runtime=60,
    params:
        **step("dwi", "normalize", seed=SETTINGS["seed"], transform=transform_from("dwi", "dwi")),
    shell:
        RUN


rule dwi_all:
    input:
        [session.derivative("dwi", "desc-normalize_quality.json") for session in SESSIONS.values()],
