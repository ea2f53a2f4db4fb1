"""Forward and backward of one encoder against MONAI's ViT of the same size, and against the thread's matmul peak.

    python benchmarks/encoder.py                        # the cells that are not yet measured, then the table
    python benchmarks/encoder.py --cells 32 --again --repeats 60
    python benchmarks/encoder.py --table                # the table alone

The ViT sees the whole grid of patches, as it always does; ours the patches of a brain, an ellipsoid. MONAI twice: as
its ViT is made, and with the flash switch of its attention blocks, which ViT has no setting for, turned on by hand.
float32, one thread, no dropout. Everything in one process, one iteration of each in turn, CPU seconds, medians; a large
matmul among them gives the peak. The share of the peak counts the multiplications and additions of the matrix products,
the backward pass twice the forward one; what attention computes again in the backward pass does not count. Where there
is a GPU, cells in bfloat16 follow. Numbers go to benchmarks/results/encoder.jsonl; cells that are there are not run
again. Prints a table, then one line of JSON with the ratios.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from _cases import ONE_THREAD, read_cells  # noqa: E402

RESULTS = HERE / "results" / "encoder.jsonl"
HEADS, WIDENING, PATCH = 4, 4, 4
# Rows and columns of the matmul that gives the peak.
SQUARE, GPU_SQUARE = 1024, 8192


@dataclass(frozen=True)
class Cell:
    """One size: a cube of `side` voxels with `tokens` patches in the brain, and the encoder's width and layers."""

    side: int
    tokens: int
    width: int
    layers: int
    batch: int

    @property
    def flops(self) -> int:
        """Additions and multiplications of the matrix products, forward and backward."""
        linear = 2 * self.tokens * (4 + 2 * WIDENING) * self.width**2
        attention = 4 * self.tokens**2 * self.width
        # The patches themselves need no gradient.
        embedding = 2 * 2 * self.tokens * PATCH**3 * self.width
        return self.batch * (3 * self.layers * (linear + attention) + embedding)


CELLS = {"32": Cell(32, 346, 64, 2, 4), "48": Cell(48, 1062, 64, 2, 1), "32-wide": Cell(32, 346, 128, 4, 4)}
GPU_CELLS = {"gpu-48": Cell(48, 1062, 256, 6, 32), "gpu-2mm": Cell(92, 4471, 256, 6, 8)}


def brain_places(cell: Cell) -> Any:
    """Return the places (T, 3) of the patches nearest the middle, in C order."""
    import numpy as np

    places = np.argwhere(np.ones((cell.side // PATCH,) * 3, bool))
    far = ((places - places.mean(axis=0)) ** 2).sum(axis=1)
    return places[np.sort(np.argsort(far, kind="stable")[: cell.tokens])]


def make_encoder(cell: Cell) -> Any:
    import torch

    from neuromoe.model.networks.encoders import Encoder

    size: dict[str, Any] = {"width": cell.width, "layers": cell.layers, "heads": HEADS, "widening": WIDENING}
    return Encoder(PATCH**3, torch.from_numpy(brain_places(cell)), **size, dropout=0.0)


def make_vit(cell: Cell, *, flash: bool) -> Any:
    from monai.networks.nets.vit import ViT

    sides, patch = (cell.side,) * 3, (PATCH,) * 3
    vit = ViT(1, sides, patch, cell.width, WIDENING * cell.width, cell.layers, HEADS)
    for block in vit.blocks:
        block.attn.use_flash_attention = flash
    return vit


def contestants(cell: Cell) -> dict[str, Callable[[], Any]]:
    """Return what is run in turn on the CPU."""
    import torch

    torch.manual_seed(0)
    volumes, tokens = torch.randn(cell.batch, 1, *[cell.side] * 3), torch.randn(cell.batch, cell.tokens, PATCH**3)
    encoder, square = make_encoder(cell), torch.randn(SQUARE, SQUARE)
    plain, flash = make_vit(cell, flash=False), make_vit(cell, flash=True)

    def learn(module: Any, embed: Callable[[], Any]) -> None:
        module.zero_grad(set_to_none=True)
        embed().sum().backward()

    return {
        "encoder": lambda: learn(encoder, lambda: encoder(tokens)),
        "monai": lambda: learn(plain, lambda: plain(volumes)[0].mean(dim=1)),
        "monai_flash": lambda: learn(flash, lambda: flash(volumes)[0].mean(dim=1)),
        "matmul": lambda: square @ square,
    }


def in_turn(
    runs: dict[str, Callable[[], Any]], clock: Callable[[Callable[[], Any]], float], repeats: int
) -> dict[str, float]:
    """Run one iteration of each in turn, again and again; return the medians (s) after three turns of warming."""
    turns = [[clock(run) for run in runs.values()] for _ in range(repeats + 3)]
    return dict(zip(runs, map(statistics.median, zip(*turns[3:], strict=True)), strict=True))


def _cpu_seconds(run: Callable[[], Any]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def measure(name: str, repeats: int) -> dict[str, Any]:
    """Measure one cell on the CPU: milliseconds of each contestant, and the share of the peak."""
    import torch

    torch.set_num_threads(1)
    cell = CELLS[name]
    seconds = in_turn(contestants(cell), _cpu_seconds, repeats)
    return {"cell": name, **_ms(seconds), "share": _share(cell, seconds["encoder"], seconds["matmul"], SQUARE)}


def measure_gpu(name: str, repeats: int) -> dict[str, Any]:
    """Measure one cell of the encoder on the GPU in bfloat16."""
    import torch

    cell = GPU_CELLS[name]
    encoder = make_encoder(cell).cuda()
    tokens = torch.randn(cell.batch, cell.tokens, PATCH**3, device="cuda")
    square = torch.randn(GPU_SQUARE, GPU_SQUARE, device="cuda", dtype=torch.bfloat16)

    def learn() -> None:
        encoder.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16):
            embedding = encoder(tokens)
        embedding.float().sum().backward()

    runs = {"encoder": learn, "matmul": lambda: square @ square}
    seconds = in_turn(runs, _gpu_seconds, repeats)
    rates = {"samples_per_s": round(cell.batch / seconds["encoder"], 1), "device": torch.cuda.get_device_name()}
    return {
        "cell": name,
        **_ms(seconds),
        "share": _share(cell, seconds["encoder"], seconds["matmul"], GPU_SQUARE),
        **rates,
    }


def _gpu_seconds(run: Callable[[], Any]) -> float:
    import torch

    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    run()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1000


def _ms(seconds: dict[str, float]) -> dict[str, float]:
    return {f"{who}_ms": round(1000 * value, 3) for who, value in seconds.items()}


def _share(cell: Cell, spent_s: float, matmul_s: float, square: int) -> float:
    return round(cell.flops / spent_s / (2 * square**3 / matmul_s), 3)


def run_cell(name: str, repeats: int, results: Path) -> None:
    """Measure one cell in a process of its own."""
    command = [sys.executable, __file__, "--cell", name, "--repeats", str(repeats), "--results", str(results)]
    done = subprocess.run(command, env=os.environ | ONE_THREAD, capture_output=True, text=True, check=False)
    print(done.stdout if not done.returncode else f"{name}: failed\n{done.stderr[-2000:]}", end="", flush=True)


def write_cell(name: str, repeats: int, results: Path) -> None:
    """Measure one cell here and now."""
    row = (measure if name in CELLS else measure_gpu)(name, repeats)
    results.parent.mkdir(parents=True, exist_ok=True)
    with results.open("a") as file:
        file.write(json.dumps(row) + "\n")
    print(json.dumps(row), flush=True)


def ratios(row: dict[str, Any]) -> dict[str, float]:
    """Return how many times faster than MONAI, and the share of the peak."""
    faster = {peer: round(row[f"{peer}_ms"] / row["encoder_ms"], 2) for peer in ("monai", "monai_flash")}
    return {**faster, "share_of_peak": row["share"]}


def has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", nargs="+", default=[*CELLS, *GPU_CELLS], choices=[*CELLS, *GPU_CELLS])
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the numbers are kept")
    parser.add_argument("--again", action="store_true", help="measure cells that are there, too")
    parser.add_argument("--table", action="store_true", help="print the table alone")
    parser.add_argument("--cell", help="measure one here and now")
    asked = parser.parse_args()
    if asked.cell:
        write_cell(asked.cell, asked.repeats, asked.results)
        return
    names = [name for name in asked.cells if name in CELLS or has_gpu()]
    if len(names) < len(asked.cells):
        print("no GPU: its cells are left out")
    done = read_cells(asked.results, ("cell",))
    for name in [] if asked.table else names:
        if asked.again or (name,) not in done:
            run_cell(name, asked.repeats, asked.results)
    report(read_cells(asked.results, ("cell",)))


def report(done: dict[tuple, dict[str, Any]]) -> None:
    """Print the table and the line of ratios."""
    print("cell       encoder ms  MONAI ms  MONAI flash ms  x MONAI  x flash  share of peak")
    found = {name: ratios(done[name,]) for name in CELLS if (name,) in done}
    for name, ratio in found.items():
        row = done[name,]
        print(
            f"{name:9}  {row['encoder_ms']:10.1f}  {row['monai_ms']:8.1f}  {row['monai_flash_ms']:14.1f}  "
            f"{ratio['monai']:7.2f}  {ratio['monai_flash']:7.2f}  {ratio['share_of_peak']:13.2f}"
        )
    for name in GPU_CELLS:
        if (name,) in done:
            row = done[name,]
            print(
                f"{name:9}  {row['encoder_ms']:10.1f}  {row['samples_per_s']} samples/s  {row['share']:.2f} of the peak"
            )
    gpu = {name: done[name,] for name in GPU_CELLS if (name,) in done}
    print(json.dumps({"benchmark": "encoder", "ratios": found, "gpu": gpu or None}))


if __name__ == "__main__":
    main()
