"""A small store with its clinical table and split."""

import json

import numpy as np
import pandas as pd
import pytest

from neuromoe.cohort.patches import brain_patches, cut_patches
from neuromoe.train.split import split

PEOPLE = 18


@pytest.fixture
def project(tmp_path, rng):
    """Write a store of 18 people, the last with two sessions, a clinical table and a split."""
    folder, rows = tmp_path / "store", PEOPLE + 1
    folder.mkdir()
    who = [f"sub-{min(i, PEOPLE - 1):02d}" for i in range(rows)]
    index = pd.DataFrame({"participant_id": who, "session_id": ["n/a"] * (PEOPLE - 1) + ["ses-1", "ses-2"]})
    about = {}
    for name, channels in (("anat", 1), ("func", 2)):
        there = rng.random(rows) > 0.2
        index[name] = np.where(there, np.cumsum(there) - 1, -1)
        maps = rng.normal(size=(there.sum(), channels, 8, 8, 8)).astype(np.float16)
        np.save(folder / f"{name}.npy", cut_patches(maps))
        np.save(folder / f"quality_{name}.npy", np.zeros((rows, 0), np.float32))
        about[name] = {"channels": [f"c{i}" for i in range(channels)], "quality": []}
    np.save(folder / "tokens.npy", brain_patches(np.ones((8, 8, 8), bool)).astype(np.int16))
    (folder / "store.json").write_text(json.dumps({"modalities": about, "patch": 4, "patch_grid": [2, 2, 2]}))
    index.to_csv(folder / "index.tsv", sep="\t", index=False)
    clinical = index[["participant_id", "session_id"]].copy()
    clinical["label"] = [("x", "y", "z")[int(name[4:]) % 3] for name in who]
    clinical["age"] = rng.normal(60, 9, rows)
    clinical.to_csv(tmp_path / "clinical.tsv", sep="\t", index=False)
    (tmp_path / "clinical.json").write_text(json.dumps({"age": {"type": "numeric"}}))
    split(clinical=tmp_path / "clinical.tsv", split=tmp_path / "split.json", folds=3)
    return tmp_path
