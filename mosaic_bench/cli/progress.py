"""What a run shows: bars on a terminal, plain lines when piped."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from mosaic_bench.store import State


class RunProgress:
    """Shows each running cell and the whole, from events that come from several threads.

    Args:
        titles: key -> what tells the cell from the others, on one line.
        metric: the headline metric, shown where it was measured.
    """

    def __init__(self, console: Console, titles: dict[str, str], metric: str) -> None:
        self._console, self._titles, self._metric = console, titles, metric
        self._lock = threading.Lock()
        self._tasks: dict[str, TaskID] = {}
        self._began: dict[str, float] = {}
        self._latest: dict[str, float] = {}
        self._elsewhere: set[str] = set()
        self._ended = 0
        # Titles are labels of the user's suite; brackets in them are not markup.
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self._bars = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)

    def __enter__(self) -> RunProgress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def started(self, key: str) -> None:
        """Show a bar for the cell."""
        with self._lock:
            self._began.setdefault(key, time.monotonic())
            if key not in self._tasks:  # it has its bar already where another run was quicker to take it
                self._tasks[key] = self._bars.add_task(self._titles[key], total=None)

    def stepped(self, key: str, step: int, steps: int, metrics: dict[str, float]) -> None:
        """Move the cell's bar."""
        with self._lock:
            self._bars.update(self._tasks[key], completed=step, total=steps)
            if self._metric in metrics:
                self._latest[key] = metrics[self._metric]

    def held(self, key: str, where: str) -> None:
        """Say, once, that another run has the cell."""
        with self._lock:
            if key not in self._elsewhere:
                self._elsewhere.add(key)
                self._console.print(self._line("", key, "elsewhere", f"{self._titles[key]} ({where})"))

    def finished(self, key: str, state: State) -> None:
        """Print one line for the cell and remove its bar."""
        with self._lock:
            self._ended += 1
            if key in self._tasks:
                self._bars.remove_task(self._tasks.pop(key))
            count = f"[{self._ended:>{len(str(len(self._titles)))}}/{len(self._titles)}]"
            self._console.print(self._line(count, key, state.value, self._titles[key]))

    def _line(self, count: str, key: str, what: str, title: str) -> str:
        # What varies most in length, the title, comes last, so that lines form columns.
        width = 2 * len(str(len(self._titles))) + 3
        measured = f"{100 * self._latest[key]:.1f} %" if key in self._latest else ""
        seconds = f"{time.monotonic() - self._began[key]:.1f} s" if key in self._began else ""
        return f"{count:>{width}} {key} {what:<8} {measured:>7} {seconds:>8}  {title}"
