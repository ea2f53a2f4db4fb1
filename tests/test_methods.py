"""docs/methods.md describes every step, with the defaults that the code has and references that are cited."""

import inspect
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from neuromoe.cli import stages, step_function

DOCS = Path(__file__).parent.parent / "docs"
STEPS = [(stage, step) for stage, names in stages().items() for step in names]
EACH_STEP = [pytest.param(*pair, id=" ".join(pair)) for pair in STEPS]


def sections() -> dict[str, str]:
    """Return the text under each heading of a step."""
    parts = re.split(r"^##+ (.+)$", (DOCS / "methods.md").read_text(), flags=re.MULTILINE)
    return {name: text for heading, text in zip(parts[1::2], parts[2::2], strict=True) for name in heading.split(", ")}


def defaults(stage: str, step: str) -> dict[str, Any]:
    """Return the defaults of a step's arguments; of `train fit` also those of the network."""
    parameters = inspect.signature(step_function(stage, step)).parameters
    found = {name: parameter.default for name, parameter in parameters.items()}
    if (stage, step) == ("train", "fit"):
        from neuromoe.model.neuromoe_paper import PaperSettings

        found |= asdict(PaperSettings())
    return found


def stated(text: str) -> list[tuple[str, float]]:
    """Return the settings that a text follows by one number."""
    pairs = re.findall(r"`(\w+)` \(?([\d.]*\d)(?=[\s,;)]|\.\s)", " ".join(text.split()))
    return [(name, float(number)) for name, number in pairs]


@pytest.mark.parametrize(("stage", "step"), EACH_STEP)
def test_a_step_has_its_place_in_the_methods_and_on_the_map(stage: str, step: str) -> None:
    plan = (DOCS / "architecture.md").read_text()
    rows = re.findall(rf"^\| `{stage}` \| ([^|]+) \|", plan, flags=re.MULTILINE)
    assert [f"`{step}`" in row for row in rows] == [True]
    assert f"{stage} {step}" in sections()


@pytest.mark.parametrize(("stage", "step"), EACH_STEP)
def test_the_defaults_in_the_methods_are_those_of_the_code(stage: str, step: str) -> None:
    known = defaults(stage, step)
    named = [(name, number) for name, number in stated(sections()[f"{stage} {step}"]) if name in known]
    assert named == [(name, known[name]) for name, _ in named]


def test_the_methods_state_many_defaults() -> None:
    assert sum(len(stated(text)) for text in sections().values()) > 30


def test_the_references_of_the_methods_are_numbered_and_all_cited() -> None:
    text, _, listed = (DOCS / "methods.md").read_text().partition("## References")
    cited = {int(number) for number in re.findall(r"\[\[(\d+)\]\]\(#references\)", text)}
    numbers = [int(number) for number in re.findall(r"^(\d+)\. ", listed, flags=re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert cited == set(numbers)
