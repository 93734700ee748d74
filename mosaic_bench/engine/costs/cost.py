"""The expected cost of a cell."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Basis(str, Enum):
    """What an expectation rests on, from the best to the roughest."""

    FINISHED = "finished"
    TIMED = "timed"
    FLOPS = "flops"


@dataclass(frozen=True)
class Cost:
    """What one cell is expected to cost.

    Attributes:
        seconds: of one slot, from its set-up to its last evaluation.
        disk: bytes that the finished cell keeps.
        checkpoint: bytes of its checkpoint while it runs.
        basis: where the numbers come from.
    """

    seconds: float
    disk: int
    checkpoint: int
    basis: Basis


def makespan(seconds: Iterable[float], workers: int) -> float:
    """Return the seconds that ``workers`` need for all cells when each takes the longest one left."""
    busy_until = [0.0] * workers
    for cell in sorted(seconds, reverse=True):
        heapq.heapreplace(busy_until, busy_until[0] + cell)
    return max(busy_until)
