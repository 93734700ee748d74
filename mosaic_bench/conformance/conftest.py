"""Which algorithms are tested, over which clients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mosaic_bench.conformance.federations import separable
from mosaic_bench.conformance.scenarios import MODELS
from mosaic_bench.engine.algorithms import algorithm_names, find_algorithm, load_plugins


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every test for every algorithm over every kind of clients."""
    if "algorithm" in metafunc.fixturenames:
        load_plugins(metafunc.config.getoption("--plugin") or ())
        names = metafunc.config.getoption("--algorithm") or _with_code_of_their_own()
        metafunc.parametrize("algorithm", names, scope="module")
        metafunc.parametrize("clients", list(MODELS), scope="module")


def _with_code_of_their_own() -> list[str]:
    """Every algorithm that can be found, without variants that only have other defaults."""
    return [name for name in algorithm_names() if find_algorithm(name).variant_of is None]


@pytest.fixture(scope="session")
def data_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give a directory with the synthetic images, and a cache of its own beside it."""
    directory = tmp_path_factory.mktemp("data")
    images = separable(classes=7, train=420, test=140)
    np.savez(
        directory / "separable.npz",
        x_train=images.train.images,
        y_train=images.train.labels,
        x_test=images.test.images,
        y_test=images.test.labels,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOSAIC_BENCH_CACHE", str(directory / "cache"))
        yield directory
