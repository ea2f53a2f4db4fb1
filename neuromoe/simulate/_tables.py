"""The tables of the synthetic dataset. Standard library only; a table whose content stays keeps its time."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neuromoe.core.atomic import write_if_changed
from neuromoe.simulate._clinical import CLINICAL, SERUM, dictionary, level_dictionary
from neuromoe.simulate._effects import EFFECTS, strengths
from neuromoe.simulate._people import Person
from neuromoe.simulate._protocol import SITES

BIDS_VERSION = "1.9.0"
GENERATOR = {"Name": "neuromoe simulate cohort", "Description": "Synthetic people with known truth"}
TRUTH = "derivatives/truth"
README = """Synthetic cohort

Made by `neuromoe simulate cohort` from the ICBM 152 template that comes with nilearn. No person was scanned.
The people have three groups: PD, iRBD and HC (the names are those of a study of Parkinson's disease and of
isolated REM sleep behaviour disorder; the effects are planted and prove nothing about either). What is true
about each image is in derivatives/truth.
"""
TRUTH_README = """Truth of the synthetic cohort

Everything here was used to make the images, not estimated from them. World coordinates are RAS+ mm.

truth.tsv
  who has how much of the planted effects, and which scans are spoilt
space-<T>_label-<place>_probseg.nii.gz, space-<T>_desc-<network>_probseg.nii.gz
  weight of each planted effect's place and of each BOLD network, template space
sub-*/anat/*_from-<T>_to-T1w_mode-image_xfm.h5
  maps T1w world points to template world points; there for everybody, with a T1w or without
sub-*/anat/*_desc-bias_T1w.nii.gz
  the multiplicative field, at every fourth voxel
sub-*/dwi/*_from-orig_to-dwiref_mode-image_xfm.txt, sub-*/func/*_from-orig_to-boldref_mode-image_xfm.txt
  for each volume, maps the reference's world points to the volume's; the reference is the first volume
sub-*/dwi/*_from-dwi_to-T1w_mode-image_xfm.txt, sub-*/func/*_from-boldref_to-T1w_mode-image_xfm.txt
  maps T1w world points to the reference's
sub-*/dwi/*_param-{fa,md,v1}_dwimap.nii.gz
  noise-free tensor's maps on the native grid at the reference position; v1 along the RAS+ world axes
sub-*/func/*_desc-networks_timeseries.tsv
  the networks' time courses at the start of each volume, and the factor of the scanner's drift
"""


def write_tables(
    bids_dir: Path, people: Sequence[Person], *, effects: dict[str, Any] | None = None, seed: int = 0
) -> None:
    """Write the dataset's tables and descriptions, each only if its content differs.

    Parameters
    ----------
    bids_dir : path
        The dataset.
    people : sequence of Person
        The cohort.
    effects : dict, optional
        Strengths that depart from the defaults.
    seed : int, default=0
        Recorded with the truth.
    """
    bids_dir = Path(bids_dir)
    _write_json(bids_dir / "dataset_description.json", _description("raw", "NeuroMoE synthetic cohort"))
    write_if_changed(bids_dir / "README", README)
    _write_people(bids_dir, people)
    _write_phenotype(bids_dir, people)
    _write_truth(bids_dir / TRUTH, people, strengths(effects), seed)


def _description(kind: str, name: str) -> dict[str, object]:
    return {
        "Name": name,
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": kind,
        "License": "CC0",
        "Authors": ["The NeuroMoE developers"],
        "GeneratedBy": [GENERATOR],
    }


def _write_people(bids_dir: Path, people: Sequence[Person]) -> None:
    columns = ("participant_id", "age", "sex", "site", "group")
    rows = [[getattr(person, column) for column in columns] for person in people]
    _write_tsv(bids_dir / "participants.tsv", columns, rows)
    _write_json(
        bids_dir / "participants.json",
        {
            "age": {"Description": "Age at the scan", "Units": "a"},
            "sex": {"Description": "Sex", "Levels": {"M": "male", "F": "female"}},
            "site": {"Description": "Scanner", "Levels": {site.name: _scanner(site) for site in SITES}},
            "group": {
                "Description": "Diagnosis",
                "Levels": {
                    "PD": "Parkinson's disease",
                    "iRBD": "isolated REM sleep behaviour disorder",
                    "HC": "healthy",
                },
            },
        },
    )


def _scanner(site: Any) -> str:
    return f"{site.manufacturer} {site.model}, {site.field_strength_t:g} T"


def _write_phenotype(bids_dir: Path, people: Sequence[Person]) -> None:
    for name, features, levels in (("clinical", CLINICAL, level_dictionary()), ("serum", SERUM, {})):
        columns = ("participant_id", *getattr(people[0], name))
        rows = [[person.participant_id, *getattr(person, name).values()] for person in people]
        _write_tsv(bids_dir / "phenotype" / f"{name}.tsv", columns, rows)
        tool = {"MeasurementToolMetadata": {"Description": f"Synthetic {name} features"}}
        _write_json(bids_dir / "phenotype" / f"{name}.json", tool | dictionary(features) | levels)


def _write_truth(folder: Path, people: Sequence[Person], chosen: dict[str, float], seed: int) -> None:
    _write_json(folder / "dataset_description.json", _description("derivative", "Truth of the synthetic cohort"))
    write_if_changed(folder / "README", TRUTH_README)
    columns = (
        "participant_id",
        "session_id",
        "group",
        "site",
        "severity",
        "anat",
        "dwi",
        "func",
        "corrupted",
        *chosen,
    )
    rows = [
        [
            *(person.participant_id, person.session_id, person.group, person.site, person.severity),
            *(_state(person, modality) for modality in ("anat", "dwi", "func")),
            ",".join(person.corrupted) or "none",
            *(round(person.severity * strength, 4) for strength in chosen.values()),
        ]
        for person in people
    ]
    _write_tsv(folder / "truth.tsv", columns, rows)
    described = {name: {"Description": f"This person's {EFFECTS[name].meaning}"} for name in chosen}
    _write_json(folder / "truth.json", {"seed": {"Description": str(seed)}} | described)


def _state(person: Person, modality: str) -> str:
    if not person.has(modality):
        return "missing"
    return "corrupted" if modality in person.corrupted else "good"


def _write_tsv(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    lines = ["\t".join(columns)] + ["\t".join(_cell(value) for value in row) for row in rows]
    write_if_changed(path, "\n".join(lines) + "\n")


def _cell(value: object) -> str:
    return "n/a" if value is None else str(value)


def _write_json(path: Path, value: object) -> None:
    write_if_changed(path, json.dumps(value, indent=1, sort_keys=True) + "\n")
