"""Which results folder an argument means."""

from __future__ import annotations

from pathlib import Path

from mosaic_bench.store import Store


def find_store(argument: Path, results: Path) -> Store:
    """Return the store of a suite file, a suite's name, or a results folder itself."""
    if argument.is_dir():
        return Store(argument)
    if argument.suffix in {".yaml", ".yml"}:
        from mosaic_bench.suite.source import read_source

        return Store(results / str(read_source(argument).data.get("suite", argument.stem)))
    return Store(results / argument)
