"""People, their maps cut into patches, their clinical data: what every model is fitted on.

Axis letters: N people, C channel, D H W voxels along x y z, T token, F voxels of a patch over all channels,
Q quality number, M modality.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuromoe.cohort import tables
from neuromoe.cohort.checks import as_volumes, check_keys, check_names, check_places, common_shape, named_channels
from neuromoe.cohort.patches import PATCH, brain_patches, cut_patches, flat_places, patch_grid, spread_patches
from neuromoe.cohort.people import people
from neuromoe.core.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

CLINICAL = "clinical"


@dataclass(frozen=True, eq=False)
class Cohort:
    """Rows of people; one row is one session. Made by `from_arrays` or `open`.

    Parameters
    ----------
    tokens : mapping of str to array (N present, T, F)
        In-brain patches of each modality, of those who have it; may be memory-mapped.
    rows : mapping of str to array (N,), int
        Each person's row in `tokens`, -1 where the modality is absent.
    quality : mapping of str to array (N, Q)
        Quality numbers of each modality, NaN where unknown.
    clinical : DataFrame (N rows) or None
        Clinical and serum columns only.
    clinical_types : mapping of str to mapping
        `type` (numeric, categorical, ordinal) and `levels` of each clinical column.
    labels : array (N,), object
        The class, None where unknown.
    participants, groups, sites, sessions : array (N,)
        Who it is; the family (else the participant); site and session, empty where unknown.
    places : array (T, 3), int
        Where the tokens lie on the patch grid.
    grid : tuple of 3 int
        Patches along each axis.
    quality_names, channels : mapping of str to list of str
        What the columns of `quality` and the channels of the maps are.
    patch : int
        Side of a patch, voxels.
    """

    tokens: Mapping[str, NDArray]
    rows: Mapping[str, NDArray]
    quality: Mapping[str, NDArray]
    clinical: "pd.DataFrame | None"
    clinical_types: Mapping[str, Mapping[str, Any]]
    labels: NDArray
    participants: NDArray
    groups: NDArray
    sites: NDArray
    sessions: NDArray
    places: NDArray
    grid: tuple[int, int, int]
    quality_names: Mapping[str, list[str]] = field(default_factory=dict)
    channels: Mapping[str, list[str]] = field(default_factory=dict)
    patch: int = PATCH

    @classmethod
    def from_arrays(
        cls,
        *,
        maps: Mapping[str, ArrayLike],
        labels: ArrayLike | None = None,
        participants: ArrayLike | None = None,
        present: Mapping[str, ArrayLike] | None = None,
        quality: "Mapping[str, ArrayLike | pd.DataFrame] | None" = None,
        channels: Mapping[str, Sequence[str]] | None = None,
        clinical: "pd.DataFrame | None" = None,
        clinical_types: Mapping[str, Mapping[str, Any]] | None = None,
        groups: ArrayLike | None = None,
        sites: ArrayLike | None = None,
        sessions: ArrayLike | None = None,
        mask: ArrayLike | None = None,
    ) -> "Cohort":
        """Make a cohort from volumes in memory.

        Parameters
        ----------
        maps : mapping of str to array (N, C, D, H, W)
            Volumes of each modality on one grid; what stands where `present` is False is never read. Names are
            letters, digits, - and _; `clinical` and `joint` are taken.
        labels : array (N,), optional
            The class; None or NaN is unlabeled.
        participants : array (N,), optional
            Who the row belongs to; default every row another person.
        present : mapping of str to array (N,) bool, optional
            Who has the modality; default everybody.
        quality : mapping of str to array or DataFrame (N, Q), optional
            Quality numbers, NaN where missing. A fitted model knows those of a DataFrame, and of a store, by
            name, others by place.
        channels : mapping of str to sequence of str, optional
            What the channels of a modality are; a fitted model refuses other ones, and these in another order.
        clinical : DataFrame (N rows), optional
            Clinical and serum columns, NaN where missing.
        clinical_types : mapping, optional
            `{"column": {"type": "numeric" | "categorical" | "ordinal", "levels": [...]}}`; columns that are not in
            it are left out. Default all of them, by their dtypes.
        groups, sites, sessions : array (N,), optional
            Family (default the participant; those with a participant in common are one), site, session.
        mask : array (D, H, W), bool, optional
            The brain: patches that touch it are kept, voxels outside it set to 0. Default everything.

        Raises
        ------
        InputError
            Lengths or grids do not agree, a modality cannot have its name, `present` or `quality` name one without
            maps, the mask is empty, a map that is present is not finite, or something is of another kind.
        """
        check_names(maps, "maps")
        check_keys(present, maps, "present", {CLINICAL: "leave the person's clinical row empty (NaN) instead"})
        check_keys(quality, maps, "quality", {})
        check_keys(channels, maps, "channels", {})
        volumes = {name: as_volumes(array, name) for name, array in maps.items()}
        count = tables.common_length({**volumes, "labels": labels, CLINICAL: clinical, "participants": participants})
        shape = common_shape(volumes, mask)
        brain = np.ones(shape, bool) if mask is None else np.asarray(mask, bool)
        places, grid = brain_patches(brain), patch_grid(shape)
        check_places(places, maps, "mask", "make the mask True where the brain is")
        tokens, rows = {}, {}
        for name, volume in volumes.items():
            there = tables.flags((present or {}).get(name, np.ones(count, bool)), count, f"present[{name!r}]")
            rows[name] = np.where(there, np.cumsum(there) - 1, -1)
            tokens[name] = _cut_present(volume, there, brain, flat_places(places, grid), name)
        table, types = tables.typed_clinical(clinical, clinical_types)
        who = people(count, labels, participants, groups, sites, sessions)
        tabled = {name: given for name, given in (quality or {}).items() if hasattr(given, "columns")}
        return cls(
            tokens,
            rows,
            tables.quality_of(quality, volumes, count),
            table,
            types,
            **who,
            places=places,
            grid=grid,
            channels={name: named_channels(names, volumes[name], name) for name, names in (channels or {}).items()},
            quality_names={name: [str(column) for column in given.columns] for name, given in tabled.items()},
        )

    @classmethod
    def open(
        cls,
        store: Path | str,
        *,
        labels: ArrayLike | None = None,
        clinical: "pd.DataFrame | Path | str | None" = None,
        clinical_types: Mapping[str, Mapping[str, Any]] | None = None,
        groups: ArrayLike | None = None,
        sites: ArrayLike | None = None,
    ) -> "Cohort":
        """Open the cohort that the step `tensors store` wrote, memory-mapped.

        Parameters
        ----------
        store : path
            The folder, or its index.tsv.
        labels, groups, sites : array (N,), optional
            In the order of the store's index.tsv; default from the table given as `clinical`, where that is a
            path.
        clinical : DataFrame or path, optional
            A table with `participant_id` (and `session_id`) is laid beside the index by these, one without
            must have the index's rows. A path is read with the .json beside it, as the step `bids index`
            writes them: columns `label`, `site` and `group` are then taken from it.
        clinical_types : mapping, optional
            As in `from_arrays`.

        Raises
        ------
        InputError
            The folder is no store or an empty one, a modality cannot have its name, or lengths do not agree.
        """
        from neuromoe.cohort.store import read_store

        parts = read_store(store)
        check_names(parts["tokens"], store)
        check_places(parts["places"], parts["tokens"], store, "pack the maps with smaller voxels (tensors: voxel_mm)")
        index = parts.pop("index")
        found = tables.beside_index(index, clinical, clinical_types)
        given = {"labels": labels, "groups": groups, "sites": sites}
        chosen = {name: found.pop(name, None) if value is None else value for name, value in given.items()}
        table, types = tables.typed_clinical(found["clinical"], found["types"])
        who = {"participants": index["participant_id"].to_numpy(), "sessions": index["session_id"].to_numpy()}
        return cls(**parts, clinical=table, clinical_types=types, **people(len(index), **chosen, **who))

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities, `clinical` last where there are clinical columns."""
        return (*self.tokens, *((CLINICAL,) if self.clinical is not None else ()))

    def present(self, positions: NDArray | Sequence[int], modalities: Sequence[str] | None = None) -> NDArray:
        """Tell who has what.

        Parameters
        ----------
        positions : array (n,), int
            Rows of the cohort.
        modalities : sequence of str, optional
            Default the cohort's own; one that the cohort does not know is absent in everybody.

        Returns
        -------
        array (n, M), bool
            For `clinical`: at least one clinical value is known.
        """
        names = self.modalities if modalities is None else modalities
        there = np.zeros((len(positions), len(names)), bool)
        for column, name in enumerate(names):
            if name in self.rows:
                there[:, column] = self.rows[name][positions] >= 0
            elif name == CLINICAL and self.clinical is not None:
                there[:, column] = self.clinical.notna().any(axis=1).to_numpy()[positions]
        return there

    def patterns(self, positions: NDArray | Sequence[int]) -> list[str]:
        """Name what each person has, as `anat+func+clinical`; `none` where nothing."""
        names = np.array(self.modalities)
        return ["+".join(names[row]) or "none" for row in self.present(positions)]

    def patches(self, modality: str, positions: NDArray | Sequence[int], *, full_grid: bool = False) -> NDArray:
        """Read the patches of people who have the modality.

        Parameters
        ----------
        modality : str
            An imaging modality.
        positions : array (n,), int
            Rows of the cohort, all with the modality.
        full_grid : bool, default=False
            All patches of the grid rather than those that touch the brain.

        Returns
        -------
        array (n, T, F)
            In the store's own type (float16) or that of the maps.
        """
        rows = self.rows[modality][positions]
        if (rows < 0).any():
            raise ValueError(f"{int((rows < 0).sum())} of {len(rows)} people have no {modality}")
        tokens = np.ascontiguousarray(self.tokens[modality][rows])
        return spread_patches(tokens, self.places, self.grid) if full_grid else tokens


def _cut_present(volume: NDArray, there: NDArray, brain: NDArray, kept: NDArray, name: str) -> NDArray:
    dtype = np.float16 if volume.dtype == np.float16 else np.float32
    chosen = np.flatnonzero(there)
    tokens = np.empty((len(chosen), len(kept), volume.shape[1] * PATCH**3), dtype)
    for row, position in enumerate(chosen):
        # Multiplying would keep a NaN outside the brain.
        one = np.where(brain, volume[position], 0).astype(dtype)
        tokens[row] = cut_patches(one[None])[0, kept]
        if not np.isfinite(tokens[row]).all():
            raise InputError(
                expected="finite values in the brain",
                found="NaN or infinity",
                where=f"{name} map of row {position}",
                fix="mark the map absent in `present`, or repair it",
            )
    return tokens
