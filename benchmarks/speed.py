"""The six targets of docs/performance.md, measured: ``python -m benchmarks.speed``, from the root of the repository.

Speed beside a bare loop and beside a round as it is usually written, on random images of 3×32×32: what is measured does
not depend on their content. One thread unless told otherwise, each pair of ways in turn (see ``pairs``).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.bare import train_bare
from benchmarks.pairs import Pair, time_pair
from benchmarks.server_stages import server_stages
from benchmarks.usual import PILImages, usual_round
from mosaic_bench.conformance.federations import federation
from mosaic_bench.data import Dataset, Split
from mosaic_bench.data.device import DeviceImages
from mosaic_bench.engine.evaluate import evaluate
from mosaic_bench.fed.federation import Federation
from mosaic_bench.models import Classifier
from mosaic_bench.suite import Cell

MOMENTS = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
CLIENTS, STEPS, BATCH, LR, MOMENTUM, TEST = 10, 20, 64, 0.02, 0.9, 2000
CPU = torch.device("cpu")
FOOTPRINT = [f"tests/bench/test_{name}.py" for name in ("memory", "startup", "plan")]


def main() -> None:
    """Measure and print one table."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    console = Console()
    table = Table("what", "ours, s", "other, s", "times as fast", "target", title=f"{arguments.threads} thread(s)")
    for name, pair, target in _measured(arguments.repeats):
        table.add_row(name, f"{pair.ours:.3f}", f"{pair.other:.3f}", str(pair), f"{target:g}")
        console.print(name, str(pair))
    console.print(table)
    for arch in ("cnn", "resnet8"):
        console.print(f"{arch}: {100 * _share_outside_training(arch):.1f} % of a round is not training (target: 5 %)")
    console.print("memory (target: within 10 %), --help and status (0.5 s), plan (2 s):")
    subprocess.run([sys.executable, "-m", "pytest", "-q", "-s", *FOOTPRINT], check=False)


def _measured(repeats: int) -> Iterator[tuple[str, Pair, float]]:
    for arch in ("resnet8", "cnn"):
        for precision in ("fp32", "bf16"):
            yield f"local training of {arch}, {precision}, against A", _against_bare(arch, precision, repeats), 0.95
    yield "round of cnn, bf16, against B as published", _against_usual("cnn", "bf16", False, repeats), 3
    yield "round of cnn, bf16, against B in bf16", _against_usual("cnn", "bf16", True, repeats), 1.3
    yield "round of resnet18, bf16, against B as published", _against_usual("resnet18", "bf16", False, 1), 2.2
    for name, pair in server_stages(_cell("resnet8", "bf16", clients=5), _dataset(), repeats):
        yield f"{name}, bf16, against the usual way", pair, 1.5


def _against_bare(arch: str, precision: str, repeats: int) -> Pair:
    dataset = _dataset()
    fed = federation(_cell(arch, precision, clients=1), dataset)
    server, bare = fed.model(), fed.model()
    images, labels = torch.from_numpy(dataset.train.images), torch.from_numpy(dataset.train.labels)
    moments = tuple(255 * torch.tensor(values) for values in MOMENTS)

    def ours() -> None:
        for _ in fed.train(fed.broadcast(server, [0])):
            pass

    def other() -> None:
        train_bare(
            bare, images, labels, steps=STEPS, batch=BATCH, lr=LR, momentum=MOMENTUM, bf16=precision == "bf16",
            moments=(moments[0], moments[1]),
        )  # fmt: skip

    return time_pair(ours, other, repeats)


def _against_usual(arch: str, precision: str, same_precision: bool, repeats: int) -> Pair:
    dataset = _dataset()
    cell = _cell(arch, precision, CLIENTS)
    fed = federation(cell, dataset)
    server, usual = fed.model(), fed.model().to(memory_format=torch.contiguous_format)
    test = DeviceImages(dataset.test, dataset, CPU)
    everything = torch.arange(TEST)
    parts = np.array_split(np.random.RandomState(0).permutation(len(dataset.train.labels)), CLIENTS)
    train_images = PILImages(dataset.train.images, dataset.train.labels, MOMENTS, training=True)
    test_images = PILImages(dataset.test.images, dataset.test.labels, MOMENTS, training=False)

    def ours() -> None:
        _round(fed, server)
        evaluate(server, test, everything, fed.autocast)

    def other() -> None:
        usual_round(
            usual, train_images, [part.tolist() for part in parts], test_images, steps=STEPS, batch=BATCH, lr=LR,
            momentum=MOMENTUM, device=CPU, bf16=same_precision,
        )  # fmt: skip

    return time_pair(ours, other, repeats, usual=True)


def _share_outside_training(arch: str) -> float:
    """Share of a round that is broadcast, averaging and counting, in [0, 1]."""
    fed = federation(_cell(arch, "bf16", CLIENTS), _dataset())
    server = fed.model()
    with fed.ledger.step_time():
        _round(fed, server)
    before = fed.ledger.client_seconds
    start = time.perf_counter()
    with fed.ledger.step_time():
        _round(fed, server)
    whole = time.perf_counter() - start
    return 1 - (fed.ledger.client_seconds - before) / whole


def _round(fed: Federation, server: Classifier) -> None:
    """One round of FedAvg with every client."""
    fed.begin(0)
    fed.average_(server, fed.train(fed.broadcast(server, range(fed.clients))))


def _cell(arch: str, precision: str, clients: int) -> Cell:
    return Cell.model_validate(
        {
            "algorithm": "fedavg",
            "dataset": "random",
            "partition": "iid",
            "models": arch,
            "federation": {"clients": clients, "rounds": 1},
            "local": {
                "steps": STEPS, "batch": BATCH, "lr": LR, "momentum": MOMENTUM, "augment": "standard",
                "precision": precision,
            },
            "seed": 0,
        }
    )  # fmt: skip


def _dataset() -> Dataset:
    rng = np.random.RandomState(0)

    def part(n: int) -> Split:
        return Split(rng.randint(0, 256, (n, 32, 32, 3), dtype=np.uint8), np.arange(n, dtype=np.int64) % 10)

    return Dataset("random", part(CLIENTS * STEPS * BATCH), part(TEST), tuple("0123456789"), *MOMENTS, True, "random")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7, help="paired repeats of each measurement")
    parser.add_argument("--threads", type=int, default=1, help="torch threads")
    return parser.parse_args()


if __name__ == "__main__":
    main()
