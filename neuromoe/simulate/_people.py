"""A synthetic participant, before anything is drawn on a grid. Standard library only."""

from dataclasses import dataclass

MODALITIES = ("anat", "dwi", "func")
SUFFIXES = {"anat": "T1w", "dwi": "dwi", "func": "task-rest_bold"}


@dataclass(frozen=True)
class Person:
    """One synthetic participant with one session.

    Parameters
    ----------
    severity : float
        How much of the planted effects this person has: about 0 in HC, 0.5 in iRBD, 1 in PD.
    corrupted : tuple of str
        The modalities whose scan is spoilt by strong motion.
    clinical, serum : dict
        The phenotype tables' rows; None where a cell is missing.
    """

    participant_id: str
    session_id: str
    group: str
    site: str
    age: int
    sex: str
    severity: float
    anat: bool
    dwi: bool
    func: bool
    corrupted: tuple[str, ...]
    clinical: dict[str, float | str | None]
    serum: dict[str, float | str | None]
    size: str = "demo"

    def has(self, modality: str) -> bool:
        """Tell whether the person was scanned with `modality`."""
        return bool(getattr(self, modality))

    def files(self) -> dict[str, list[str]]:
        """Return, for each modality that is there, the paths relative to the dataset; the image first."""
        return {modality: files_of(self, modality) for modality in MODALITIES if self.has(modality)}


def files_of(person: Person, modality: str) -> list[str]:
    """Return the paths of one scan relative to the dataset; the image first."""
    stem = f"{person.participant_id}/{modality}/{person.participant_id}_{SUFFIXES[modality]}"
    endings = [".nii.gz", ".json"] + ([".bval", ".bvec"] if modality == "dwi" else [])
    return [stem + ending for ending in endings]
