rule template_prepare:
    output:
        prepared=TEMPLATE,
    params:
        **step("template", "prepare", template=SETTINGS["template"], voxel_mm=SETTINGS["template_voxel_mm"]),
    log:
        log_of("template_prepare", "template"),
    benchmark:
        benchmark_of("template_prepare", "template")
    threads: 1
    retries: 2
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 3000,
        runtime=30,
    conda:
        CONDA
    shell:
        RUN
