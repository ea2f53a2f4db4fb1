"""What the documents say holds: blocks run, links resolve, steps and settings are described."""

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import yaml

import neuromoe
from neuromoe.cli import stages, step_function, steps
from neuromoe.core.config import check_config
from neuromoe.core.tables import read_table
from neuromoe.imaging.template import read_description

REPOSITORY = Path(__file__).parent.parent
PAGES = [REPOSITORY / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")]
PAGES += sorted((REPOSITORY / "docs").rglob("*.md"))
SCHEMA = yaml.safe_load((REPOSITORY / "config" / "schema.yaml").read_text())
CODE = ("Snakefile", "workflow", "config", "profiles", "envs", "neuromoe")
STEPS = [(stage, step) for stage, names in stages().items() for step in names]
EACH_STEP = [pytest.param(*pair, id=" ".join(pair)) for pair in STEPS]
EACH_PAGE = [pytest.param(page, id=page.name) for page in PAGES]
PEOPLE = 10


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, and the mark in the line before it."""

    page: Path
    line: int
    mark: str | None
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    lines = page.read_text().splitlines()
    fences = [number for number, line in enumerate(lines) if line.lstrip().startswith("```")]
    assert len(fences) % 2 == 0, f"{page.name} has a fence that is not closed"
    for first, last in zip(fences[::2], fences[1::2], strict=True):
        marked = re.fullmatch(r"<!-- test: ([\w-]+) -->", lines[first - 1])
        text = "\n".join(lines[first + 1 : last]) + "\n"
        language = lines[first].strip().removeprefix("```")
        yield Block(page, first + 1, marked[1] if marked else None, language, text)


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def marked(mark: str, *languages: str) -> list[Any]:
    chosen = [block for block in BLOCKS if block.mark == mark and block.language in languages]
    return [pytest.param(block, id=block.place) for block in chosen]


def commands(mark: str) -> list[Any]:
    pairs = [(block, line) for block in BLOCKS if block.mark == mark for line in block.text.splitlines()]
    return [pytest.param(line, id=f"{block.place} {line}") for block, line in pairs]


def bash(line: str, folder: Path, tools: Path, cache: Path) -> str:
    """Run a line as a reader would in the environment, in a copy of the checkout; return what it printed."""
    path = os.pathsep.join([str(Path(sys.executable).parent), str(tools), os.environ["PATH"]])
    own = {"PATH": path, "XDG_CACHE_HOME": str(cache), "OMP_NUM_THREADS": "1"}
    words = ["bash", "-euc", line]
    done = subprocess.run(words, cwd=folder, env=os.environ | own, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def write_person(folder: Path, number: int) -> None:
    """Write one person's images: tiny, but with real headers."""
    name = f"sub-{number:02d}"
    shapes = {"anat/T1w": (9, 9, 9), "dwi/dwi": (9, 9, 9, 7), "func/task-rest_bold": (9, 9, 9, 12)}
    for place, shape in list(shapes.items())[: 3 - number % 2]:
        modality, suffix = place.split("/")
        path = folder / name / modality / f"{name}_{suffix}.nii.gz"
        path.parent.mkdir(parents=True)
        image = nib.Nifti1Image(np.zeros(shape, np.int16), np.diag([3.0, 3, 3, 1]))
        image.header.set_zooms((3.0, 3.0, 3.0, 2.0)[: len(shape)])
        image.to_filename(path)
    (folder / name / "dwi" / f"{name}_dwi.bval").write_text("0" + " 1000" * 6 + "\n")
    (folder / name / "dwi" / f"{name}_dwi.bvec").write_text(("0" + " 1" * 6 + "\n") * 3)


def write_dataset(folder: Path) -> None:
    """Write a dataset that fits the README's example."""
    people, blood = ["participant_id\tdiagnosis\tsite\tage\tsex"], ["participant_id\tnfl\tstage"]
    for number in range(PEOPLE):
        write_person(folder, number)
        people.append(f"sub-{number:02d}\t{('PD', 'HC')[number % 2]}\t{'aab'[number % 3]}\t6{number}\tF")
        blood.append(f"sub-{number:02d}\t1{number}.5\t{('mild', 'severe')[number % 2]}")
    (folder / "phenotype").mkdir()
    (folder / "participants.tsv").write_text("\n".join(people) + "\n")
    (folder / "phenotype" / "blood.tsv").write_text("\n".join(blood) + "\n")
    (folder / "task-rest_bold.json").write_text('{"RepetitionTime": 2.0, "TaskName": "rest"}\n')
    (folder / "dataset_description.json").write_text('{"Name": "tiny", "BIDSVersion": "1.9.0"}\n')


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout with the README's dataset and settings, where commands may write."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in CODE:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    for block in BLOCKS:
        if block.language == "yaml" and (named := re.match(r"# (\S+\.yaml)\n", block.text)):
            (folder / named[1]).write_text(block.text)
            write_dataset(folder / yaml.safe_load(block.text)["bids_dir"])
    return folder


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the command `neuromoe`, for an interpreter beside which it is not installed."""
    folder = tmp_path_factory.mktemp("bin")
    script = folder / "neuromoe"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m neuromoe "$@"\n')
    script.chmod(0o755)
    return folder


@pytest.mark.parametrize("block", [pytest.param(block, id=block.place) for block in BLOCKS])
def test_every_block_is_marked_and_of_a_kind_that_is_tested(block: Block) -> None:
    kinds = {"run": ("bash",), "dry-run": ("bash",), "parse": ("bash", "yaml", "json")}
    assert block.mark in kinds, f"{block.place}: the line before the fence has no mark"
    assert block.language in kinds[block.mark]


def test_the_readme_has_blocks_of_every_kind() -> None:
    assert {block.mark for block in BLOCKS if block.page.name == "README.md"} == {"run", "dry-run", "parse"}


@pytest.mark.parametrize("line", commands("run"))
def test_a_block_runs(line: str, checkout: Path, tools: Path, tmp_path: Path) -> None:
    assert bash(line, checkout, tools, tmp_path).strip()


@pytest.mark.parametrize("line", commands("dry-run"))
def test_a_workflow_command_makes_a_plan(line: str, checkout: Path, tools: Path, tmp_path: Path) -> None:
    assert line.startswith("snakemake ")
    bash(f"{line} -n --quiet", checkout, tools, tmp_path)


def test_the_settings_of_the_readme_fit_a_dataset(checkout: Path, tools: Path, tmp_path: Path) -> None:
    printed = bash("snakemake -n --configfile my.yaml", checkout, tools, tmp_path)
    index = checkout / "results" / "my_study" / "index"
    assert read_table(index / "issues.tsv") == []
    rows = read_table(index / "clinical.tsv")
    assert len(rows) == PEOPLE
    assert {row["label"] for row in rows} == {"PD", "HC"}
    assert "n/a" not in {value for row in rows for name, value in row.items() if name != "session_id"}
    # All the way to the result, as the text says.
    assert all(f"rule {name}:" in printed for name in ("anat_extract", "train_fit", "report_result"))


@pytest.mark.parametrize("block", marked("parse", "bash"))
def test_a_block_is_bash(block: Block) -> None:
    done = subprocess.run(["bash", "-n"], input=block.text, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", marked("parse", "yaml"))
def test_a_block_is_a_configuration(block: Block) -> None:
    check_config(yaml.safe_load(block.text), SCHEMA, block.place)


@pytest.mark.parametrize("block", marked("parse", "json"))
def test_a_block_describes_a_template(block: Block, tmp_path: Path) -> None:
    (tmp_path / "template.json").write_text(block.text)
    description = read_description(tmp_path)
    assert description == json.loads(block.text)
    assert set(description["tissues"]) == {"GM", "WM", "CSF"}


def inline_code(page: Path) -> list[str]:
    return re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL))


def test_every_make_word_that_a_page_names_is_a_target() -> None:
    targets = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), flags=re.MULTILINE))
    lines = [line for block in BLOCKS for line in block.text.splitlines()] + [
        w for page in PAGES for w in inline_code(page)
    ]
    named = {match[1] for line in lines if (match := re.match(r"make (\w+)", line))}
    assert {"setup", "demo", "check", "test"} <= named
    assert named <= targets


@pytest.mark.parametrize("page", EACH_PAGE)
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    known = {f"{stage} {step}" for stage, step in STEPS} | set(steps("commands"))
    named = {code.removeprefix("neuromoe ") for code in inline_code(page) if re.match(r"neuromoe [a-z]", code)}
    assert named <= known


@pytest.mark.parametrize("page", EACH_PAGE)
def test_every_setting_that_a_page_names_exists(page: Path) -> None:
    for code in inline_code(page):
        first, *rest = code.partition(":")[0].split(".")
        if rest[-1:] in (["tsv"], ["json"]):
            continue
        node = SCHEMA["properties"].get(first, {})
        for key in rest if "properties" in node else []:
            assert key in node["properties"], f"{page.name}: {code}"
            node = node["properties"][key]


def settings_of(node: dict[str, Any], where: str = "") -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Yield the place and rule of each key, and whether it must be given."""
    for key, rule in node.get("properties", {}).items():
        place = f"{where}.{key}".lstrip(".")
        yield place, rule, key in node.get("required", [])
        yield from settings_of(rule, place)
        extra = rule.get("additionalProperties")
        for choice in extra.get("oneOf", [extra]) if isinstance(extra, dict) else []:
            yield from settings_of(choice, f"{place}.*")


@pytest.mark.parametrize(
    ("rule", "required"), [pytest.param(rule, need, id=place) for place, rule, need in settings_of(SCHEMA)]
)
def test_every_setting_is_described_and_has_its_default(rule: dict[str, Any], required: bool) -> None:
    assert rule.get("description", "").strip()
    kinds = rule.get("type", "enum")
    is_scalar = not {"object", "array"} & set([kinds] if isinstance(kinds, str) else kinds)
    assert not is_scalar or required or "default" in rule


@pytest.mark.parametrize(("stage", "step"), EACH_STEP)
def test_every_option_of_a_step_is_described(stage: str, step: str) -> None:
    function = step_function(stage, step)
    head = (inspect.getdoc(function) or "").partition("Parameters\n")[2]
    described = {name for line in re.findall(r"^([\w, ]+) : ", head, re.MULTILINE) for name in line.split(", ")}
    assert set(inspect.signature(function).parameters) <= described


@pytest.mark.parametrize("page", EACH_PAGE)
def test_every_link_to_a_file_resolves(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    files = [target.partition("#")[0] for target in targets if "://" not in target]
    assert [name for name in files if name and not (page.parent / name).exists()] == []


@pytest.mark.parametrize("page", EACH_PAGE)
def test_no_page_names_a_place_on_somebodys_machine(page: Path) -> None:
    assert re.findall(r"(?<![\w.<>-])/(?:home|root|tmp|mnt|work|Users|scratch)\b", page.read_text()) == []


def test_the_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert citation["version"] == neuromoe.__version__
    changes = (REPOSITORY / "CHANGELOG.md").read_text().split("\n## ")
    (section,) = [part for part in changes if part.startswith(f"[{neuromoe.__version__}]")]
    assert "**Results**" in section
