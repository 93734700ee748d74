"""``status``: how far is a suite? Reads the store alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from mosaic_bench.cli.options import RESULTS, Results
from mosaic_bench.cli.output import make_console, make_table, print_table
from mosaic_bench.cli.stores import find_store
from mosaic_bench.store import State


def status(
    suite: Annotated[Path, typer.Argument(help="Suite file, suite name, or results folder.", metavar="SUITE")],
    results: Results = RESULTS,
) -> None:
    """Show the state of every cell of a suite that was run."""
    from mosaic_bench.report.results import read_results

    store = find_store(suite, results)
    described, found = store.suite(), read_results(store)
    table = make_table("key", *described["axes"], "state", "step")
    states = [State.STALE if result.stale else result.status.state for result in found]
    for result, state in zip(found, states, strict=True):
        where = f"{result.status.step}/{result.status.steps}" if result.status.steps else ""
        table.add_row(result.key or "--", *result.coordinates.values(), state.value, where)
    console = make_console()
    console.print(described["title"])
    print_table(console, table)
    counts = Counter(state.value for state in states)
    console.print(", ".join(f"{count} {state}" for state, count in counts.items()))
    for result in found:
        if result.status.message:
            console.print(f"{result.key}: {result.status.message}")
