"""Many cells over a few workers: joblib hands them out, each runs in a child process or, on request, in this one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import joblib
import torch

from mosaic_bench.engine.cell_run import CellRun
from mosaic_bench.engine.child import Child, ChildTask
from mosaic_bench.engine.execute import execute
from mosaic_bench.store import CellFolder, State
from mosaic_bench.suite import RunSpec


class Listener(Protocol):
    """Told how the cells get on, from several threads."""

    def started(self, key: str) -> None:
        """A cell starts."""

    def stepped(self, key: str, step: int, steps: int, metrics: dict[str, float]) -> None:
        """A cell finished a step."""

    def finished(self, key: str, state: State) -> None:
        """A cell reached the state it is left in."""


@dataclass
class Dispatcher:
    """Runs cells.

    Attributes:
        directories: where data sets are looked for.
        device: a torch device string.
        workers: cells at a time.
        run: the suite's way of running cells.
        listener: told of every event.
        plugins: files to import in every child.
    """

    directories: Sequence[Path]
    device: str
    workers: int
    run: RunSpec
    listener: Listener
    plugins: Sequence[Path] = ()
    _stop: threading.Event = field(default_factory=threading.Event)
    _children: set[Child] = field(default_factory=set)

    def dispatch(self, folders: Sequence[CellFolder]) -> dict[str, State]:
        """Run the cells and return how each ended. Cells not started before an interruption are left out."""
        one = self._in_process if self.run.isolation == "none" else self._in_child
        workers = 1 if self.run.isolation == "none" else self.workers
        tasks = (joblib.delayed(self._task)(one, folder) for folder in folders)
        with self._signals():
            ended = joblib.Parallel(n_jobs=workers, backend="threading", return_as="generator_unordered")(tasks)
            return {key: state for key, state in ended if state is not None}

    @property
    def interrupted(self) -> bool:
        """True once a signal asked to stop."""
        return self._stop.is_set()

    def _task(self, one: Any, folder: CellFolder) -> tuple[str, State | None]:
        if self._stop.is_set():
            return folder.key, None
        self.listener.started(folder.key)
        state = one(folder)
        self.listener.finished(folder.key, state)
        return folder.key, state

    def _in_process(self, folder: CellFolder) -> State:
        torch.set_num_threads(self.run.threads)

        def progress(step: int, steps: int, metrics: dict[str, float]) -> None:
            self.listener.stepped(folder.key, step, steps, metrics)

        device, run = torch.device(self.device), self.run
        how = CellRun(self.directories, device, run.checkpoint_every, progress, self._stop.is_set, run.prefixes)
        return execute(folder, how)

    def _in_child(self, folder: CellFolder) -> State:
        run = self.run
        child = Child(
            ChildTask(
                folder.path,
                self.directories,
                self.device,
                run.checkpoint_every,
                run.threads,
                self.plugins,
                run.prefixes,
            )
        )
        self._children.add(child)
        if self._stop.is_set():  # the signal came between the check and the start
            child.stop()
        timed_out = threading.Event()
        timer = threading.Timer(run.timeout or threading.TIMEOUT_MAX, self._time_out, (child, timed_out))
        timer.daemon = True
        timer.start()
        try:
            state = self._listen(folder.key, child)
        finally:
            timer.cancel()
            self._children.discard(child)
            code = child.end()
        return state or self._bury(folder, code, timed_out.is_set())

    def _listen(self, key: str, child: Child) -> State | None:
        """Pass the child's events on until it ends; return the state it reported."""
        state = None
        while (event := child.next_event()) is not None:
            if "state" in event:
                state = State(event["state"])
            else:
                self.listener.stepped(key, **event)
        return state

    def _bury(self, folder: CellFolder, code: int, timed_out: bool) -> State:
        """Write the state of a child that could not write it itself."""
        if timed_out:
            state, message = State.TIMEOUT, f"took longer than run.timeout, {self.run.timeout:g} s"
        elif self._stop.is_set():
            state, message = State.INTERRUPTED, "stopped; run the suite again to go on"
        else:
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            state, message = State.FAILED, f"the process {how}; see {folder.log}"
        folder.set_status(replace(folder.status(), state=state, message=message))
        return state

    @staticmethod
    def _time_out(child: Child, timed_out: threading.Event) -> None:
        timed_out.set()
        child.kill()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """First Ctrl-C or SIGTERM: cells finish their step and save. Second: they are killed."""

        def handle(number: int, frame: FrameType | None) -> None:
            again = self._stop.is_set()
            self._stop.set()
            for child in list(self._children):
                child.kill() if again else child.stop()

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
