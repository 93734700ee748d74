"""Which results folder an argument means."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mosaic_bench.store import CellFolder, Store, StoreError

if TYPE_CHECKING:
    from mosaic_bench.report.study import Study


def is_suite_file(argument: Path) -> bool:
    """True for the name of a YAML file, whether it is there or not."""
    return argument.suffix in {".yaml", ".yml"}


def find_store(argument: Path, results: Path) -> Store:
    """Return the store of a suite file, a suite's name, or a results folder itself.

    A folder that merely has the suite's name, such as the package ``baselines``, is not taken for its results.
    """
    if argument.is_dir() and ((argument / "suite.json").is_file() or not (results / argument).is_dir()):
        return Store(argument)
    if is_suite_file(argument):
        from mosaic_bench.suite import find_suite
        from mosaic_bench.suite.source import read_source

        return Store(results / str(read_source(find_suite(argument)).data.get("suite", argument.stem)))
    return Store(results / argument)


def find_study(argument: Path, results: Path) -> tuple[Store, Study]:
    """Return a store and what it holds; of a suite file the ``report`` section counts as the file has it now.

    It doesn't where the file's grid has other axes by now than the one that was run.
    """
    from mosaic_bench.report.study import read_study

    store = find_store(argument, results)
    study = read_study(store)
    if is_suite_file(argument):
        from mosaic_bench.suite import find_suite, load_suite

        suite = load_suite(find_suite(argument))
        if list(suite.axes) == list(study.axes):
            study = replace(study, report=suite.report)
    return store, study


def find_cell(key: str, results: Path) -> CellFolder:
    """Find a cell by the start of its key, in a results folder or in the folder of one suite.

    Raises:
        StoreError: no cell, or several.
    """
    roots = [results, *sorted(path for path in results.glob("*") if path.is_dir())]
    found = [cell for root in roots for cell in Store(root).cells() if cell.key.startswith(key)]
    if not found:
        raise StoreError(f"{results}: no cell has a key that starts with '{key}'; `status SUITE` lists keys")
    if len(found) > 1:
        folders = ", ".join(str(cell.path) for cell in found[:5])
        raise StoreError(
            f"{len(found)} cells have a key that starts with '{key}': {folders}; "
            "give more of it, or --results with the folder of one suite"
        )
    return found[0]
