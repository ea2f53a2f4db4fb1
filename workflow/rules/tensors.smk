TENSORS = f"{OUT}/tensors"
STORE = f"{TENSORS}/store"

# The file of each channel, as its step names it.
CHANNEL_FILES = {
    "T1w": f"space-{SPACE}_desc-preproc_T1w.nii.gz",
    "GM": f"space-{SPACE}_label-GM_probseg.nii.gz",
    "WM": f"space-{SPACE}_label-WM_probseg.nii.gz",
    "CSF": f"space-{SPACE}_label-CSF_probseg.nii.gz",
    "logjacobian": f"space-{SPACE}_stat-logjacobian_T1map.nii.gz",
    **{name: f"space-{SPACE}_param-{name}_dwimap.nii.gz" for name in DWI_MAPS},
    **{name: f"space-{SPACE}_stat-{name}_boldmap.nii.gz" for name in ("alff", "falff", "reho", "seed")},
}
MODALITIES = ("anat", "dwi", "func")
STEPS = {"anat": ("extract", "normalize"), "dwi": ("correct", "normalize"), "func": ("correct", "normalize")}


def channels(modality):
    def files(wildcards):
        names = SETTINGS["tensors"]["pack"][f"{modality}_channels"]
        return derivatives(wildcards, modality, [CHANNEL_FILES[name] for name in names])

    return files


def qualities(modality):
    def files(wildcards):
        return derivatives(wildcards, modality, [f"desc-{name}_quality.json" for name in STEPS[modality]])

    return files


def derivatives(wildcards, modality, endings):
    """Return derivatives of a job's session, or nothing where it lacks the modality."""
    session = session_of(wildcards)
    return [session.derivative(modality, ending) for ending in endings] if session.images(modality) else []


rule tensors_pack:
    input:
        template=TEMPLATE,
        **{modality: channels(modality) for modality in MODALITIES},
        **{f"{modality}_quality": qualities(modality) for modality in MODALITIES},
    output:
        tensor=f"{TENSORS}/{{session}}.safetensors",
    params:
        **step("tensors", "pack"),
    log:
        log_of("tensors_pack", "{session}"),
    benchmark:
        benchmark_of("tensors_pack", "{session}")
    threads: 1
    retries: 2
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 1500,
        runtime=30,
    conda:
        CONDA
    shell:
        RUN


rule tensors_store:
    input:
        sessions=INDEX["sessions"],
        template=TEMPLATE,
        _tensors=[f"{TENSORS}/{key}.safetensors" for key in BY_KEY],
    output:
        index=f"{STORE}/index.tsv",
    params:
        **step("tensors", "store", tensors=TENSORS, patch=SETTINGS["tensors"]["pack"]["patch"]),
    log:
        log_of("tensors_store", "store"),
    benchmark:
        benchmark_of("tensors_store", "store")
    threads: 1
    retries: 2
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 2000,
        runtime=120,
    conda:
        CONDA
    shell:
        RUN


rule tensors_all:
    input:
        [f"{TENSORS}/{key}.safetensors" for key in BY_KEY],
        rules.tensors_store.output,
