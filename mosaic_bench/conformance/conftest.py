"""Which algorithms are tested, over which clients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mosaic_bench.conformance.federations import separable
from mosaic_bench.conformance.scenarios import MODELS
from mosaic_bench.engine.algorithms import algorithm_names, find_algorithm, load_plugins
from mosaic_bench.errors import UserError, did_you_mean


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every test for every algorithm over every kind of clients."""
    if "algorithm" in metafunc.fixturenames:
        metafunc.parametrize("algorithm", _chosen(metafunc.config), scope="module")
        metafunc.parametrize("clients", list(MODELS), scope="module")


def _chosen(config: pytest.Config) -> list[str]:
    """Return the algorithms to test: those asked for, or all that have code of their own, not only other defaults."""
    try:
        load_plugins(config.getoption("--plugin") or ())
    except UserError as error:
        raise pytest.UsageError(str(error)) from error
    known = algorithm_names()
    asked: list[str] = config.getoption("--algorithm") or []
    for name in asked:
        if name not in known:
            raise pytest.UsageError(f"--algorithm {name}: no such algorithm{did_you_mean(name, known)}")
    return asked or [name for name in known if find_algorithm(name).variant_of is None]


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
