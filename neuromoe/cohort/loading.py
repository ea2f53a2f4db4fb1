"""Batches of patches, read from a cohort as they are needed.

Axis letters: B batch, T token, F voxels of a patch over all channels.
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from neuromoe.cohort.cohort import Cohort
from neuromoe.cohort.patches import flat_places


class PatchDataset:
    """Patches of people of a cohort, read as they are needed.

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
        self.rows = {name: cohort.rows[name][np.asarray(positions, np.int64)] for name in cohort.tokens}
        self.grid = (flat_places(cohort.places, cohort.grid), int(np.prod(cohort.grid))) if full_grid else None
        self._take(dict(cohort.tokens))

    def tokens(self, modality: str, chosen: NDArray) -> Tensor:
        """Return the patches (B, T, F), float32, of people of the dataset who have the modality."""
        return self.spread(self.read(modality, chosen))

    def read(self, modality: str, chosen: NDArray) -> Tensor:
        """Return the patches that touch the brain (B, T, F), float32."""
        source, rows = self.sources[modality], self.rows[modality][chosen]
        tokens_BTF = torch.empty((len(rows), *source.shape[1:]))
        # Row by row and widened on the way: no float16 copy, and torch widens several times faster than NumPy.
        for place, row in enumerate(rows.tolist()):
            tokens_BTF[place] = source[row]
        return tokens_BTF

    def spread(self, tokens_BTF: Tensor) -> Tensor:
        """Put the patches that touch the brain on the full grid, zeros elsewhere, where the dataset reads all of it."""
        if self.grid is None:
            return tokens_BTF
        kept, count = self.grid
        full_BTF = torch.zeros((len(tokens_BTF), count, tokens_BTF.shape[2]))
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


def batch_loader(read: Callable[[NDArray], Any], batches: Iterable[list[int]], *, workers: int = 0) -> DataLoader[Any]:
    """Load batches as they are needed.

    Parameters
    ----------
    read : function
        From rows (B,) of people to their batch.
    batches : iterable of list of int
        The rows of each batch; gone through anew in each pass.
    workers : int, default=0
        Processes that read ahead, kept from pass to pass. The store is read faster than a worker hands a batch over;
        workers pay where it lies on a slow disk. Where processes are not forked, `read` must be what pickle takes.

    Returns
    -------
    DataLoader
    """
    return DataLoader(
        _Rows(read),
        batch_sampler=batches,
        collate_fn=_as_it_is,
        num_workers=workers,
        persistent_workers=workers > 0,
        # A loader draws a number when it begins, before or after an epoch's seed is set: not from that stream.
        generator=torch.Generator(),
    )


class _Rows(Dataset[Any]):
    """A whole batch is read at once, so that nothing is stacked afterwards."""

    def __init__(self, read: Callable[[NDArray], Any]) -> None:
        self.read = read

    def __getitems__(self, rows: Sequence[int]) -> Any:
        return self.read(np.asarray(rows, np.int64))


def _as_it_is(batch: Any) -> Any:
    return batch


def _file_of(array: NDArray) -> NDArray | dict[str, Any]:
    if not isinstance(array, np.memmap):
        return array
    return {"filename": array.filename, "dtype": array.dtype, "shape": array.shape, "offset": array.offset}


def _mapped(file: NDArray | dict[str, Any]) -> NDArray:
    return np.memmap(mode="r", **file) if isinstance(file, dict) else file
