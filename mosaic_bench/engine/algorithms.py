"""Finding algorithms: entry points of installed packages, and single files given with ``--plugin``."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from mosaic_bench.api import ALGORITHMS, Algorithm
from mosaic_bench.errors import UserError

ENTRY_POINT_GROUP = "mosaic_bench.algorithms"


def load_plugins(files: Iterable[Path]) -> None:
    """Import Python files that register algorithms.

    Raises:
        UserError: a file that is missing, has the name of another one, or fails to import.
    """
    for file in files:
        name = f"mosaic_bench_plugin_{file.stem}"
        if not file.is_file():
            raise UserError(f"--plugin {file}: no such file")
        loaded = getattr(sys.modules.get(name), "__file__", None)
        if loaded is not None:
            if Path(loaded).resolve() != file.resolve():
                raise UserError(f"--plugin {file}: {loaded} has the same name; rename one of them")
            continue
        spec = importlib.util.spec_from_file_location(name, file)
        if spec is None or spec.loader is None:
            raise UserError(f"--plugin {file}: not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[name]
            raise UserError(f"--plugin {file}: {type(error).__name__}: {error}") from error


def algorithm_names() -> list[str]:
    """Return the names of every algorithm that can be found, without importing those not yet imported."""
    return sorted({*ALGORITHMS, *(point.name for point in _points())})


def find_algorithm(name: str) -> type[Algorithm]:
    """Return one algorithm, importing the package that offers it.

    Raises:
        KeyError: nobody offers it.
        UserError: the package that offers it fails to import, or registers something else.
    """
    if name not in ALGORITHMS:
        for point in _points():
            if point.name == name:
                _load(point)
    return ALGORITHMS[name]


def _points() -> Iterable[EntryPoint]:
    return entry_points(group=ENTRY_POINT_GROUP)


def _load(point: EntryPoint) -> None:
    try:
        point.load()
    except Exception as error:
        raise UserError(f"algorithm '{point.name}' ({point.value}): {type(error).__name__}: {error}") from error
    if point.name not in ALGORITHMS:
        raise UserError(f"algorithm '{point.name}' ({point.value}) does not register itself under that name")
