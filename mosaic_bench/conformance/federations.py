"""Small federations on synthetic images, and cells run step by step in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from mosaic_bench.api import Algorithm
from mosaic_bench.data import Dataset, Partition, parse_partition
from mosaic_bench.data import Split as Images
from mosaic_bench.data.device import Augmentation, DeviceImages
from mosaic_bench.engine.cell_run import CellRun, run_cell
from mosaic_bench.fed.federation import Federation
from mosaic_bench.fed.seeds import seeded
from mosaic_bench.fed.split import split
from mosaic_bench.fed.task import Task
from mosaic_bench.store import CellFolder, State
from mosaic_bench.suite import Cell

CPU = torch.device("cpu")
A = TypeVar("A", bound=Algorithm)


def separable(classes: int = 4, size: int = 12, channels: int = 1, train: int = 240, test: int = 80) -> Dataset:
    """Images with a bright patch whose place tells the class, under noise: learnable in a few steps."""
    rng = np.random.RandomState(0)

    def part(n: int) -> Images:
        labels = np.arange(n, dtype=np.int64) % classes
        images = rng.randint(0, 60, (n, size, size, channels)).astype(np.uint8)
        for image, label in zip(images, labels, strict=True):
            row, column = divmod(int(label), 4)
            image[3 * row : 3 * row + 3, 3 * column : 3 * column + 3] += 180
        return Images(images, labels)

    names = tuple(map(str, range(classes)))
    stats = ((0.15,) * channels, (0.2,) * channels)
    return Dataset("synthetic", part(train), part(test), names, *stats, flip=False, digest="synthetic")


def federation(cell: Cell, dataset: Dataset | None = None, reveals: frozenset[str] = frozenset()) -> Federation:
    """The services of ``cell`` over ``dataset``."""
    dataset = dataset or separable()
    partition: Partition = parse_partition(cell.partition)
    images = DeviceImages(dataset.train, dataset, CPU)
    augmentation = Augmentation.standard(dataset) if cell.local.augment == "standard" else None
    parts = split(cell, partition, dataset)
    return Federation(cell, Task.of(dataset), images, parts, augmentation, reveals)


def started(algorithm: type[A], fed: Federation, **params: Any) -> A:
    """An algorithm after ``setup``."""
    instance = algorithm(fed, algorithm.Params(**params))
    with seeded(0, "setup"):
        instance.setup()
    return instance


def do_steps(algorithm: Algorithm, steps: int) -> None:
    """Run the first steps as the engine does, without evaluation."""
    for t in range(steps):
        algorithm.fed.begin(t)
        with seeded(0, "step", t=t), algorithm.fed.ledger.step_time():
            algorithm.step(t)


def run_until(folder: CellFolder, directories: list[Path], stop_after: int | None = None, prefixes: int = 0) -> State:
    """Run a cell in this process; stop and save after ``stop_after`` more steps; share steps where there is room."""
    done = 0

    def should_stop() -> bool:
        nonlocal done
        done += 1
        return done == stop_after

    torch.set_num_threads(1)
    how = CellRun(directories, CPU, checkpoint_every=1000, should_stop=should_stop, prefixes=prefixes)
    return run_cell(folder, how)


def exact(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Evaluated steps without what differs from run to run: times and memory."""
    return [{key: value for key, value in record.items() if key != "time"} for record in records]


def left_behind(folder: CellFolder) -> tuple[list[dict[str, Any]], bytes, dict[str, bytes]]:
    """All that a finished cell holds and may not differ: evaluated steps, correctness per image, arrays for figures."""
    figures = {file.name: file.read_bytes() for file in (folder.path / "figures").glob("*")}
    return exact(folder.steps()), folder.read_correct(), figures
