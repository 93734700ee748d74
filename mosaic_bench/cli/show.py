"""``show``: everything about one cell. Reads the store alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from mosaic_bench.cli.options import RESULTS, Results
from mosaic_bench.store import CellFolder, Store, StoreError


def show(
    key: Annotated[str, typer.Argument(help="Key of a cell, or its first digits.")], results: Results = RESULTS
) -> None:
    """Show what a cell is, where it ran, and every evaluated step."""
    folder = _find(key, results)
    console = Console()
    status, description = folder.status(), folder.description()
    console.print(f"{folder.path}: {status.state.value} {status.message}", highlight=False)
    console.print("again: " + _again(folder, description), highlight=False, soft_wrap=True)
    console.print_json(json.dumps(description))
    console.print_json(json.dumps(folder.environment()))
    steps = folder.steps()
    names = list(dict.fromkeys(name for step in steps for name in step["metrics"]))
    table = Table("step", *names)
    for step in steps:
        table.add_row(str(step["step"]), *(f"{step['metrics'].get(name, float('nan')):.4f}" for name in names))
    console.print(table)
    if steps:
        console.print_json(json.dumps(steps[-1]["ledger"] | steps[-1]["time"]))


def _find(key: str, results: Path) -> CellFolder:
    """Find a cell by the start of its key, in a results folder or in the folder of one suite.

    Raises:
        StoreError: no cell, or several.
    """
    roots = [results, *sorted(path for path in results.glob("*") if path.is_dir())]
    found = [cell for root in roots for cell in Store(root).cells() if cell.key.startswith(key)]
    if len(found) != 1:
        what = "no cell" if not found else f"{len(found)} cells ({', '.join(cell.key for cell in found[:5])})"
        raise StoreError(f"{results}: {what} with a key that starts with '{key}'; `status SUITE` lists keys")
    return found[0]


def _again(folder: CellFolder, description: dict[str, object]) -> str:
    coordinates = description["coordinates"]
    assert isinstance(coordinates, dict)
    only = ",".join(f"{axis}={label}" for axis, label in coordinates.items())
    return f"python -m mosaic_bench run {description['suite']} --only '{only}'"
