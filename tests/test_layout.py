"""One name for a step everywhere: rule, module, function, command, settings, log, test."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from neuromoe.cli import stages, step_function

REPOSITORY = Path(__file__).parent.parent
STEPS = [(stage, step) for stage, steps in stages().items() for step in steps]
NAMES = [f"{stage}_{step}" for stage, step in STEPS]
HEAVY = ("ants", "torch", "nilearn", "dipy", "nipype", "sklearn", "scipy", "matplotlib", "pandas")
# Arguments for those who call the step by hand, which the workflow leaves at their defaults.
DEFAULTS_ALONE = {"func_normalize": {"sidecars"}, "train_fit": {"threads"}}
# Targets gather files; they run nothing.
TARGET = re.compile(r"(all|\w+_all)")


def rules() -> dict[str, str]:
    """Return the text of each rule by its name; the patterns of the demo's rule are one."""
    found = {}
    for path in sorted((REPOSITORY / "workflow" / "rules").glob("*.smk")):
        for text in re.split(r"(?m)^(?= *(?:rule|checkpoint) ?\w*:)", path.read_text())[1:]:
            name = re.match(r" *rule (\w+):", text) or re.search(r'name:\s*f?"(\w+?)(?:_\{|")', text)
            assert name, f"{path}: a rule without a name"
            found[name.group(1)] = (path.stem, text)
    return {name: text for name, text in found.items() if not TARGET.fullmatch(name)}


def schema() -> dict:
    return yaml.safe_load((REPOSITORY / "config" / "schema.yaml").read_text())["properties"]


def test_each_step_has_a_rule_and_each_rule_a_step():
    assert sorted(rules()) == sorted(NAMES)


@pytest.mark.parametrize(("stage", "step"), STEPS, ids=NAMES)
def test_a_step_is_one_public_function_with_the_name_of_its_module(stage, step):
    module = sys.modules[step_function(stage, step).__module__]
    public = [
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    ]
    assert public == [step]
    assert all(
        parameter.kind is inspect.Parameter.KEYWORD_ONLY
        for parameter in inspect.signature(step_function(stage, step)).parameters.values()
    )


@pytest.mark.parametrize(("stage", "step"), STEPS, ids=NAMES)
def test_a_rule_stands_in_its_stage_with_log_benchmark_and_environment(stage, step):
    file, text = rules()[f"{stage}_{step}"]
    assert file == stage
    assert re.search(rf'"{stage}",\s*"{step}"', text)
    for directive in (
        "log:",
        "benchmark:",
        "threads:",
        "resources:",
        "mem_mb=",
        "runtime=",
        "conda:",
        "shell:",
    ):
        assert directive in text, f"{stage}_{step} lacks {directive}"
    assert f'log_of("{stage}_{step}"' in text
    assert f'benchmark_of("{stage}_{step}"' in text


@pytest.mark.parametrize(("stage", "step"), STEPS, ids=NAMES)
def test_the_arguments_of_a_function_are_the_names_in_its_rule_and_its_settings(stage, step):
    """Arguments come from the rule's input, output and params or from the config; settings are all arguments."""
    arguments = set(inspect.signature(step_function(stage, step)).parameters)
    block = schema().get(stage, {}).get("properties", {}).get(step, {}).get("properties", {})
    if (stage, step) == ("bids", "index"):
        block = {"only_sessions" if key == "sessions" else key: value for key, value in block.items()}
    if (stage, step) == ("anat", "average"):  # registered to the template as its sessions would be
        block = schema()["anat"]["properties"]["normalize"]["properties"]
    assert set(block) <= arguments, f"settings that {step} does not take: {set(block) - arguments}"
    _, text = rules()[f"{stage}_{step}"]
    named = set(re.findall(r"(?m)^\s*\"?(\w+)\"?=", text)) | set(re.findall(r"\b(\w+)=", text))
    generated = {"fa", "md", "ad", "rd", "v1", "dec", *(f"{name}_template" for name in ("fa", "md", "ad", "rd"))}
    generated |= {"anat", "dwi", "func", *(f"{name}_quality" for name in ("anat", "dwi", "func"))}
    if (stage, step) == ("bids", "index"):
        sessions = (REPOSITORY / "workflow" / "rules" / "sessions.smk").read_text()
        named |= set(re.findall(r"\b(\w+)=", sessions.split("def index_settings")[1].split("\n\n\n")[0]))
    tables = {"manifest", "sessions", "issues", "clinical"}
    left = arguments - named - generated - tables - set(block) - DEFAULTS_ALONE.get(f"{stage}_{step}", set())
    assert not left, f"neither in the rule nor a setting: {left}"


@pytest.mark.parametrize(("stage", "step"), STEPS, ids=NAMES)
def test_a_step_has_a_test_file(stage, step):
    assert (REPOSITORY / "tests" / stage / f"test_{step}.py").is_file()


@pytest.mark.parametrize(("stage", "step"), STEPS, ids=NAMES)
def test_a_step_documents_each_argument(stage, step):
    function = step_function(stage, step)
    for name in inspect.signature(function).parameters:
        assert re.search(rf"\b{name}\b[^\n]*:|, {name}\b|{name},", function.__doc__ or ""), f"{name} is not documented"


def loaded_after(code: str) -> set[str]:
    program = f"import sys\n{code}\nprint(' '.join(name for name in sys.modules if '.' not in name))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(found.stdout.split()) & set(HEAVY)


def test_help_of_every_step_loads_nothing_heavy():
    imports = "\n".join(f"import neuromoe.{stage}.{step}" for stage, step in STEPS)
    assert loaded_after(f"import neuromoe.cli\n{imports}") == set()


def test_what_the_snakefile_imports_is_light():
    text = "\n".join(path.read_text() for path in (REPOSITORY / "workflow" / "rules").glob("*.smk"))
    imports = sorted(set(re.findall(r"(?m)^\s*(from neuromoe\S* import [\w, ]+)", text)))
    assert len(imports) > 5
    assert loaded_after("\n".join(imports)) == set()


def test_modules_stay_short():
    long = {
        str(path.relative_to(REPOSITORY)): lines
        for path in (REPOSITORY / "neuromoe").rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 300
    }
    assert long == {}


def test_nothing_is_unpickled():
    calls = re.compile(r"\bpickle\.|torch\.load\((?!.*weights_only=True)|joblib\.load\(|allow_pickle=True")
    found = [str(path) for path in (REPOSITORY / "neuromoe").rglob("*.py") if calls.search(path.read_text())]
    assert found == []
