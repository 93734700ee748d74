"""What a command line needs to run a cell again: from any folder, in any shell on the same machine."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosaic_bench.cli.loading import named_datasets
from mosaic_bench.store import CellFolder

if TYPE_CHECKING:
    from mosaic_bench.engine.datasets import Datasets
    from mosaic_bench.engine.resolve import Job


def rerun_options(jobs: Iterable[Job], datasets: Datasets, sets: Sequence[str], plugins: Sequence[Path]) -> list[str]:
    """Return the options that a suite's cells depend on, with absolute paths: settings, plugins, folders of data."""
    options = [part for text in sets for part in ("--set", text)]
    options += [part for file in plugins for part in ("--plugin", str(file.resolve()))]
    return options + [part for folder in _data_folders(jobs, datasets) for part in ("--data", str(folder))]


def rerun_plugins(options: Sequence[str]) -> list[Path]:
    """Return the plugin files among these options."""
    return [Path(value) for name, value in pairwise(options) if name == "--plugin"]


def rerun_command(folder: CellFolder, description: dict[str, Any]) -> str:
    """Return the command that goes on with a cell, or makes a finished one anew in another results folder."""
    only = ",".join(f"{axis}={label}" for axis, label in description["coordinates"].items())
    results = "again" if folder.status().state.finished else str(folder.path.resolve().parents[2])
    arguments = [description["suite"], *description.get("options", []), "--only", only, "--results", results]
    return shlex.join(["python", "-m", "mosaic_bench", "run", *arguments])


def one_cell_suite(description: dict[str, Any], environment: dict[str, Any]) -> dict[str, Any]:
    """Return a suite document with this one cell, which needs no other file and gives the cell the same key."""
    cell = dict(description["cell"])
    suite = {"suite": f"cell-{description['key']}", "grid": {"algorithm": [cell.pop("algorithm")]}, **cell}
    threads = environment.get("numeric", {}).get("threads")
    return suite if threads is None else {**suite, "run": {"threads": threads}}


def _data_folders(jobs: Iterable[Job], datasets: Datasets) -> list[Path]:
    """Return where the cells' data lies, but for places that are looked into anyway."""
    from mosaic_bench.data.locate import download_directory, locate

    names = named_datasets(job.cell for job in jobs if not job.missing)
    found = [locate(name, datasets.directories).location.absolute() for name in names]
    given = [folder.absolute() for folder in datasets.directories if folder != download_directory()]
    return [folder for folder in dict.fromkeys(given) if any(place.is_relative_to(folder) for place in found)]
