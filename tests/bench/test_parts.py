"""The parts that a run is made of, each as a multiple of a bare PyTorch training step timed right beside it.

The multiples of the day they were saved are in ``ratios.json``. A part that takes ``ALLOWED`` times its saved multiple
fails: so much that neither another machine nor a busy one gets there, while a copy, a wait or a loop that slipped into
a part does. ``MOSAIC_BENCH_SAVE_RATIOS=1 pytest tests/bench/test_parts.py`` saves them anew.
"""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from studies import write_study

from baselines.blocks import LogitEnsemble, descend, distillation_loss, freeze_, inversion_loss
from benchmarks.bare import train_bare
from mosaic_bench.conformance.federations import federation
from mosaic_bench.data import Dataset, Split, parse_partition
from mosaic_bench.data.device import Augmentation, DeviceImages
from mosaic_bench.fed.average import CoverageAverage
from mosaic_bench.models import Classifier, NormalisedImages, Slice, UpsamplingGenerator, build
from mosaic_bench.report.latex import render_latex
from mosaic_bench.report.study import read_study
from mosaic_bench.report.table import make_table
from mosaic_bench.store.atomic import replace_json
from mosaic_bench.suite import Cell

ALLOWED = 3.0  # times the saved ratio
AGAIN = 3  # more looks before a part fails
SECONDS = 1.0  # for a part, in which a short one finds a moment when nothing disturbs it
FILE = Path(__file__).with_name("ratios.json")
SAVE = os.environ.get("MOSAIC_BENCH_SAVE_RATIOS") == "1"
BATCH, IMAGES, CLASSES = 64, 4000, 10

Check = Callable[[Callable[[], object]], None]


def dataset() -> Dataset:
    pixels = np.random.RandomState(0).randint(0, 256, (IMAGES, 32, 32, 3), dtype=np.uint8)
    images = Split(pixels, np.arange(IMAGES) % CLASSES)
    return Dataset("own", images, images, tuple("0123456789"), (0.5,) * 3, (0.25,) * 3, True, "")


def resnet8() -> Classifier:
    return build("resnet8", channels=3, size=32, classes=CLASSES).to(memory_format=torch.channels_last)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def bare_steps() -> Callable[[], None]:
    """Three steps of the yardstick: a ResNet-8 on 64 augmented colour images."""
    model = resnet8()
    images, moments = DeviceImages(dataset().train, dataset(), "cpu"), (torch.full((3,), 127.0), torch.full((3,), 64.0))
    how = {"steps": 3, "batch": BATCH, "lr": 0.01, "momentum": 0.9, "bf16": False, "moments": moments}
    return lambda: train_bare(model, images.images, images.labels, **how)


@pytest.fixture(scope="module")
def yardstick() -> Callable[[], float]:
    """Seconds of one bare step, the fastest of three times three."""
    torch.set_num_threads(1)
    work = bare_steps()
    work()
    return lambda: min(seconds(work) for _ in range(3)) / 3


@pytest.fixture
def check(benchmark: BenchmarkFixture, yardstick: Callable[[], float], request: pytest.FixtureRequest) -> Check:
    """Time a part between two looks at the yardstick, and compare its multiple with the saved one."""

    def compare(part: Callable[[], object]) -> None:
        before = yardstick()
        rounds = round(SECONDS / max(seconds(part), 1e-4))  # the first time is for warming up
        benchmark.pedantic(part, rounds=min(max(rounds, 4), 100))
        ratio = benchmark.stats.stats.min / min(before, yardstick())
        saved = json.loads(FILE.read_text()) if FILE.exists() else {}
        name = request.node.name.removeprefix("test_")
        benchmark.extra_info["bare steps"] = ratio
        if SAVE:
            replace_json(FILE, dict(sorted((saved | {name: float(f"{ratio:.3g}")}).items())))
            return
        for _ in range(AGAIN):
            if ratio >= ALLOWED * saved[name]:  # a slow part stays slow; a disturbance goes by
                ratio = min(ratio, min(seconds(part) for _ in range(4)) / yardstick())
        assert ratio < ALLOWED * saved[name], f"{ratio:.3g} bare steps; {saved[name]} when they were saved"

    return compare


def test_partition(check: Check) -> None:
    labels, scheme = np.arange(50_000) % CLASSES, parse_partition({"dirichlet": {"alpha": 0.1}})
    check(lambda: scheme.split(labels, 100, CLASSES, np.random.RandomState(0)))


def test_batch(check: Check) -> None:
    images, random = DeviceImages(dataset().train, dataset(), "cpu"), torch.Generator().manual_seed(0)
    order = torch.randperm(IMAGES, generator=random)[: 10 * BATCH]
    draws = Augmentation(flip=True).draw(len(order), random)
    parts = [slice(start, start + BATCH) for start in range(0, len(order), BATCH)]
    check(lambda: [images.batch(order[part], draws[part]) for part in parts])


def test_local_steps(check: Check) -> None:
    cell = Cell.model_validate(
        {
            "algorithm": "fedavg",
            "dataset": "synthetic",
            "partition": "iid",
            "models": "resnet8",
            "federation": {"clients": 2, "rounds": 1},
            "local": {"steps": 3, "batch": BATCH, "lr": 0.01, "momentum": 0.9, "augment": "standard"},
            "seed": 0,
        }
    )
    fed = federation(cell, dataset())
    model = fed.model()
    fed.begin(0)
    check(lambda: fed.train(fed.broadcast(model, [0])).keep())


def test_slices_and_their_average(check: Check) -> None:
    model = resnet8()
    state = model.state_dict()

    def average() -> None:
        total = CoverageAverage(state)
        for step, ratio in enumerate((1, 0.5, 0.5, 0.25, 0.25)):
            piece = Slice.draw(model, ratio, "rolling", step)
            total.add(piece.take(state), 1.0, piece)
        total.result()

    check(average)


def test_server_distillation_step(check: Check) -> None:
    student, *teachers = (resnet8() for _ in range(3))
    for teacher in teachers:
        freeze_(teacher)
    ensemble = LogitEnsemble(torch.nn.ModuleList(teachers))
    optimiser = torch.optim.SGD(student.parameters(), lr=0.01, momentum=0.9)
    images = torch.randn(BATCH, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    images = images.to(memory_format=torch.channels_last)

    def distil() -> None:
        with torch.no_grad():
            target = ensemble(images)
        descend(optimiser, distillation_loss(student(images), target, 4.0))

    check(distil)


def test_generator_step(check: Check) -> None:
    output = NormalisedImages((0.5,) * 3, (0.25,) * 3)
    generator = UpsamplingGenerator(channels=3, size=32, latent=64, base=16, output=output).to(
        memory_format=torch.channels_last
    )
    student, *teachers = (resnet8() for _ in range(3))
    for model in (student, *teachers):
        freeze_(model)
    noise = torch.randn(BATCH, 64, generator=torch.Generator().manual_seed(0))
    optimiser = torch.optim.Adam(generator.parameters(), lr=1e-3)
    weights = {"ce_weight": 1.0, "bn_weight": 1.0, "div_weight": 0.5}

    def step() -> None:
        loss = inversion_loss(generator(noise), torch.arange(BATCH) % CLASSES, [student], teachers, **weights)
        descend(optimiser, loss)

    check(step)


def test_table_of_600_cells(check: Check, tmp_path: Path) -> None:
    axes = {
        "algorithm": ["fedavg", "feddf", "dense", "local"],
        "dataset": ["fmnist", "cifar10", "svhn"],
        "partition": [f"dirichlet(alpha={alpha})" for alpha in (0.01, 0.05, 0.1, 0.5, 1.0)],
        "seed": [str(seed) for seed in range(10)],
    }
    report = {"tables": [{"rows": "algorithm", "columns": ["dataset", "partition"]}]}
    store = write_study(tmp_path / "study", axes, lambda coordinates: 0.5 + int(coordinates["seed"]) / 100, **report)

    def emit() -> None:
        study = read_study(store)
        render_latex(make_table(study, study.report.tables[0]), study.suite)

    check(emit)
