"""A child process: one cell, so that a crash, a kill or a hang costs one cell.

Children are forked from a server process that has imported torch already: importing it, and the compiler that its
optimisers load, takes four seconds of every cell otherwise.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mosaic_bench.suite import RunSpec

_CONTEXT = multiprocessing.get_context("forkserver")
_STARTING = threading.Lock()  # starting and joining look at all children, which only one thread may do at a time


@dataclass(frozen=True)
class ChildTask:
    """One cell and how to run it.

    Attributes:
        cell: the cell's folder.
        directories: where data sets are looked for.
        device: a torch device string.
        run: the suite's way of running cells.
        plugins: files that register algorithms.
        expired: owners whose claim on the cell counts for nothing any more.
        stop_file: a file whose appearance asks the cell to stop, where no signal reaches it.
    """

    cell: Path
    directories: Sequence[Path]
    device: str
    run: RunSpec
    plugins: Sequence[Path]
    expired: frozenset[str] = frozenset()
    stop_file: Path | None = None


class Child:
    """A running child, seen from its parent."""

    def __init__(self, task: ChildTask) -> None:
        self._events, theirs = _CONTEXT.Pipe()
        self._process: BaseProcess = _CONTEXT.Process(target=_work, args=(task, theirs))
        start_server()
        with _STARTING:
            self._process.start()
        theirs.close()

    def next_event(self) -> dict[str, Any] | None:
        """Wait for the child's next event; None when it has ended."""
        try:
            event: dict[str, Any] = self._events.recv()
        except (EOFError, ConnectionResetError):
            return None
        return event

    def stop(self) -> None:
        """Ask the child to finish its step, save, and leave."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the child at once."""
        self._signal(signal.SIGKILL)

    def end(self) -> int:
        """Make sure the child is gone and return its exit code, negative for a signal."""
        self._events.close()
        with _STARTING:
            self._process.join()
        return self._process.exitcode or 0

    def _signal(self, number: signal.Signals) -> None:
        if self._process.pid is not None and self._process.exitcode is None:
            os.kill(self._process.pid, number)


def start_server() -> None:
    """Let the process that children are forked from import torch meanwhile."""
    with _STARTING:
        _CONTEXT.set_forkserver_preload(["mosaic_bench.engine.preload"])
        forkserver.ensure_running()


def _work(task: ChildTask, events: Connection) -> None:
    """Run one cell in this process."""
    _redirect_output(task.cell / "log.txt")
    stop = _stop_on_signal()
    _die_with_parent(events)

    import torch

    from mosaic_bench.engine.algorithms import load_plugins
    from mosaic_bench.engine.cell_run import CellRun
    from mosaic_bench.engine.execute import execute
    from mosaic_bench.store import DiskFull

    def should_stop() -> bool:
        return stop.is_set() or (task.stop_file is not None and task.stop_file.exists())

    def progress(step: int, steps: int, metrics: dict[str, float]) -> None:
        events.send({"step": step, "steps": steps, "metrics": metrics})

    torch.set_num_threads(task.run.threads)
    load_plugins(task.plugins)
    device, run = torch.device(task.device), task.run
    how = CellRun(task.directories, device, run.checkpoint_every, progress, should_stop, run.prefixes, own_process=True)
    try:
        events.send({"state": execute(task.cell, how, task.expired).value})
    except DiskFull as full:
        events.send({"disk_full": str(full)})


def _redirect_output(log: Path) -> None:
    """What the cell prints goes to its log."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)


def _die_with_parent(events: Connection) -> None:
    """End this process as soon as the parent's end of the connection closes, however the parent ended."""

    def watch() -> None:
        try:
            events.recv()  # the parent never sends
        except (EOFError, OSError):
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _stop_on_signal() -> threading.Event:
    """Ctrl-C reaches the whole terminal group and is the parent's to handle; the parent asks with SIGTERM."""
    stop = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, handle)
    return stop
