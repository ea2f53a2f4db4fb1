localrules:
    bids_index,


rule bids_index:
    output:
        **INDEX,
    log:
        log_of("bids_index", "index"),
    benchmark:
        benchmark_of("bids_index", "index")
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        **step(
            "bids",
            "index",
            bids_dir=lambda wildcards: BIDS,
            derivatives=lambda wildcards: DERIVATIVES,
            planned=PLANNED,
            **index_settings(),
        ),
    shell:
        RUN
