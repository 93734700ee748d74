"""Every suite in suites/ runs through, scaled down to seconds, on tiny archives of the data sets that it names."""

import json
from collections.abc import Iterator, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from published import (
    labelled,
    write_cifar_batch,
    write_food101,
    write_mnist,
    write_npz,
    write_python2_pickle,
    write_svhn,
    write_tiny_imagenet,
)
from support import describe, run_until

from mosaic_bench.engine.algorithms import find_algorithm
from mosaic_bench.engine.datasets import Datasets
from mosaic_bench.engine.resolve import Job, resolve
from mosaic_bench.errors import Unsupported
from mosaic_bench.store import State
from mosaic_bench.suite import find_suite, load_suite, shipped_suites

SMALL = [
    "local.steps=1",
    "local.batch=8",
    "local.tail=null",
    "local.precision=fp32",
    "federation.validation=0.05",
]
PAPER = {"data_hetero", "model_hetero", "architecture_hetero", "one_shot", "clients", "ablation"}


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every data set that a shipped suite names but for the bundled ones, as published, with a few hundred images."""
    folder = tmp_path_factory.mktemp("archives")
    grey, grey_test = labelled(200, 28, 1, 10), labelled(20, 28, 1, 10, seed=1)
    colour, colour_test = labelled(200, 32, 3, 10), labelled(20, 32, 3, 10, seed=1)
    hundred, hundred_test = labelled(400, 32, 3, 100), labelled(20, 32, 3, 100, seed=1)
    large, large_test = labelled(600, 64, 3, 200), labelled(20, 64, 3, 20, seed=1)
    dishes = large[1] % 101
    write_mnist(folder / "MNIST/raw", grey, grey_test)
    write_mnist(folder / "FashionMNIST/raw", grey, grey_test)
    write_svhn(folder / "svhn/train_32x32.mat", *colour)
    write_svhn(folder / "svhn/test_32x32.mat", *colour_test)
    for batch, part in enumerate(np.split(np.arange(200), 5), start=1):
        write_cifar_batch(folder / f"cifar-10-batches-py/data_batch_{batch}", colour[0][part], colour[1][part])
    write_cifar_batch(folder / "cifar-10-batches-py/test_batch", *colour_test)
    write_python2_pickle(
        folder / "cifar-10-batches-py/batches.meta", {b"label_names": [b"class %d" % i for i in range(10)]}
    )
    for name, split in (("train", hundred), ("test", hundred_test)):
        write_cifar_batch(folder / "cifar-100-python" / name, *split, key=b"fine_labels")
    write_python2_pickle(folder / "cifar-100-python/meta", {b"fine_label_names": [b"class %d" % i for i in range(100)]})
    write_tiny_imagenet(folder / "tiny-imagenet-200", large, large_test, [f"n{i:08}" for i in range(200)])
    photographs = {
        "train": list(zip(large[0], map(int, dishes), strict=True)),
        "test": list(zip(large_test[0], map(int, large_test[1]), strict=True)),
    }
    write_food101(folder / "food-101", [f"dish{i}" for i in range(101)], photographs)
    write_npz(folder / "cifar10-small.npz", n=200, size=32, classes=10)
    return folder


def _scaled_down(name: str) -> list[str]:
    """Settings that make each cell of a suite a matter of a second: images, rounds, channels, servers' budgets."""
    suite = load_suite(find_suite(Path(name)))
    cells = [planned.cell for planned in suite.cells]
    models = {json.dumps(_narrow(cell.models.model_dump(exclude_defaults=True))): None for cell in cells}
    budgets = [
        {"when": {"algorithm": name}, "set": {f"algorithm.params.{key}": value for key, value in params.items()}}
        for name in dict.fromkeys(cell.algorithm.name for cell in cells)
        if (params := _small_budget(name))
    ]
    rounds = min(2, *(cell.federation.rounds for cell in cells))
    small = {
        "federation.rounds": [rounds],
        "dataset": list(dict.fromkeys(cell.dataset.name for cell in cells)),
        "models": [json.loads(text) for text in models],
    }
    if not any(isinstance(cell.models.widths, list) for cell in cells):  # which has one entry per client
        small["federation.clients"] = [4, 10] if "federation.clients" in suite.axes else [3]
    settings = [
        f"grid.{key}={json.dumps(values)}" if key in suite.axes else f"{key}={json.dumps(values[0])}"
        for key, values in small.items()
    ]
    return [*SMALL, *settings, f"overrides={json.dumps(budgets)}"]


def _small_budget(algorithm: str) -> Mapping[str, Any]:
    """What conformance gives the method, or the one it is a variant of, but for what the variant leaves out."""
    cls = find_algorithm(algorithm)
    base = find_algorithm(cls.variant_of or algorithm)
    own, usual = cls.Params(), base.Params()
    left_out = {key for key in cls.Params.model_fields if getattr(usual, key) and not getattr(own, key)}
    return {key: value for key, value in base.conformance_params.items() if key not in left_out}


def _narrow(models: dict[str, Any]) -> dict[str, Any]:
    small = "resnet8" if models["arch"] == "resnet18" else models["arch"]
    return models | {"arch": small, "width": 0.125}


def _one_per_algorithm(jobs: list[Job], with_variants: bool) -> Iterator[Job]:
    """One cell of each algorithm's row, going round the values of the other axes so that all of them come up."""
    rows: dict[str, list[Job]] = {}
    for job in jobs:
        if with_variants or job.algorithm.variant_of is None:
            rows.setdefault(job.coordinates["algorithm"], []).append(job)
    turn = cycle(range(97))  # coprime to the sizes of the grids
    for row in rows.values():
        yield row[next(turn) * 61 % len(row)]


@pytest.mark.parametrize("name", [name for name in shipped_suites() if "gate_" not in name])  # those run whole in CI
def test_a_shipped_suite_runs_through_scaled_down(name: str, archives: Path, tmp_path: Path) -> None:
    suite = load_suite(find_suite(Path(name)), _scaled_down(name))
    jobs = resolve(suite, Datasets([archives]))
    assert not any(job.missing for job in jobs)
    ended = {}
    for job in _one_per_algorithm(jobs, with_variants=name == "ablation"):
        try:
            ended[job.coordinates["algorithm"]] = run_until(describe(job, tmp_path, [archives]), [archives])
        except Unsupported:
            ended[job.coordinates["algorithm"]] = State.UNSUPPORTED
    unsupported = {"fedgen"} if name == "architecture_hetero" else set()  # it needs features of one width
    assert ended == {name: State.UNSUPPORTED if name in unsupported else State.DONE for name in ended}


@pytest.mark.parametrize("name", sorted(PAPER))
def test_a_paper_suite_says_where_each_number_comes_from(name: str) -> None:
    """Every line below a section of budgets carries a comment with its source."""
    lines = find_suite(Path(name)).read_text(encoding="utf-8").splitlines()
    numbers = [line for line in lines if "algorithm.params." in line or line.startswith(("  steps:", "  epochs:"))]
    assert all("#" in line for line in numbers), [line for line in numbers if "#" not in line]
