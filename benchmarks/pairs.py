"""Two ways to do the same work, timed in turn, so that a machine that slows down slows both."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from statistics import median

import torch

from mosaic_bench.engine.allocator import keep_freed_memory

Work = Callable[[], object]


@dataclass(frozen=True)
class Pair:
    """Seconds of both ways, and how many times as fast the first one is.

    Attributes:
        ours, other: medians over the repeats, in seconds.
        ratio: median over the repeats of other / ours.
        lowest, highest: extremes of that ratio.
    """

    ours: float
    other: float
    ratio: float
    lowest: float
    highest: float

    def __str__(self) -> str:
        return f"{self.ratio:.2f} ({self.lowest:.2f} to {self.highest:.2f})"


def time_pair(ours: Work, other: Work, repeats: int, *, usual: bool = False) -> Pair:
    """Run both once untimed, then ``repeats`` times in turn, the order swapped each time.

    Each runs in a fork of this process, since they may differ in how memory is allocated, which a process cannot undo:
    ours keeps freed memory, as cells do, and so does the other unless it is the ``usual`` way.
    """
    with _stopwatch(ours, keeps=True) as first, _stopwatch(other, keeps=not usual) as second:
        first(), second()
        seconds: list[tuple[float, float]] = []
        for repeat in range(repeats):
            if repeat % 2:
                there = second()
                seconds.append((first(), there))
            else:
                seconds.append((first(), second()))
    ratios = [there / here for here, there in seconds]
    return Pair(
        median(here for here, _ in seconds),
        median(there for _, there in seconds),
        median(ratios),
        min(ratios),
        max(ratios),
    )


@contextmanager
def _stopwatch(work: Work, keeps: bool) -> Iterator[Callable[[], float]]:
    """Yield what does the work in a process of its own and returns how many seconds it took."""
    if torch.cuda.is_available():  # a GPU can't be used in a fork, and doesn't care
        yield lambda: _seconds(work)
        return
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(work, keeps, there), daemon=True)
    process.start()

    def seconds() -> float:
        here.send(None)
        taken: float = here.recv()
        return taken

    there.close()
    try:
        yield seconds
    finally:
        process.kill()
        process.join()


def _serve(work: Work, keeps: bool, asked: Connection) -> None:
    if keeps:
        keep_freed_memory()
    while True:
        asked.recv()
        asked.send(_seconds(work))


def _seconds(work: Work) -> float:
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start
