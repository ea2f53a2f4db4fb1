"""Make a BIDS dataset of synthetic people whose truth is known."""

from pathlib import Path
from typing import Any

from neuromoe.core.errors import InputError
from neuromoe.simulate._people import Person
from neuromoe.simulate._plan import plan, write_tables


def cohort(
    *,
    bids_dir: Path,
    size: str = "demo",
    sessions: int = 24,
    seed: int = 0,
    participant: str | None = None,
    effects: dict[str, Any] | None = None,
    corrupted_rate: float = 0.15,
    missing_rate: float = 0.1,
) -> None:
    """Simulate T1w, dwi and resting bold of PD, iRBD and HC, with the truth under derivatives/truth.

    Every person is the ICBM 152 brain that comes with nilearn, in a made head, deformed by a known smooth
    map. Effects are planted at named places: full in PD, about half in iRBD, about none in HC. The same
    arguments give the same bytes, and a person's bytes depend on nobody else.

    Parameters
    ----------
    bids_dir : path
        The dataset to write.
    size : str, default="demo"
        `tiny` (4 and 6 mm, for tests), `demo` (2 and 4 mm) or `full` (1, 2 and 3 mm).
    sessions : int, default=24
        People; each has one session. More sessions leave the first ones as they are.
    seed : int, default=0
        Source of all random numbers.
    participant : str, optional
        Write this person's images and truth only, such as `sub-01`, and no tables.
    effects : dict, optional
        Strengths at full severity, as shares from 0 to 0.6: `fa_drop` .35 and `md_rise` .2 in midbrain and
        pons, `amplitude_drop` .5 of the BOLD networks in putamen and motor cortex, `volume_drop` .25 of
        putamen and midbrain, `thinning` .3 of temporal grey matter.
    corrupted_rate : float, default=0.15
        Share of scans spoilt by strong motion.
    missing_rate : float, default=0.1
        Share of scans that were not made. Nobody misses all.

    Raises
    ------
    InputError
        An argument out of range, an unknown effect or participant, or nilearn's template missing.
    """
    people = plan(sessions, seed, size, corrupted_rate, missing_rate)
    if participant is None:
        write_tables(bids_dir, people, effects=effects, seed=seed)
        chosen = people
    else:
        chosen = [_find(people, participant)]
    from neuromoe.simulate._session import write_session

    for count, person in enumerate(chosen, start=1):
        made = write_session(Path(bids_dir), person, seed=seed, effects=effects)
        print(f"{person.participant_id} ({count} of {len(chosen)}): {', '.join(made)}", flush=True)


def _find(people: list[Person], participant: str) -> Person:
    for person in people:
        if person.participant_id == participant:
            return person
    raise InputError(
        expected=f"a participant from {people[0].participant_id} to {people[-1].participant_id}",
        found=repr(participant),
        where="participant",
        fix="name one of them, or raise sessions",
    )
