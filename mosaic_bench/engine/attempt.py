"""One attempt at a cell: a child process, and a state on disk whatever becomes of it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mosaic_bench.engine.child import Child, ChildTask
from mosaic_bench.engine.execute import in_use, took_too_long
from mosaic_bench.store import CellFolder, Claim, DiskFull, State, reporting_a_full_disk

Stepped = Callable[[int, int, dict[str, float]], None]
"""Called with (steps done, steps in all, metrics)."""


class Attempt:
    """Runs one cell in a child process, so that a crash, a kill or a hang costs one cell.

    Args:
        task: the cell, and how to run it.
        stepped: told of every step.
    """

    def __init__(self, task: ChildTask, stepped: Stepped) -> None:
        self._task, self._timeout, self._stepped = task, task.run.timeout or threading.TIMEOUT_MAX, stepped
        self._child = Child(task)
        self._step, self._since = "before its first step's end", time.monotonic()
        self._timed_out, self._stopped = threading.Event(), threading.Event()

    def run(self) -> State:
        """Wait for the child's end and return the state that the cell is left in.

        Raises:
            DiskFull: results can't be written.
        """
        timer = threading.Timer(self._timeout, self._time_out)
        timer.daemon = True
        timer.start()
        try:
            ending = self._listen()
        finally:
            timer.cancel()
            code = self._child.end()
        if "disk_full" in ending:
            raise DiskFull(ending["disk_full"])
        if "state" in ending:
            return State(ending["state"])
        with reporting_a_full_disk(self._task.cell):
            return self._bury(code)

    def stop(self) -> None:
        """Ask the child to finish its step, save, and leave."""
        self._stopped.set()
        self._child.stop()

    def kill(self) -> None:
        """End the child at once."""
        self._stopped.set()
        self._child.kill()

    def _listen(self) -> dict[str, Any]:
        """Pass steps on until the child ends; return its last word, empty when it could say none."""
        while (event := self._child.next_event()) is not None:
            if "step" not in event:
                return event
            self._step, self._since = f"after step {event['step']} of {event['steps']}", time.monotonic()
            self._stepped(event["step"], event["steps"], event["metrics"])
        return {}

    def _time_out(self) -> None:
        self._timed_out.set()
        self._child.kill()

    def _bury(self, code: int) -> State:
        """Write the state of a child that could not write it itself, unless others see to the cell already."""
        pulse = Claim.pulse(self._task.cell)
        claim = Claim.take(self._task.cell, self._task.expired)
        if claim is None:
            return State.RUNNING
        try:
            folder = CellFolder(self._task.cell, claim)
            status = folder.status()
            if not status.state.finished:
                state, message = self._verdict(code, pulse.peak_bytes if pulse else 0)
                status = replace(status, state=state, message=message)
                folder.set_status(status)
            return status.state
        finally:
            claim.release()

    def _verdict(self, code: int, peak: int) -> tuple[State, str]:
        where = f"{self._step}, since {time.monotonic() - self._since:.0f} s"
        if self._timed_out.is_set():
            return State.TIMEOUT, took_too_long(self._timeout, where)
        if self._stopped.is_set():
            return State.INTERRUPTED, "stopped; run the suite again to go on"
        if code == -signal.SIGKILL:
            return State.OOM, f"killed by the system, as when memory is short; {in_use(peak)}; it was {where}"
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return State.FAILED, f"the process {how}, {where}; see {self._task.cell / 'log.txt'}"
