"""Batches of patches."""

from collections.abc import Callable
from dataclasses import replace
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest
import torch

from neuromoe.model import Cohort
from neuromoe.model.loading import PatchBatch, PatchDataset, patch_loader


@pytest.fixture
def mapped(made_cohort: Callable[..., Cohort], tmp_path: Path) -> Cohort:
    """A cohort whose patches lie in float16 files, as in a store."""
    cohort, tokens = made_cohort(people=11), {}
    for name, array in cohort.tokens.items():
        np.save(tmp_path / f"{name}.npy", array.astype(np.float16))
        tokens[name] = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
    return replace(cohort, tokens=tokens)


def check_batch(batch: PatchBatch, cohort: Cohort) -> None:
    positions = batch.positions.numpy()
    np.testing.assert_array_equal(batch.present.numpy(), cohort.present(positions))
    for column, name in enumerate(cohort.tokens):
        mine = positions[batch.present[:, column].numpy()]
        assert (name in batch.tokens) == (len(mine) > 0)
        if len(mine):
            assert batch.tokens[name].dtype == torch.float32
            np.testing.assert_array_equal(batch.tokens[name].numpy(), cohort.patches(name, mine))


def test_every_person_comes_once_with_what_is_there(mapped: Cohort) -> None:
    people = np.array([7, 1, 3, 10, 0])
    batches = list(patch_loader(mapped, people, batch_size=2))
    assert torch.cat([batch.positions for batch in batches]).tolist() == people.tolist()
    for batch in batches:
        check_batch(batch, mapped)


def test_a_modality_that_nobody_in_the_batch_has_is_left_out(made_cohort: Callable[..., Cohort]) -> None:
    cohort = made_cohort(people=12, missing_rate=0.5)
    lacks = np.flatnonzero(~cohort.present(np.arange(12), ["dwi"])[:, 0])
    batch = next(iter(patch_loader(cohort, lacks, batch_size=len(lacks))))
    assert "dwi" not in batch.tokens
    check_batch(batch, cohort)


def test_the_order_is_the_seeds_and_another_in_each_pass(mapped: Cohort) -> None:
    def passes(seed: int) -> list[list[int]]:
        loader = patch_loader(mapped, np.arange(11), batch_size=4, shuffle=True, seed=seed)
        return [torch.cat([batch.positions for batch in loader]).tolist() for _ in range(2)]

    first, second = passes(1)
    assert first != second
    assert sorted(first) == sorted(second) == list(range(11))
    assert passes(1) == [first, second]


def test_the_whole_grid_is_given_where_asked(mapped: Cohort) -> None:
    batch = PatchDataset(mapped, [0, 1, 2], full_grid=True)[1]
    for name, tokens in batch.tokens.items():
        assert tokens.shape[1] == np.prod(mapped.grid)
        np.testing.assert_array_equal(tokens.numpy(), mapped.patches(name, [1], full_grid=True))


def test_workers_give_the_same_batches(mapped: Cohort) -> None:
    alone, helped = (list(patch_loader(mapped, np.arange(11), batch_size=4, workers=count)) for count in (0, 2))
    assert len(alone) == len(helped) == 3
    for one, other in zip(alone, helped, strict=True):
        assert torch.equal(one.positions, other.positions)
        assert all(torch.equal(one.tokens[name], other.tokens[name]) for name in mapped.tokens)


def test_another_process_gets_the_files_not_their_content(mapped: Cohort, tmp_path: Path) -> None:
    dataset = PatchDataset(mapped, np.arange(11))
    sent = ForkingPickler.dumps(dataset)
    assert len(sent) < sum((tmp_path / f"{name}.npy").stat().st_size for name in mapped.tokens) / 4
    got = ForkingPickler.loads(sent)
    assert all(isinstance(array, np.memmap) for array in got.arrays.values())
    check_batch(got.__getitems__([4, 0, 2]), mapped)
