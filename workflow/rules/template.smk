rule template_prepare:
    output:
        prepared=TEMPLATE,
    log:
        log_of("template_prepare", "template"),
    benchmark:
        benchmark_of("template_prepare", "template")
    retries: 2
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 3000,
        runtime=30,
    params:
        **step("template", "prepare", template=SETTINGS["template"], voxel_mm=SETTINGS["template_voxel_mm"]),
    shell:
        RUN
