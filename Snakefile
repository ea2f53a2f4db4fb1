# From a BIDS dataset to tensors, trained models, their evaluation and reports. `snakemake --cores 8` runs it all; the
# README tells how to run a part, and how to give it your own data.
from pathlib import Path

from snakemake.utils import min_version

min_version("9.15")


configfile: Path(workflow.basedir) / "config" / "config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/sessions.smk"
include: "workflow/rules/experiments.smk"
include: "workflow/rules/simulate.smk"
include: "workflow/rules/bids.smk"
include: "workflow/rules/template.smk"
include: "workflow/rules/anat.smk"
include: "workflow/rules/dwi.smk"
include: "workflow/rules/func.smk"
include: "workflow/rules/tensors.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        rules.tensors_all.input,
        rules.reports_all.input,
        rules.train_all.input,


onstart:
    clear_partial_files()
    write_record(BACKENDS_RECORD, BACKENDS)
    say_what_follows()


onsuccess:
    say_what_was_done()
