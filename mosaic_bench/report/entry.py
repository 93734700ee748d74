"""One place of a table: a mean, its spread, and how they are written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import sqrt
from statistics import fmean

import numpy as np

from mosaic_bench.report.statistics import interval_of_mean
from mosaic_bench.store import State

GAPS = {
    State.UNSUPPORTED: "n/a",
    State.FAILED: "fail",
    State.DIVERGED: "div",
    State.TIMEOUT: "time",
    State.OOM: "oom",
}
"""What stands where a number can't; anything else that is missing is ``--``."""


@dataclass(frozen=True)
class Unit:
    """How numbers are written.

    Attributes:
        factor: they are multiplied by it.
        digits: after the point; None for three significant ones.
        signed: with a plus where they are positive.
    """

    factor: float = 1.0
    digits: int | None = 1
    signed: bool = False

    def write(self, value: float, like: float | None = None) -> str:
        """``0.912`` in percent -> ``91.2``; with as many digits after the point as ``like`` would have."""
        scaled = value * self.factor
        digits = self._digits((value if like is None else like) * self.factor)
        text = f"{scaled:+,.{digits}f}" if self.signed else f"{scaled:,.{digits}f}"
        return text.replace("-", "−")

    def possible(self, interval: tuple[float, float] | None) -> tuple[float, float] | None:
        """Cut an interval where no number of this unit can be: shares end at 1, and what has no sign begins at 0."""
        if interval is None or self.signed:
            return interval
        low, high = interval
        return max(low, 0.0), min(high, 1.0) if self == PERCENT else high

    def _digits(self, scaled: float) -> int:
        if self.digits is not None:
            return self.digits
        return max(0, 2 - int(np.floor(np.log10(abs(scaled))))) if scaled else 0


PERCENT = Unit(100)
POINTS = Unit(100, signed=True)


@dataclass(frozen=True)
class Entry:
    """One place of a table.

    Attributes:
        mean: over seeds; None for a gap.
        std: sample standard deviation (n - 1); None with fewer than two seeds, or where it is not asked for.
        n: seeds in the mean.
        gap: what stands where there is no mean.
        mark: "best", "second" or "".
        interval: of the mean over seeds; None where it is not asked for or n does not support one.
        shaded: not significantly worse than the best of its setting.
        uncompared: why it could not be compared with the best of its setting; empty where it was, or need not be.
        notes: signs of the table's notes that speak of this place.
        keys: cells that it was made from.
        unit: how the numbers are written.
    """

    mean: float | None
    std: float | None
    n: int
    gap: str = ""
    mark: str = ""
    interval: tuple[float, float] | None = None
    shaded: bool = False
    uncompared: str = ""
    notes: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    unit: Unit = field(default=PERCENT, repr=False)

    @classmethod
    def absent(cls, gap: str = "--") -> Entry:
        """A place that the grid has no cell for, or none with a result."""
        return cls(None, None, 0, gap=gap)

    @classmethod
    def gap_of(cls, states: Iterable[State]) -> Entry:
        """A place whose cells have no number, by what became of them."""
        return cls.absent(next((GAPS[state] for state in states if state in GAPS), "--"))

    @classmethod
    def of(cls, numbers: Sequence[float], spread: str, unit: Unit = PERCENT) -> Entry:
        """Average over seeds; ``spread`` is std, interval or none."""
        mean, n = fmean(numbers), len(numbers)
        # Not statistics.stdev: its exact fractions take a quarter of the time of a large table.
        std = sqrt(sum((x - mean) ** 2 for x in numbers) / (n - 1)) if n > 1 and spread == "std" else None
        interval = unit.possible(interval_of_mean(numbers)) if spread == "interval" else None
        return cls(mean, std, n, interval=interval, unit=unit)

    @property
    def number(self) -> str:
        """The mean as it is printed, or what stands in its place."""
        return self.gap if self.mean is None else self.unit.write(self.mean)

    @property
    def spread(self) -> str:
        """`` ± 1.4``, `` [80.1, 84.2]``, or nothing."""
        if self.std is not None:
            return f" ± {self.unit.write(self.std, self.mean).lstrip('+')}"
        if self.interval is not None:
            return f" [{', '.join(self.unit.write(end, self.mean) for end in self.interval)}]"
        return ""


def with_prefix(largest: float) -> tuple[float, str]:
    """Return the power of a thousand that suits a number, as a factor and its SI prefix."""
    power = int(np.clip(np.log10(largest) // 3, 0, 6)) if largest > 0 else 0
    return 1000.0**-power, ("", "k", "M", "G", "T", "P", "E")[power]
