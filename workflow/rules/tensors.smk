TENSORS = f"{OUT}/tensors"
STORE = f"{TENSORS}/store"


rule tensors_pack:
    input:
        **{f"{modality}_quality": qualities(modality) for modality in MODALITIES},
        template=TEMPLATE,
    output:
        tensor=f"{TENSORS}/{{session}}.safetensors",
    log:
        log_of("tensors_pack", "{session}"),
    benchmark:
        benchmark_of("tensors_pack", "{session}")
    retries: 2
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 1500,
        runtime=30,
    params:
        # The jobs that write the quality numbers write the maps too: as inputs they would slow the plan.
        **step("tensors", "pack", **{modality: channels(modality) for modality in MODALITIES}),
    shell:
        RUN


rule tensors_store:
    input:
        sessions=INDEX["sessions"],
        template=TEMPLATE,
        _tensors=[f"{TENSORS}/{key}.safetensors" for key in BY_KEY],
    output:
        index=f"{STORE}/index.tsv",
    log:
        log_of("tensors_store", "store"),
    benchmark:
        benchmark_of("tensors_store", "store")
    retries: 2
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 2000,
        runtime=120,
    params:
        **step("tensors", "store", tensors=lambda wildcards: TENSORS, patch=SETTINGS["tensors"]["pack"]["patch"]),
    shell:
        RUN


rule tensors_all:
    input:
        [f"{TENSORS}/{key}.safetensors" for key in BY_KEY],
        rules.tensors_store.output,
