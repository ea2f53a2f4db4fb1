"""One person from nothing to files."""

from pathlib import Path
from typing import Any

from neuromoe.simulate._anat import scan_t1w
from neuromoe.simulate._dwi import scan_dwi
from neuromoe.simulate._func import scan_bold
from neuromoe.simulate._people import Person
from neuromoe.simulate._person import draw_anatomy
from neuromoe.simulate._plan import images
from neuromoe.simulate._properties import Properties
from neuromoe.simulate._tables import TRUTH
from neuromoe.simulate._truth import write_bold, write_dwi, write_places, write_shape, write_t1w


def write_session(bids_dir: Path, person: Person, *, seed: int, effects: dict[str, Any] | None = None) -> list[str]:
    """Write a person's images and truth.

    Returns
    -------
    list of str
        The modalities written.
    """
    planned = {image.modality: image for image in images(person)}
    anatomy = draw_anatomy(person, seed, effects)
    truth = bids_dir / TRUTH
    write_places(truth)
    name = person.participant_id
    write_shape(truth / name / "anat" / name, anatomy.shape)
    if "anat" in planned:
        image = planned["anat"]
        write_t1w(bids_dir / image.path, truth / name / "anat" / name, scan_t1w(anatomy, image), image)
    if {"dwi", "func"} & set(planned):
        properties = Properties(anatomy)
        if "dwi" in planned:
            image = planned["dwi"]
            scan = scan_dwi(anatomy, properties, image)
            write_dwi(bids_dir / image.path, truth / name / "dwi" / name, scan, image)
        if "func" in planned:
            image = planned["func"]
            stem = truth / name / "func" / f"{name}_task-rest"
            write_bold(bids_dir / image.path, stem, scan_bold(anatomy, properties, image), image)
    return list(planned)
