"""Two ways to do the same work, timed in turn, so that a machine that slows down slows both."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch


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


def time_pair(ours: Callable[[], object], other: Callable[[], object], repeats: int) -> Pair:
    """Run both once untimed, then ``repeats`` times in turn, the order swapped each time."""
    ours(), other()
    seconds: list[tuple[float, float]] = []
    for repeat in range(repeats):
        if repeat % 2:
            second = _seconds(other)
            seconds.append((_seconds(ours), second))
        else:
            seconds.append((_seconds(ours), _seconds(other)))
    ratios = [there / here for here, there in seconds]
    return Pair(
        median(here for here, _ in seconds),
        median(there for _, there in seconds),
        median(ratios),
        min(ratios),
        max(ratios),
    )


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start
