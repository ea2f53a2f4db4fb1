"""Fieldmaps of a session: what there is, which images they are for, and whether they can be used."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from neuromoe.bids._checks import Issue, note, read_header, read_metadata
from neuromoe.bids._choose import Row
from neuromoe.bids._scan import Found, scan_folder

PHASE = ("phasediff", "phase1", "phase2")
MAGNITUDE = ("magnitude1", "magnitude2", "magnitude")
SUFFIXES = ("epi", *PHASE, *MAGNITUDE, "fieldmap")


@dataclass(frozen=True)
class Fieldmap:
    """An image of a session's folder `fmap`, what its sidecar says, and the images it is for.

    `silent` are those images that do not say how they were read out, which no fieldmap can serve.
    """

    row: Row
    metadata: Mapping[str, Any]
    targets: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()

    @property
    def image(self) -> Found:
        """The image."""
        return self.row.image

    @property
    def scan(self) -> tuple[tuple[str, str], ...]:
        """What the parts of one scan have in common: everything but suffix and echo."""
        return tuple(sorted(pair for pair in self.image.name.entities.items() if pair[0] != "echo"))

    def left_out(self, reason: str) -> "Fieldmap":
        """Return it as not used, and why; the first reason stays."""
        return replace(self, row=self.row.left_out(reason)) if self.row.used else self


def find_fieldmaps(
    bids_dir: Path, rows: Sequence[Row], unused: Mapping[str, str]
) -> tuple[list[Fieldmap], list[Issue]]:
    """List the fieldmaps of the sessions and decide about each.

    Parameters
    ----------
    bids_dir : path
        The dataset.
    rows : sequence of Row
        Its T1w, dwi and bold images.
    unused : mapping
        Modalities (`dwi`, `func`) whose fieldmaps are not used, and why.

    Returns
    -------
    fieldmaps : list of Fieldmap
        In the order of their names.
    issues : list of Issue
        A note for each that is not used, and for diffusion runs that oppose each other without a use of it.
    """
    sessions: dict[tuple[str, str], list[Found]] = {}
    for row in rows:
        if row.used:
            images = sessions.setdefault((row.image.participant_id, row.image.session_id), [])
            images += [row.image] if row.image.modality in ("dwi", "func") else []
    found: list[Fieldmap] = []
    opposed: list[Issue] = []
    for (participant, session), images in sorted(sessions.items()):
        folder = bids_dir.joinpath(participant, *([session] if session != "n/a" else []), "fmap")
        beside = list(scan_folder(bids_dir, folder, "fmap", SUFFIXES))
        # Sidecars are read again only where they matter here: a large dataset has many.
        if beside or sum(image.modality == "dwi" for image in images) > 1:
            told = {image.path: read_metadata(bids_dir, image)[0] for image in images}
            found += _decide([_aimed(_read(bids_dir, image), images, told) for image in beside], told, unused)
            opposed += _opposed_runs(images, told, unused.get("dwi", ""))
    return found, [*_notes(found), *opposed]


def _read(bids_dir: Path, image: Found) -> Fieldmap:
    metadata, problems = read_metadata(bids_dir, image)
    try:
        image = replace(image, header=read_header(bids_dir / image.path))
    except (OSError, ValueError, EOFError) as err:
        return Fieldmap(Row(image).left_out(f"cannot be read: {err}"), metadata)
    fieldmap = Fieldmap(Row(image), metadata)
    return fieldmap.left_out("its JSON file cannot be read") if problems else fieldmap


def _aimed(fieldmap: Fieldmap, images: Sequence[Found], told: Mapping[str, Mapping[str, Any]]) -> Fieldmap:
    """Find the images that a fieldmap is for, by either of BIDS's two ways."""
    named = [_relative(uri, fieldmap.image) for uri in _listed(fieldmap.metadata.get("IntendedFor"))]
    groups = set(_listed(fieldmap.metadata.get("B0FieldIdentifier")))
    meant = [
        image.path
        for image in images
        if image.path in named or groups & set(_listed(told[image.path].get("B0FieldSource")))
    ]
    targets = tuple(path for path in meant if _says_readout(told[path]))
    return replace(fieldmap, targets=targets, silent=tuple(path for path in meant if path not in targets))


def _says_readout(told: Mapping[str, Any]) -> bool:
    times = told.get("TotalReadoutTime"), told.get("EffectiveEchoSpacing")
    return bool(told.get("PhaseEncodingDirection")) and any(times)


def _listed(value: Any) -> list[str]:
    return [str(value)] if isinstance(value, str) else [str(item) for item in value or ()]


def _relative(uri: str, image: Found) -> str:
    """Turn an entry of IntendedFor into a path in the dataset.

    It is a BIDS URI, or a path below the participant's folder (`ses-1/func/...`).
    """
    path = uri.removeprefix("bids::").lstrip("/") if uri.startswith("bids::") else uri.lstrip("./")
    return path if path.startswith("sub-") else f"{image.participant_id}/{path}"


def _decide(
    fieldmaps: Sequence[Fieldmap], told: Mapping[str, Mapping[str, Any]], unused: Mapping[str, str]
) -> list[Fieldmap]:
    judged = [_judge(fieldmap, fieldmaps, told, unused) for fieldmap in fieldmaps]
    taken: dict[str, str] = {}
    # A pair of opposed images before a phase image: topup needs no unwrapping.
    for fieldmap in sorted(judged, key=lambda one: one.image.name.suffix != "epi"):
        if fieldmap.row.used and fieldmap.image.name.suffix not in MAGNITUDE:
            for target in fieldmap.targets:
                taken.setdefault(target, _key(fieldmap))
    kept = [one if _chosen(one, taken) else one.left_out("another fieldmap of the image was chosen") for one in judged]
    alive = {one.scan for one in kept if one.row.used and one.image.name.suffix in PHASE}
    return [
        one.left_out("its phase image is not used")
        if one.image.name.suffix in MAGNITUDE and one.scan not in alive
        else one
        for one in kept
    ]


def _key(fieldmap: Fieldmap) -> str:
    return "epi" if fieldmap.image.name.suffix == "epi" else f"phase {fieldmap.scan}"


def _chosen(fieldmap: Fieldmap, taken: Mapping[str, str]) -> bool:
    if not fieldmap.row.used or fieldmap.image.name.suffix in MAGNITUDE:
        return True
    return any(taken.get(target) == _key(fieldmap) for target in fieldmap.targets)


def _judge(
    fieldmap: Fieldmap,
    all_of_session: Sequence[Fieldmap],
    told: Mapping[str, Mapping[str, Any]],
    unused: Mapping[str, str],
) -> Fieldmap:
    if not fieldmap.row.used:
        return fieldmap
    suffix = fieldmap.image.name.suffix
    if suffix in MAGNITUDE:
        return fieldmap
    if suffix == "fieldmap":
        return fieldmap.left_out("fieldmaps in Hz are not read yet")
    if not (fieldmap.metadata.get("IntendedFor") or fieldmap.metadata.get("B0FieldIdentifier")):
        return fieldmap.left_out("names no image: neither IntendedFor nor B0FieldIdentifier")
    if not fieldmap.targets:
        silent = "its images do not say how they were read out (PhaseEncodingDirection, TotalReadoutTime)"
        return fieldmap.left_out(silent if fieldmap.silent else "for no image that is used")
    if suffix in PHASE and all(target.split("/")[-2] == "dwi" for target in fieldmap.targets):
        return fieldmap.left_out("phase fieldmaps of diffusion are not used, opposed images are")
    lacks = _lacks(fieldmap, all_of_session, [told[target] for target in fieldmap.targets])
    if lacks:
        return fieldmap.left_out(lacks)
    reasons = {unused.get(target.split("/")[-2], "") for target in fieldmap.targets}
    return fieldmap if "" in reasons else fieldmap.left_out("; ".join(sorted(reasons)))


def _lacks(fieldmap: Fieldmap, all_of_session: Sequence[Fieldmap], targets: Sequence[Mapping[str, Any]]) -> str | None:
    """Say what a fieldmap lacks to be used."""
    told, suffix = fieldmap.metadata, fieldmap.image.name.suffix
    if suffix == "epi":
        return _not_opposed(fieldmap, all_of_session, targets)
    parts = {one.image.name.suffix: one for one in all_of_session if one.scan == fieldmap.scan}
    if not set(MAGNITUDE) & set(parts):
        return "no magnitude image beside it"
    if suffix == "phasediff":
        return None if {"EchoTime1", "EchoTime2"} <= set(told) else "no EchoTime1 and EchoTime2"
    if not {"phase1", "phase2"} <= set(parts):
        return "the other of phase1 and phase2 is missing"
    return None if all("EchoTime" in parts[name].metadata for name in ("phase1", "phase2")) else "no EchoTime"


def _not_opposed(
    fieldmap: Fieldmap, all_of_session: Sequence[Fieldmap], targets: Sequence[Mapping[str, Any]]
) -> str | None:
    """Say why topup cannot use an image: with its targets, or another image for them, it must make an opposed pair."""
    own = str(fieldmap.metadata.get("PhaseEncodingDirection", ""))
    if not _says_readout(fieldmap.metadata):
        return "no PhaseEncodingDirection and readout time"
    beside = [one.metadata for one in all_of_session if set(one.targets) & set(fieldmap.targets)]
    directions = {str(told.get("PhaseEncodingDirection")) for told in [*targets, *beside]}
    opposite = own.removesuffix("-") if own.endswith("-") else f"{own}-"
    others = ", ".join(sorted(directions - {own})) or "none"
    return None if opposite in directions else f"no image opposes its phase encoding {own}; found {others}"


def _opposed_runs(images: Sequence[Found], told: Mapping[str, Mapping[str, Any]], unused: str) -> Iterator[Issue]:
    """Note diffusion runs of a session whose opposed phase encoding could correct their distortion, and does not."""
    directions: dict[str, str] = {}
    for image in images:
        if image.modality == "dwi" and unused:
            directions.setdefault(str(told[image.path].get("PhaseEncodingDirection", "")), image.path)
    for direction in sorted(directions):
        if direction and f"{direction}-" in directions:
            message = f"runs of phase encoding {direction} and {direction}- are not corrected by each other: {unused}"
            fix = "install FSL, or leave it so: distortion stays in the maps"
            yield note("DWI_OPPOSED", message, directions[direction], fix)


def _notes(fieldmaps: Sequence[Fieldmap]) -> Iterator[Issue]:
    for one in fieldmaps:
        concerns = (
            one.image.name.suffix not in MAGNITUDE and one.row.reason != "another fieldmap of the image was chosen"
        )
        if not one.row.used and concerns:
            fix = "install FSL, or leave it so: the image is used uncorrected" if "FSL" in one.row.reason else (
                "complete the sidecar, or leave it so: the image is used uncorrected"
            )  # fmt: skip
            yield note("FIELDMAP_UNUSED", one.row.reason, one.image.path, fix)
