"""Fixtures for all tests."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mosaic_bench.data import check_present, data_directories


@pytest.fixture(autouse=True)
def repeatable() -> None:
    """Every test draws the same numbers whenever, and after whatever, it runs."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture
def real_data() -> Callable[[str], list[Path]]:
    """Call it with a data set's name: gives the data directories, or skips the test where that data set is not there.

    With MOSAIC_BENCH_REQUIRE_DATA=1 missing data fails the test, so that continuous integration cannot pass by
    skipping.
    """

    def directories_with(name: str) -> list[Path]:
        directories = data_directories()
        missing = check_present(name, directories)
        if missing and os.environ.get("MOSAIC_BENCH_REQUIRE_DATA") == "1":
            pytest.fail(f"{name}: {missing}")
        if missing:
            pytest.skip(f"{name}: {missing}")
        return directories

    return directories_with
