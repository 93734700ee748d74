"""Whose turn it is: cells that would only wait for what a running one makes come later."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from mosaic_bench.engine.stages import Shared, read_plan
from mosaic_bench.store import CellFolder


class Turns:
    """The cells of a run, handed out one by one to several threads.

    Args:
        folders: in the order in which they had best be run, each once.
    """

    def __init__(self, folders: Sequence[CellFolder]) -> None:
        self._waiting = list(folders)
        self._shared = {folder.key: read_plan(folder.prefixes, folder.key) for folder in folders}
        self._running: dict[str, int] = {}  # cell key -> steps done
        self._lock = threading.Lock()

    def next(self) -> CellFolder:
        """Return the first cell that has no steps to wait for; where each has, the first one."""
        with self._lock:
            ready = (folder for folder in self._waiting if not self._would_wait(folder.key))
            chosen = next(ready, self._waiting[0])
            self._waiting.remove(chosen)
            self._running[chosen.key] = 0
            return chosen

    def stepped(self, key: str, step: int) -> None:
        """A running cell has done so many steps."""
        with self._lock:
            self._running[key] = step

    def ended(self, key: str) -> None:
        """A cell's turn is over."""
        with self._lock:
            del self._running[key]

    def _would_wait(self, key: str) -> bool:
        return any(self._to_come(self._shared[key], self._shared[other], done) for other, done in self._running.items())

    @staticmethod
    def _to_come(own: Shared, running: Shared, done: int) -> bool:
        """True when a state that both cells come by is still ahead of the running one."""
        ahead = {state for step, state in zip(running.steps, running.states, strict=True) if step > done}
        return own.setting == running.setting and not ahead.isdisjoint(own.states)
