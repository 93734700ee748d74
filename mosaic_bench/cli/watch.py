"""``status --watch``: bars of the running cells, until nothing is left to wait for."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mosaic_bench.cli.output import duration
from mosaic_bench.cli.status import counted
from mosaic_bench.store import State, Store
from mosaic_bench.store.progress import Progress, read_progress

_EVERY = 1.0  # seconds between two looks
_BAR = 20  # characters
_TO_COME = {State.PLANNED, State.RUNNING, State.INTERRUPTED}


def watch_store(store: Store, console: Console) -> None:
    """Show the suite's progress until no cell is left to run, or Ctrl-C; only once where there is no terminal."""
    described = store.suite()
    telling = [axis for axis, labels in described["axes"].items() if len(labels) > 1]
    console.print(described["title"])
    with contextlib.suppress(KeyboardInterrupt), Live(console=console, auto_refresh=False) as live:
        while True:
            cells = read_progress(store)
            live.update(picture(cells, telling), refresh=True)
            if not console.is_terminal or not any(cell.status.state in _TO_COME for cell in cells):
                break
            time.sleep(_EVERY)


def picture(cells: Sequence[Progress], telling: Sequence[str]) -> Group:
    """Draw a bar per running cell, the number of cells in each state, and the last failure on one line.

    Args:
        cells: of the whole grid.
        telling: the axes that tell cells apart.
    """
    bars = Table.grid(padding=(0, 2))
    for cell in cells:
        if cell.status.state is State.RUNNING:
            bars.add_row(*_bar(cell, telling))
    lines: list[Any] = [bars] if bars.row_count else []
    lines.append(Text(counted(cells)))
    failed = [cell for cell in cells if cell.status.state.failed]
    if failed:
        last = max(failed, key=lambda cell: cell.changed)
        message = " ".join(last.status.message.split())
        lines.append(Text(f"{last.status.state.value}: {last.key} {message}", no_wrap=True, overflow="ellipsis"))
    return Group(*lines)


def _bar(cell: Progress, telling: Sequence[str]) -> tuple[Any, ...]:
    step, steps = cell.status.step, cell.status.steps
    title = " · ".join(cell.coordinates[axis] for axis in telling) or str(cell.key)
    left = "" if cell.left is None else f"{duration(cell.left)} left"
    return (
        Text(title, no_wrap=True, overflow="ellipsis"),
        ProgressBar(total=steps or 1, completed=step, width=_BAR),
        Text(f"{step}/{steps or '?'}"),
        Text(left),
    )
