"""Batches of patches, read from a cohort as they are needed.

Axis letters: B batch, M modality, T token, F voxels of a patch over all channels.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from neuromoe.model.cohort import Cohort
from neuromoe.model.patches import flat_places


@dataclass(frozen=True, eq=False)
class PatchBatch:
    """Patches of some people.

    Parameters
    ----------
    positions : tensor (B,), int
        Rows of the cohort.
    tokens : mapping of str to tensor (B present, T, F), float32
        Patches of those who have the modality, in the batch's order; no entry where nobody has it.
    present : tensor (B, M), bool
        Who has what, columns as `Cohort.modalities`.
    """

    positions: Tensor
    tokens: Mapping[str, Tensor]
    present: Tensor


class PatchDataset(Dataset[PatchBatch]):
    """People of a cohort; a loader gets a whole batch at once, so that nothing is stacked afterwards.

    Parameters
    ----------
    cohort : Cohort
        In memory, or opened and so memory-mapped: then a batch is all that is read.
    positions : array (n,), int
        Rows of the cohort, the people 0..n-1 of the dataset.
    full_grid : bool, default=False
        All patches of the grid rather than those that touch the brain.
    """

    def __init__(self, cohort: Cohort, positions: NDArray | Sequence[int], *, full_grid: bool = False) -> None:
        self.positions = np.asarray(positions, np.int64)
        self.present = cohort.present(self.positions)
        self.rows = {name: cohort.rows[name][self.positions] for name in cohort.tokens}
        self.grid = (flat_places(cohort.places, cohort.grid), int(np.prod(cohort.grid))) if full_grid else None
        self._take(dict(cohort.tokens))

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, chosen: int) -> PatchBatch:
        """Return one person, as a batch."""
        return self.__getitems__([chosen])

    def __getitems__(self, chosen: Sequence[int]) -> PatchBatch:
        """Return people as one batch."""
        tokens = {}
        for name, rows in self.rows.items():
            mine = rows[chosen]
            if (mine >= 0).any():
                tokens[name] = self.tokens(name, np.asarray(chosen)[mine >= 0])
        return PatchBatch(torch.from_numpy(self.positions[chosen]), tokens, torch.from_numpy(self.present[chosen]))

    def tokens(self, modality: str, chosen: NDArray) -> Tensor:
        """Return the patches (B, T, F), float32, of people of the dataset who have the modality."""
        source, rows = self.sources[modality], self.rows[modality][chosen]
        tokens_BTF = torch.empty((len(rows), *source.shape[1:]))
        # Row by row and widened on the way: no float16 copy, and torch widens several times faster than NumPy.
        for place, row in enumerate(rows.tolist()):
            tokens_BTF[place] = source[row]
        if self.grid is None:
            return tokens_BTF
        kept, count = self.grid
        full_BTF = torch.zeros((len(rows), count, source.shape[2]))
        full_BTF[:, kept] = tokens_BTF
        return full_BTF

    def _take(self, arrays: dict[str, NDArray]) -> None:
        self.arrays = arrays
        with warnings.catch_warnings():
            # A mapped file is read-only, and it is only read.
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            self.sources = {name: torch.from_numpy(array) for name, array in arrays.items()}

    # A worker that is not forked gets the dataset by way of pickle, which would copy a mapped file whole.
    def __getstate__(self) -> dict[str, Any]:
        files = {name: _file_of(array) for name, array in self.arrays.items()}
        return {**self.__dict__, "arrays": files, "sources": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._take({name: _mapped(file) for name, file in state["arrays"].items()})


def patch_loader(
    cohort: Cohort,
    positions: NDArray | Sequence[int],
    *,
    batch_size: int,
    shuffle: bool = False,
    seed: int = 0,
    workers: int = 0,
    full_grid: bool = False,
) -> DataLoader[PatchBatch]:
    """Load people batch by batch.

    Parameters
    ----------
    cohort : Cohort
        Best one that was opened: memory then does not grow with it.
    positions : array (n,), int
        Rows of the cohort.
    batch_size : int
        People per batch; the last may have fewer.
    shuffle : bool, default=False
        In another order each pass, as `seed` says.
    seed : int, default=0
        Of the order.
    workers : int, default=0
        Processes that read ahead. The store is read faster than a worker hands a batch over; workers pay where
        it lies on a slow disk.
    full_grid : bool, default=False
        All patches of the grid rather than those that touch the brain.

    Returns
    -------
    DataLoader of PatchBatch
    """
    return DataLoader(
        PatchDataset(cohort, positions, full_grid=full_grid),
        batch_size=batch_size,
        shuffle=shuffle,
        generator=torch.Generator().manual_seed(seed),
        num_workers=workers,
        collate_fn=as_it_is,
    )


def as_it_is(batch: Any) -> Any:
    """Take a batch that a dataset read as one for what a loader gives."""
    return batch


def _file_of(array: NDArray) -> NDArray | dict[str, Any]:
    if not isinstance(array, np.memmap):
        return array
    return {"filename": array.filename, "dtype": array.dtype, "shape": array.shape, "offset": array.offset}


def _mapped(file: NDArray | dict[str, Any]) -> NDArray:
    return np.memmap(mode="r", **file) if isinstance(file, dict) else file
