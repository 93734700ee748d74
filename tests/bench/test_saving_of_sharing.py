"""How much of the time that shared steps take is saved, with one worker. Run with `pytest tests/bench -s`."""

import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from grids import GIGABYTE, Grid

from mosaic_bench.store import CellFolder

SUITE = """\
suite: saving
grid:
  algorithm: ALGORITHMS
dataset: {name: digits, train: 600, test: 100}
partition: {dirichlet: {alpha: 0.5}}
models: {arch: resnet8, width: 0.25}
federation: {clients: 4, rounds: 10}
local: {steps: 5, batch: 32, lr: 0.05, augment: standard}
"""

SERVER = {"server_epochs": 2, "generator_steps": 2, "generator_base": 8, "batch": 64}
DENSE = [{"name": "dense", "params": SERVER | {"student_lr": 0.01 * n}} for n in range(1, 7)]
WARM = ["fedavg", *({"name": "warm", "params": {"warmup": 8, "calm": 0.01 * n}} for n in range(1, 5))]
LOCAL = {"expert_steps": 5, "generator_steps": 8, "generator_batch": 16, "generator_base": 8, "latent": 16}
STAGES = {"warmup_rounds": 8, "last_rounds": 1, "meta_epochs": 1, "kd_epochs": 1, "kd_steps": 2, "kd_pool": 64}
MOSAIC = ["fedavg", *({"name": "mosaic", "params": LOCAL | STAGES | {"kd_lr": 1e-4 * n}} for n in range(1, 7))]

CASES = {  # algorithms, and how many steps each takes from those before it
    "six DENSE variants": (DENSE, [0, *[4] * 5], {"made": 1, "taken": 5}),
    "FedAvg warm-up": (WARM, [0, *[8] * 4], {"made": 1, "taken": 4}),
    "FedAvg and six Mosaic variants": (MOSAIC, [0, 8, *[8 + 1 + 4] * 5], {"made": 3, "taken": 6}),
}


@pytest.mark.parametrize(("algorithms", "steps", "fates"), CASES.values(), ids=CASES)
def test_the_saving_is_what_the_shared_steps_take(
    tmp_path: Path, algorithms: Sequence[object], steps: Sequence[int], fates: dict[str, int]
) -> None:
    """Every cell runs alone and then sharing, in turn, so that a machine that slows down slows both."""
    alone = Grid(tmp_path / "alone", algorithms, share=0, text=SUITE)
    shared = Grid(tmp_path / "shared", algorithms, share=GIGABYTE, text=SUITE)
    alone.run_one(alone.cells[0])  # loads what is loaded once
    saved = predicted = whole = 0.0
    for one, other, taken in zip(alone.cells, shared.cells, steps, strict=True):
        without, with_sharing = _seconds(alone, one), _seconds(shared, other)
        whole += without
        saved += without - with_sharing
        predicted += _stage_seconds(one, taken) if taken else 0.0
    print(
        f"{len(alone.cells)} cells took {whole:.1f} s alone and {whole - saved:.1f} s sharing {max(steps)} steps: "
        f"saved {saved:.1f} s of {predicted:.1f} s predicted, {saved / predicted:.2f}"
    )
    assert shared.fates() == fates
    assert shared.numbers() == alone.numbers()


def _seconds(grid: Grid, cell: CellFolder) -> float:
    start = time.perf_counter()
    grid.run_one(cell)
    return time.perf_counter() - start


def _stage_seconds(cell: CellFolder, steps: int) -> float:
    """Measured seconds of a cell's first steps: clients, server and evaluation."""
    first = [record["time"] for record in cell.steps()[:steps]]
    return float(
        first[-1]["client_seconds"] + first[-1]["server_seconds"] + sum(time["evaluate_seconds"] for time in first)
    )
