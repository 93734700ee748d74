"""``status``: how far is a suite? Reads the store alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import typer

from mosaic_bench.cli.options import RESULTS, Finished, Results
from mosaic_bench.cli.output import duration, make_console, print_rows
from mosaic_bench.cli.stores import find_store
from mosaic_bench.store import State, Store
from mosaic_bench.store.progress import Progress, read_progress, time_left


def status(
    suite: Finished,
    results: Results = RESULTS,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Go on showing what runs, until nothing is left.")
    ] = False,
) -> None:
    """Show the state of every cell of a suite that was run, and when it will be done."""
    store = find_store(suite, results)
    if watch:
        from mosaic_bench.cli.watch import watch_store

        watch_store(store, make_console())
    else:
        _print_table(store)


def counted(cells: Sequence[Progress]) -> str:
    """``3 done, 2 running; about 12 min left``."""
    counts = Counter(cell.state.value for cell in cells)
    left = time_left(list(cells))
    return ", ".join(f"{count} {state}" for state, count in counts.items()) + (
        "" if left is None else f"; about {duration(left)} left"
    )


def _print_table(store: Store) -> None:
    described, cells = store.suite(), read_progress(store)
    running = any(cell.status.state is State.RUNNING for cell in cells)
    console = make_console()
    console.print(described["title"])
    headings = ("key", *described["axes"], "state", "step", *(["left"] if running else []))
    print_rows(console, headings, [_row(cell, running) for cell in cells], right=("left",))
    console.print(counted(cells))
    for cell in cells:
        if cell.status.message:
            console.print(f"{cell.key}: {cell.status.message}")


def _row(cell: Progress, running: bool) -> tuple[str, ...]:
    status = cell.status
    where = f"{status.step}/{status.steps}" if status.steps else ""
    left = "" if cell.left is None or status.state is not State.RUNNING else duration(cell.left)
    return (
        cell.key or "--",
        *cell.coordinates.values(),
        cell.state.value,
        where,
        *([left] if running else []),
    )
