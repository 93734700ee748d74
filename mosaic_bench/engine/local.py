"""Cells over the slots of this machine: joblib hands them out, each runs in a child process or, on request, in ours."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

import joblib
import torch

from mosaic_bench.engine.attempt import Attempt
from mosaic_bench.engine.cell_run import CellRun
from mosaic_bench.engine.dispatch import Dispatcher
from mosaic_bench.engine.execute import TimedOut, execute, took_too_long
from mosaic_bench.engine.slots import Slots
from mosaic_bench.engine.turns import Turns
from mosaic_bench.store import CellFolder, DiskFull, State


@dataclass
class LocalDispatcher(Dispatcher):
    """Runs cells on this machine.

    Attributes:
        slots: where, and how many at a time.
    """

    slots: Slots = field(kw_only=True)
    _attempts: set[Attempt] = field(default_factory=set, init=False)
    _turns: Turns = field(default_factory=lambda: Turns(()), init=False)

    def _pass(self, folders: Sequence[CellFolder]) -> Iterable[tuple[str, State]]:
        workers = 1 if self.run.isolation == "none" else self.slots.count
        self._turns = Turns(folders)
        turns = (joblib.delayed(self._turn)() for _ in folders)
        yield from joblib.Parallel(n_jobs=workers, backend="threading", return_as="generator_unordered")(turns)

    def _turn(self) -> tuple[str, State]:
        folder = self._turns.next()
        try:
            return folder.key, self._run(folder)
        finally:
            self._turns.ended(folder.key)

    def _run(self, folder: CellFolder) -> State:
        state = State.RUNNING if self._stop.is_set() else self._seen_to(folder)
        if state is State.RUNNING:
            return state
        try:
            if state is None:
                self.listener.started(folder.key)
                state = self._in_process(folder) if self.run.isolation == "none" else self._in_children(folder)
        except DiskFull as full:
            self._fill(full)
            state = State.INTERRUPTED
        if state is not State.RUNNING:  # another run was faster
            self.listener.finished(folder.key, state)
        return state

    def _in_process(self, folder: CellFolder) -> State:
        """Run the cell here, until a second signal interrupts it."""
        torch.set_num_threads(self.run.threads)
        with self.slots.share() as device:
            how = CellRun(
                self.directories,
                torch.device(device),
                self.run.checkpoint_every,
                partial(self._stepped_here, folder.key, time.monotonic()),
                self._stop.is_set,
                self.run.prefixes,
            )
            try:
                return execute(folder.path, how, self._watch.expired)
            except KeyboardInterrupt:
                return State.INTERRUPTED

    def _stepped(self, key: str, step: int, steps: int, metrics: dict[str, float]) -> None:
        self._turns.stepped(key, step)
        self.listener.stepped(key, step, steps, metrics)

    def _stepped_here(self, key: str, began: float, step: int, steps: int, metrics: dict[str, float]) -> None:
        """Pass a step on; nothing but the end of a step can keep ``run.timeout`` in our own process."""
        self._stepped(key, step, steps, metrics)
        timeout = self.run.timeout
        if timeout is not None and step < steps and time.monotonic() - began > timeout:
            raise TimedOut(took_too_long(timeout, f"after step {step} of {steps}"))

    def _in_children(self, folder: CellFolder) -> State:
        """Run the cell, and after running out of memory again with a device for itself alone."""
        with self.slots.share() as device:
            state = self._in_child(folder, device)
        for _ in range(self.run.retries):
            if state is State.OOM and not self._stop.is_set():
                with self.slots.whole() as device:
                    state = self._in_child(folder, device)
        return state

    def _in_child(self, folder: CellFolder, device: str) -> State:
        attempt = Attempt(self._task(folder, device), partial(self._stepped, folder.key))
        self._attempts.add(attempt)
        if self._stop.is_set():  # the signal came between the check and the start
            attempt.stop()
        try:
            return attempt.run()
        finally:
            self._attempts.discard(attempt)

    def _ask_to_stop(self) -> None:
        for attempt in list(self._attempts):
            attempt.stop()

    def _kill(self) -> None:
        for attempt in list(self._attempts):
            attempt.kill()
        if self.run.isolation == "none":
            raise KeyboardInterrupt
