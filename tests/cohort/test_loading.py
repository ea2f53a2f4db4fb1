"""Batches of patches."""

from collections.abc import Callable
from dataclasses import replace
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest
import torch

from neuromoe.cohort.loading import PatchDataset, batch_loader
from neuromoe.model import Cohort
from neuromoe.model.networks.learner import Batch
from neuromoe.model.networks.reader import Reader
from neuromoe.model.shared.maps import Frame


@pytest.fixture
def mapped(made_cohort: Callable[..., Cohort], tmp_path: Path) -> Cohort:
    """A cohort whose patches lie in float16 files, as in a store."""
    cohort, tokens = made_cohort(people=11), {}
    for name, array in cohort.tokens.items():
        np.save(tmp_path / f"{name}.npy", array.astype(np.float16))
        tokens[name] = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
    return replace(cohort, tokens=tokens)


def reader(cohort: Cohort, positions: np.ndarray, *, full_grid: bool = False) -> Reader:
    """Read what a network reads: here each person's row as target, a number of each, and maps as they are."""
    numbers, frames = torch.arange(float(len(positions)))[:, None], {}
    for name, array in cohort.tokens.items():
        channels, voxels = array.shape[2] // cohort.patch**3, array.shape[1] * cohort.patch**3
        as_they_are = np.full(channels, voxels**0.5), np.full(channels, np.inf)
        frames[name] = Frame(np.zeros((channels, voxels), np.float32), *as_they_are)
    patches = PatchDataset(cohort, positions, full_grid=full_grid)
    present, targets = cohort.present(positions), torch.from_numpy(positions)
    return Reader(patches, frames, cohort.modalities, present, numbers, targets)


def check_batch(batch: Batch, cohort: Cohort) -> None:
    positions = batch.target.numpy()
    np.testing.assert_array_equal(batch.present.numpy(), cohort.present(positions))
    for column, name in enumerate(cohort.tokens):
        mine = positions[batch.present[:, column].numpy()]
        assert (name in batch.tokens) == (len(mine) > 0)
        if len(mine):
            assert batch.tokens[name].dtype == torch.float32
            np.testing.assert_array_equal(batch.tokens[name].numpy(), cohort.patches(name, mine))


def test_every_person_comes_once_with_what_is_there(mapped: Cohort) -> None:
    people = np.array([7, 1, 3, 10, 0])
    loader = batch_loader(reader(mapped, people), [[4, 0], [2, 1], [3]])
    for _ in range(2):
        batches = list(loader)
        assert torch.cat([batch.rows for batch in batches]).tolist() == [4, 0, 2, 1, 3]
        assert torch.cat([batch.target for batch in batches]).tolist() == people[[4, 0, 2, 1, 3]].tolist()
        for batch in batches:
            check_batch(batch, mapped)
            assert torch.equal(batch.clinical[:, 0], batch.rows.float())


def test_a_modality_that_nobody_in_the_batch_has_is_left_out(made_cohort: Callable[..., Cohort]) -> None:
    cohort = made_cohort(people=12, missing_rate=0.5)
    lacks = np.flatnonzero(~cohort.present(np.arange(12), ["dwi"])[:, 0])
    batch = reader(cohort, lacks)(np.arange(len(lacks)))
    assert "dwi" not in batch.tokens
    check_batch(batch, cohort)


def test_the_whole_grid_is_given_where_asked(mapped: Cohort) -> None:
    batch = reader(mapped, np.arange(3), full_grid=True)(np.array([1]))
    assert batch.tokens
    for name, tokens in batch.tokens.items():
        assert tokens.shape[1] == np.prod(mapped.grid)
        np.testing.assert_array_equal(tokens.numpy(), mapped.patches(name, [1], full_grid=True))


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_give_the_same_batches(mapped: Cohort, start: str) -> None:
    read, batches = reader(mapped, np.arange(11)), [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]
    loader = batch_loader(read, batches, workers=1)
    loader.multiprocessing_context = start
    helped = list(loader)
    assert len(helped) == 3
    for one, other in zip(batch_loader(read, batches), helped, strict=True):
        assert torch.equal(one.rows, other.rows)
        assert one.tokens.keys() == other.tokens.keys()
        assert all(torch.equal(one.tokens[name], other.tokens[name]) for name in one.tokens)


def test_another_process_gets_the_files_not_their_content(mapped: Cohort, tmp_path: Path) -> None:
    sent = ForkingPickler.dumps(reader(mapped, np.arange(11)))
    assert len(sent) < sum((tmp_path / f"{name}.npy").stat().st_size for name in mapped.tokens) / 4
    got = ForkingPickler.loads(sent)
    assert all(isinstance(array, np.memmap) for array in got.patches.arrays.values())
    check_batch(got(np.array([4, 0, 2])), mapped)
