"""What the preprocessing is measured on, and the clock."""

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ONE_THREAD = {
    name: "1"
    for name in (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
        "ANTS_RANDOM_SEED",
    )
}


@dataclass(frozen=True)
class Case:
    """One person that a method is run on.

    Parameters
    ----------
    name, variant : str
        Of the case; the variant says what is done to a phantom's images before a method sees them.
    seed : int
        Of the phantom; 0 for real people.
    bids : path
        The dataset. A phantom's truth lies under derivatives/truth.
    person : str
        The participant, `sub-...`.
    template : path
        `template.json` of the prepared template.
    real : bool
        Nobody knows the truth.
    """

    name: str
    variant: str
    seed: int
    bids: Path
    person: str
    template: Path
    real: bool

    @property
    def truth(self) -> Path:
        """The folder of a phantom's truth."""
        return self.bids / "derivatives" / "truth" / self.person


@dataclass
class Spent:
    """What a piece of work cost: `cpu_s` of this process and of those that it started."""

    cpu_s: float = 0.0


@contextmanager
def clock(digits: int = 3) -> Iterator[Spent]:
    """Measure the CPU seconds of a `with` block."""
    spent = Spent()
    before = _cpu_s()
    yield spent
    spent.cpu_s = round(_cpu_s() - before, digits)


def _cpu_s() -> float:
    own, started = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + started.ru_utime + started.ru_stime


def peak_mb() -> float:
    """Return the largest memory that this process held, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def read_cells(path: Path, key: tuple[str, ...]) -> dict[tuple, dict]:
    """Read the cells that are done, by what names them; the last line of a cell counts."""
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    return {tuple(row[name] for name in key): row for row in rows}


def make_phantom(work: Path, seed: int) -> Path:
    """Simulate one person of full size, once; return the dataset."""
    from neuromoe.simulate.cohort import cohort

    bids = work / f"phantom-{seed}"
    if not (bids / "done").is_file():
        cohort(
            bids_dir=bids, size="full", sessions=1, seed=seed, participant="sub-01", corrupted_rate=0, missing_rate=0
        )
        (bids / "done").touch()
    return bids


def prepared_template(work: Path, folder: Path | None) -> Path:
    """Prepare the bundled template, or the one of a folder, once."""
    from neuromoe.template.prepare import prepare

    prepared = work / ("template-bundled" if folder is None else "template-given") / "template.json"
    if not prepared.is_file():
        prepared.parent.mkdir(parents=True, exist_ok=True)
        prepare(template="nilearn" if folder is None else str(folder), prepared=prepared)
    return prepared
