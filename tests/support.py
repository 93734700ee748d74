"""Small federations for tests: real harness, synthetic or bundled images."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from mosaic_bench.api import ALGORITHMS
from mosaic_bench.conformance.federations import do_steps, exact, federation, run_until, separable, started
from mosaic_bench.engine.datasets import Datasets
from mosaic_bench.engine.resolve import Job, resolve
from mosaic_bench.models import ARCHITECTURES
from mosaic_bench.store import CellFolder
from mosaic_bench.suite import Cell, load_suite

__all__ = [
    "cell",
    "describe",
    "do_steps",
    "equal_states",
    "exact",
    "federation",
    "forget_plugin",
    "jobs_of",
    "run_until",
    "separable",
    "started",
]


def cell(**changes: Any) -> Cell:
    """A three-client cell; ``changes`` are dotted keys with dots written as ``__``."""
    document: dict[str, Any] = {
        "algorithm": "fedavg",
        "dataset": "synthetic",
        "partition": "iid",
        "models": {"arch": "cnn", "norm": "none", "width": 0.25},
        "federation": {"clients": 3, "rounds": 2},
        "local": {"steps": 3, "batch": 16, "lr": 0.05},
        "seed": 0,
    }
    for key, value in changes.items():
        *sections, last = key.split("__")
        target = document
        for section in sections:
            target = target[section]
        target[last] = value
    return Cell.model_validate(document)


def equal_states(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """True where two state dicts have the same names and the same bits."""
    return first.keys() == second.keys() and all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def forget_plugin(stem: str) -> None:
    """Take back what a plugin file of this name registered in this process; nothing else that was loaded meanwhile."""
    module = f"mosaic_bench_plugin_{stem}"
    sys.modules.pop(module, None)
    for registry in (ALGORITHMS, ARCHITECTURES):
        for name in [name for name, entry in registry.items() if entry.__module__ == module]:
            del registry[name]


def jobs_of(suite: Path, directories: list[Path]) -> list[Job]:
    """Resolve every cell of a suite file."""
    return resolve(load_suite(suite), Datasets(directories))


def describe(job: Job, path: Path, directories: list[Path]) -> CellFolder:
    """Make the folder of one job, as ``run`` does."""
    folder = CellFolder(path / job.key(Datasets(directories)))
    document = job.cell.model_dump(mode="json", by_alias=True)
    folder.describe({"key": folder.key, "suite": "", "coordinates": job.coordinates, "cell": document})
    return folder
