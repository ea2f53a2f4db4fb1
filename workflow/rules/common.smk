# The settings, and how a step becomes a shell line. No rules here.
import gc
import shlex
import shutil
import sys

import yaml

# The job graph is large and holds no garbage: looking for it less often makes a plan of 200 sessions a tenth cheaper.
gc.set_threshold(100_000, 50, 50)

BASE = Path(workflow.basedir)
sys.path.insert(0, str(BASE))

from neuromoe.core.backends import (
    NOT_IN_ENVIRONMENT,
    asks_for_fsl,
    check_record,
    lacking_programs,
    read_record,
    resolve,
    with_backends,
    write_record,
)
from neuromoe.core.code import code_digest
from neuromoe.core.config import check_config, with_defaults
from neuromoe.core.errors import InputError
from neuromoe.core.shell import shell_words
from neuromoe.core.tables import MISSING, read_table, write_table
from neuromoe.imaging.template import BUNDLED, template_label


def stop(error):
    """End with the message alone: a user's error needs no stack."""
    sys.exit(f"error: {error}") if workflow.is_main_process else None
    raise WorkflowError(str(error))


SCHEMA = yaml.safe_load((BASE / "config" / "schema.yaml").read_text())
try:
    check_config(config, SCHEMA)
    SETTINGS = with_defaults(dict(config), SCHEMA)
    SPACE = template_label(SETTINGS["template"])
except InputError as err:
    stop(err)

DEMO = SETTINGS["bids_dir"] is None
OUT = SETTINGS["output_dir"]
USES_CONDA = bool(workflow.deployment_settings.deployment_method)
# The environment with FSL is large and for non-commercial use: it is taken where the configuration asks for it.
CONDA = str(BASE / "envs" / "fsl.yaml" if asks_for_fsl(SETTINGS) else BASE / "envs" / "neuromoe.yaml")
BACKENDS_RECORD = f"{OUT}/index/backends.json"


def find_program(program):
    """Find a program where the jobs will: on PATH, or in the environment that is made for them."""
    if USES_CONDA:
        return program if asks_for_fsl(SETTINGS) and program not in NOT_IN_ENVIRONMENT else None
    return shutil.which(program)


def chosen_backends():
    """Choose in the main process; jobs, whose machine may look different, take what it wrote."""
    if not workflow.is_main_process and Path(BACKENDS_RECORD).is_file():
        return read_record(BACKENDS_RECORD)
    chosen = resolve(SETTINGS, find_program)
    check_record(BACKENDS_RECORD, chosen)
    return chosen


try:
    BACKENDS = chosen_backends()
except InputError as err:
    stop(err)
SETTINGS = with_backends(SETTINGS, BACKENDS)
BIDS = f"{OUT}/bids" if DEMO else SETTINGS["bids_dir"]
DERIVATIVES = f"{OUT}/derivatives"
TEMPLATE = f"{OUT}/template/template.json"
PYTHON = "python" if USES_CONDA else shlex.quote(sys.executable)
INDEX = {name: f"{OUT}/index/{name}.tsv" for name in ("manifest", "sessions", "issues", "clinical")}
PLANNED = f"{BIDS}/derivatives/truth/images.tsv" if DEMO else None
MODALITIES = ("anat", "dwi", "func")

# Folder of a session, and the entities that stay in the names of its derivatives.
_LABEL = r"[a-zA-Z0-9+]+"


wildcard_constraints:
    participant=rf"sub-{_LABEL}",
    folder=rf"sub-{_LABEL}(/ses-{_LABEL})?",
    session=rf"sub-{_LABEL}(_ses-{_LABEL})?",
    name=rf"sub-{_LABEL}(_(ses|task|acq|ce|rec|dir|run)-{_LABEL})*",


def step(stage, step, **job):
    """Return a rule's params: its settings, the digest of its code, and the words of its command.

    What the rule calls its input, output and params are the arguments of the step's function; an input whose name begins
    with `_` orders jobs and is not passed.
    """
    block = SETTINGS.get(stage)
    settings = (dict(block.get(step, {})) if isinstance(block, dict) else {}) | job

    def command(wildcards, input, output):
        files = {k: v for k, v in [*input.items(), *output.items()] if not k.startswith("_")}
        # Where a file and a setting share a name (`sessions` of the index), the file is meant.
        given = {k: v for k, v in settings.items() if k not in files}
        values = {k: v(wildcards) if callable(v) else v for k, v in given.items()}
        # The package of this checkout, whatever else is installed.
        return f"PYTHONPATH={shlex.quote(str(BASE))} {PYTHON} -m neuromoe {shell_words(stage, step, files | values)}"

    return dict(settings, code=code_digest(stage, step), command=command)


RUN = "{params.command} > {log} 2>&1"


def log_of(rule, wildcards="{folder}/{name}"):
    return f"{OUT}/logs/{rule}/{wildcards}.log"


def benchmark_of(rule, wildcards="{folder}/{name}"):
    return f"{OUT}/benchmarks/{rule}/{wildcards}.tsv"


def memory(base_mb, per_image_mb=0, modality=None):
    """Ask for memory by the size of the session's image in its header; more at each attempt."""

    def ask(wildcards, attempt):
        images = session_of(wildcards).images(modality) if modality else []
        largest = max((int(image["mem_mb"]) for image in images), default=0)
        return attempt * (base_mb + per_image_mb * largest)

    return ask


def clear_partial_files():
    """Remove what killed jobs had begun to write: the run holds the lock, so nobody else is writing."""
    for folder in Path(OUT).rglob(".partial-*"):
        shutil.rmtree(folder, ignore_errors=True)
