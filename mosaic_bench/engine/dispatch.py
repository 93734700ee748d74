"""Many cells, each once: here or wherever another run has it, until every one is accounted for."""

from __future__ import annotations

import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Protocol

from mosaic_bench.engine.child import ChildTask
from mosaic_bench.store import CellFolder, DiskFull, State, Watch
from mosaic_bench.suite import RunSpec

_LOOK_EVERY = 1.0  # seconds between two looks at cells that other runs hold
_RIPEN = 3.0  # seconds in which the other claims of a dead run expire, after the first one has


class Listener(Protocol):
    """Told how the cells get on, from several threads."""

    def started(self, key: str) -> None:
        """A cell starts."""

    def stepped(self, key: str, step: int, steps: int, metrics: dict[str, float]) -> None:
        """A cell finished a step."""

    def held(self, key: str, where: str) -> None:
        """Another run has the cell."""

    def finished(self, key: str, state: State) -> None:
        """A cell reached the state it is left in, here or elsewhere."""


@dataclass
class Dispatcher(ABC):
    """Runs cells; a subclass says on what.

    Attributes:
        directories: where data sets are looked for.
        run: the suite's way of running cells.
        listener: told of every event.
        plugins: files to import in every child.
    """

    directories: Sequence[Path]
    run: RunSpec
    listener: Listener
    plugins: Sequence[Path] = ()
    _stop: threading.Event = field(default_factory=threading.Event, init=False)
    _before: dict[str, object] = field(default_factory=dict, init=False)
    _full: DiskFull | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._watch = Watch(self.run.claim_expiry)

    def dispatch(self, folders: Sequence[CellFolder]) -> dict[str, State]:
        """Run the cells and return how each ended, here or in another run that had it.

        Cells not started before an interruption are left out.

        Raises:
            DiskFull: results could not be written; every cell was stopped.
        """
        self._before = {folder.key: folder.status_version() for folder in folders}
        ended: dict[str, State] = {}
        ready, left = list(folders), list(folders)
        with self._signals():
            while ready:
                ended |= {key: state for key, state in self._pass(ready) if state is not State.RUNNING}
                left = [folder for folder in left if folder.key not in ended]
                ready = self._wait(left)
        if self._full is not None:
            raise self._full
        return ended

    @property
    def interrupted(self) -> bool:
        """True once a signal, or a full disk, asked to stop."""
        return self._stop.is_set()

    @abstractmethod
    def _pass(self, folders: Sequence[CellFolder]) -> Iterable[tuple[str, State]]:
        """Give each cell its turn; ``RUNNING`` means that another run has it, or that it had none."""

    @abstractmethod
    def _ask_to_stop(self) -> None:
        """Let running cells finish their step and save."""

    @abstractmethod
    def _kill(self) -> None:
        """End running cells at once."""

    def _seen_to(self, folder: CellFolder) -> State | None:
        """How another run left the cell since this one began; ``RUNNING`` while it has it; None when it is ours."""
        holder = self._watch.holder(folder.path)
        if holder is not None:
            self.listener.held(folder.key, holder.where)
            return State.RUNNING
        state = folder.status().state
        tried = state.failed and folder.status_version() != self._before[folder.key]
        return state if tried or state.finished else None

    def _wait(self, left: Sequence[CellFolder]) -> list[CellFolder]:
        """Wait until other runs let go of cells, and return those; none when all is done or this run was stopped."""
        while left and not self._stop.is_set():
            time.sleep(_LOOK_EVERY)
            ready = self._let_go(left)
            if any(not folder.status().state.finished for folder in ready):
                time.sleep(_RIPEN)
                ready = self._let_go(left)
            if ready:
                return ready
        return []

    def _let_go(self, left: Sequence[CellFolder]) -> list[CellFolder]:
        return [folder for folder in left if self._watch.holder(folder.path) is None]

    def _task(self, folder: CellFolder, device: str) -> ChildTask:
        expired = frozenset(self._watch.expired)
        return ChildTask(folder.path, self.directories, device, self.run, self.plugins, expired)

    def _fill(self, full: DiskFull) -> None:
        """Nothing more can be written: stop everything."""
        self._full = full
        self._stop.set()
        self._ask_to_stop()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """First Ctrl-C or SIGTERM: cells finish their step and save. Second: they are killed."""

        def handle(number: int, frame: FrameType | None) -> None:
            again = self._stop.is_set()
            self._stop.set()
            self._kill() if again else self._ask_to_stop()

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
