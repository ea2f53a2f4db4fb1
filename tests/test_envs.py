"""The conda environments name what the package needs, in the versions that are tested."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).parent.parent
ENVIRONMENTS = sorted(path.name for path in (REPOSITORY / "envs").glob("*.yaml"))
FSL_CHANNEL = "https://fsl.fmrib.ox.ac.uk/fsldownloads/fslconda/public/"


def normal(name: str) -> str:
    """Spell a distribution's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def environment(name: str) -> dict[str, Any]:
    return yaml.safe_load((REPOSITORY / "envs" / name).read_text())


def pip_pins(name: str) -> dict[str, str]:
    parts = [part["pip"] for part in environment(name)["dependencies"] if isinstance(part, dict)]
    pairs = [line.split("==") for part in parts for line in part]
    return {normal(package): version for package, version in pairs}


def conda_packages(name: str) -> list[str]:
    return [part for part in environment(name)["dependencies"] if isinstance(part, str)]


def project() -> dict[str, Any]:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def constraints() -> dict[str, str]:
    path = REPOSITORY / "constraints.txt"
    if not path.is_file():
        pytest.skip("constraints.txt is not there yet")
    lines = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
    return {normal(name): version for name, _, version in (line.partition("==") for line in lines if line)}


def test_there_is_an_environment_for_the_package_and_one_with_fsl() -> None:
    assert ENVIRONMENTS == ["fsl.yaml", "neuromoe.yaml"]


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_pins_agree_with_the_constraints(name: str, constraints: dict[str, str]) -> None:
    pins = pip_pins(name)
    assert {package: constraints.get(package) for package in pins} == pins


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_dependency_of_the_package_is_there(name: str) -> None:
    needed = {normal(re.match(r"[\w.-]+", line)[0]) for line in project()["dependencies"]}  # type: ignore[index]
    assert needed == set(pip_pins(name))


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_environment_has_a_python_that_the_package_takes(name: str) -> None:
    from packaging.specifiers import SpecifierSet

    (python,) = [part.partition("=")[2] for part in conda_packages(name) if part.startswith("python=")]
    assert f"{python}.0" in SpecifierSet(project()["requires-python"])
    assert "pip" in conda_packages(name)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_channels_are_the_free_ones(name: str) -> None:
    channels = environment(name)["channels"]
    expected = [FSL_CHANNEL] if name == "fsl.yaml" else []
    assert channels == [*expected, "conda-forge", "nodefaults"]


def test_fsl_comes_as_single_pinned_packages() -> None:
    packages = [part for part in conda_packages("fsl.yaml") if part not in ("pip", "python=3.11")]
    assert packages
    assert [part for part in packages if not re.fullmatch(r"fsl-[a-z0-9_]+=\d+\.\d+", part)] == []


def test_the_rules_name_an_environment_that_exists() -> None:
    rules = "".join(path.read_text() for path in sorted((REPOSITORY / "workflow" / "rules").glob("*.smk")))
    named = set(re.findall(r'"envs" / "([\w.]+)"', rules))
    assert named
    assert named <= set(ENVIRONMENTS)
