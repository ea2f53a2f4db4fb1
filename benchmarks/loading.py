"""Loading volumes from the store against loading them from nii.gz, and the memory that an epoch holds.

    python benchmarks/loading.py --repeats 7 --sessions 100 1000 10000

Speed: the trainer's loader (batches of 8) over 64 people in the store, and the same loader over nii.gz files that are
cut into patches as they are read; one map of the brain on the 2 mm MNI grid, float32 in the nii.gz. Both in turn, ten
passes over the store to one over the nii.gz, since a pass takes some 10 ms; one turn before that is not counted, so
that the files are in the page cache; CPU seconds, medians. Memory: a pass over a made store of three modalities (48
voxels a side, sparse on disk, no clinical data) in a process of its own; the most anonymous memory meanwhile, which is
resident memory less what is mapped from files. Prints tables, then one line of JSON with the ratios.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from itertools import chain
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from _cases import ONE_THREAD, clock  # noqa: E402

PEOPLE, BATCH = 64, 8


def brain(sides: tuple[int, int, int]) -> Any:
    """Return an ellipsoid of a quarter of the grid, as a brain of the 2 mm MNI grid (D, H, W)."""
    import numpy as np

    axes = np.meshgrid(*[np.linspace(-1.28, 1.28, side) for side in sides], indexing="ij")
    return sum(axis**2 for axis in axes) < 1


def write_store(folder: Path, sides: tuple[int, int, int], people: int, channels: dict[str, int]) -> Any:
    """Write a store of zeros, sparse on disk; return the mask and the patches' places on the grid."""
    import numpy as np
    import pandas as pd

    from neuromoe.cohort.patches import brain_patches, patch_grid

    folder.mkdir(parents=True, exist_ok=True)
    mask = brain(sides)
    places = brain_patches(mask)
    for name, count in channels.items():
        shape = (people, len(places), count * 64)
        np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=np.float16, shape=shape).flush()
        np.save(folder / f"quality_{name}.npy", np.zeros((people, 0), np.float32))
    np.save(folder / "tokens.npy", places.astype(np.int16))
    modalities = {name: {"channels": [str(i) for i in range(count)], "quality": []} for name, count in channels.items()}
    facts = {"modalities": modalities, "patch": 4, "patch_grid": list(patch_grid(mask.shape))}
    (folder / "store.json").write_text(json.dumps(facts))
    index = pd.DataFrame({"participant_id": [f"sub-{i:05}" for i in range(people)], "session_id": "n/a"})
    index.assign(**dict.fromkeys(channels, np.arange(people))).to_csv(folder / "index.tsv", sep="\t", index=False)
    return mask, places


def training_loader(cohort: Any, *, shuffle: bool = False) -> Any:
    """Return the loader that the trainer uses, over everybody."""
    import numpy as np
    import torch

    from neuromoe.cohort.clinical import ClinicalEncoder
    from neuromoe.cohort.loading import PatchDataset, batch_loader
    from neuromoe.model.networks.reader import Reader
    from neuromoe.model.shared.maps import Frame, reader_of

    people, names = np.arange(len(cohort)), list(cohort.tokens)
    none, targets = torch.zeros((len(people), len(names), 0)), torch.zeros(len(people), dtype=torch.int64)
    patches, present = PatchDataset(cohort, people), cohort.present(people, names)
    few = people[:100]
    frames = {name: Frame.fit(reader_of(cohort, name, few, ClinicalEncoder()), len(few)) for name in names}
    read = Reader(patches, frames, names, present, none[:, 0], targets)
    return batch_loader(read, _batches(np.random.default_rng(0).permutation(people) if shuffle else people))


def nifti_loader(files: list[Path], kept_T: Any) -> Any:
    """Return the same loader of the same batches, over nii.gz files."""
    import nibabel as nib
    import numpy as np
    import torch

    from neuromoe.cohort.loading import batch_loader
    from neuromoe.cohort.patches import cut_patches

    def read(rows: Any) -> torch.Tensor:
        volumes = [np.asarray(nib.load(files[row]).dataobj, np.float32)[None] for row in rows]
        return torch.from_numpy(cut_patches(np.stack(volumes))[:, kept_T])

    return batch_loader(read, _batches(np.arange(len(files))))


def _batches(order: Any) -> list[list[int]]:
    return [order[start : start + BATCH].tolist() for start in range(0, len(order), BATCH)]


def measure_speed(folder: Path, repeats: int) -> dict[str, float]:
    """Return volumes per CPU second of both."""
    import nibabel as nib
    import numpy as np

    from neuromoe.cohort.patches import cut_patches, flat_places, patch_grid
    from neuromoe.model import Cohort

    mask, places = write_store(folder, (91, 109, 91), PEOPLE, {"anat": 1})
    kept_T, rng = flat_places(places, patch_grid(mask.shape)), np.random.default_rng(0)
    tokens, files = np.load(folder / "anat.npy", mmap_mode="r+"), []
    for person in range(PEOPLE):
        volume = np.where(mask, rng.normal(size=mask.shape), 0).astype(np.float32)
        tokens[person] = cut_patches(volume[None, None])[0, kept_T]
        files.append(folder / f"{person}.nii.gz")
        nib.save(nib.Nifti1Image(volume, np.diag([2, 2, 2, 1])), files[-1])
    tokens.flush()
    ours = training_loader(Cohort.open(folder))
    theirs = nifti_loader(files, kept_T)
    check_equal(next(iter(ours)).tokens["anat"], next(iter(theirs)))
    print(f"{len(places)} patches a volume, {PEOPLE} volumes\nvolumes/s     store    nii.gz   ratio", flush=True)
    spent: dict[str, list[float]] = {"store": [], "nifti": []}
    for _ in range(repeats + 1):
        for name, passes in (("store", [ours] * 10), ("nifti", [theirs])):
            with clock(digits=6) as time:
                for _batch in chain(*passes):
                    pass
            spent[name].append(time.cpu_s / len(passes))
    rates = {name: PEOPLE / statistics.median(seconds[1:]) for name, seconds in spent.items()}
    ratio = rates["store"] / rates["nifti"]
    print(f"          {rates['store']:9.0f} {rates['nifti']:9.1f} {ratio:7.0f}", flush=True)
    return {"ratio": round(ratio, 1), "store_per_s": round(rates["store"], 1), "nifti_per_s": round(rates["nifti"], 2)}


def check_equal(ours: Any, theirs: Any) -> None:
    """Both give the same numbers, to the rounding of float16."""
    import torch

    torch.testing.assert_close(ours, theirs, rtol=2**-10, atol=1e-6)


def measure_memory(sessions: int) -> None:
    """Print the most anonymous memory (MB) during a pass over a store, and what the store holds (MB)."""
    import psutil

    from neuromoe.model import Cohort

    channels = {"anat": 1, "dwi": 2, "func": 1}
    with tempfile.TemporaryDirectory() as folder:
        write_store(Path(folder), (48, 48, 48), sessions, channels)
        cohort = Cohort.open(folder)
        held_mb = sum(array.nbytes for array in cohort.tokens.values()) / 2**20
        process, most = psutil.Process(), 0
        for _batch in training_loader(cohort, shuffle=True):
            now = process.memory_info()
            most = max(most, now.rss - now.shared)
        print(json.dumps({"anonymous_mb": round(most / 2**20, 1), "store_mb": round(held_mb)}))


def memory_of(sessions: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--memory", str(sessions)]
    done = subprocess.run(command, env=os.environ | ONE_THREAD, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--memory", type=int, help="measure the memory of one store here and now")
    asked = parser.parse_args()
    if asked.memory:
        measure_memory(asked.memory)
        return
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        speed = measure_speed(Path(folder), asked.repeats)
    print("sessions  store MB  anonymous MB")
    held = {}
    for sessions in asked.sessions:
        found = memory_of(sessions)
        held[sessions] = found["anonymous_mb"]
        print(f"{sessions:8}  {found['store_mb']:8.0f}  {found['anonymous_mb']:12.1f}", flush=True)
    growth = round(held[max(held)] / held[min(held)], 3)
    print(json.dumps({"benchmark": "loading", **speed, "anonymous_mb": held, "memory_growth": growth}))


if __name__ == "__main__":
    main()
