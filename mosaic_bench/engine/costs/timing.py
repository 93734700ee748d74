"""A few real steps of a cell, timed in this process, and what all of them together will take.

Steps of one algorithm differ: DENSE collects one client per step, then runs server epochs that grow with its pool. So
a cell falls into stages, which are found by looking at what steps do (train clients, only ask them, or neither), and
within a stage seconds go with FLOPs, which grow in a line. FLOPs are exact, so a slope is found from two steps even
where times are noisy. Steps in between are left out: what an algorithm learns in them does not change what it costs.
"""

from __future__ import annotations

import io
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from types import FrameType
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from mosaic_bench.api import Algorithm
from mosaic_bench.engine.bench import Bench
from mosaic_bench.engine.costs.cost import Basis, Cost
from mosaic_bench.engine.evaluate import evaluate
from mosaic_bench.engine.figures import PREDICTED
from mosaic_bench.engine.resolve import Job
from mosaic_bench.engine.state import StateKeeper
from mosaic_bench.errors import Unsupported
from mosaic_bench.fed.seeds import seeded

_LINE, _PER_METRIC, _FILES = 270, 42, 2700  # bytes: a line of steps.jsonl, each of its metrics, and small files
_PER_NORM, _TRACED = 60, 3  # bytes of a tensor's norm in trace.json, and steps traced at least
_PREDICTIONS = 800  # bytes of predictions.npz beside its probabilities
_SHORT = 8  # steps; a stage is taken to be even when it has no more
_TIMED = 2  # steps of a stage
_STEADY = 0.01  # of a step's FLOPs, by which its growth may differ from step to step
_IMAGES = 500  # of each split are evaluated; the rest takes as long in proportion

Kind = tuple[bool, bool]
"""What a step did: whether clients trained, and whether they worked at all."""


class TooSlow(Exception):  # noqa: N818 - named after what it reports
    """The cell's steps do not fit the time that was given; ``speed`` is what its clients reached, in FLOP/s."""

    def __init__(self, speed: float) -> None:
        super().__init__("its steps take longer than timing may")
        self.speed = speed


class _OutOfTime(BaseException):
    """Raised by a timer in the middle of anything; no algorithm catches it by accident."""


def time_cell(job: Job, directories: Sequence[Path], device: torch.device, limit: float) -> Cost:
    """Run a few steps of a cell and extrapolate; nothing is written.

    Args:
        job: the cell.
        directories: where data sets are looked for.
        device: where it computes; on a CPU with the threads that torch is set to.
        limit: seconds to spend.

    Returns:
        The cost; nothing but a small folder for a cell that its algorithm does not support.

    Raises:
        TooSlow: the limit was too short.
    """
    now = _clock(device)
    began = now()
    bench = Bench(job.cell, job.partition, directories, device, job.algorithm.reveals)
    try:
        with _at_most(limit):
            return _Stopwatch(job, bench, now).cost()
    except _OutOfTime:
        raise TooSlow(bench.federation.ledger.flops / (now() - began)) from None
    except Unsupported:
        return Cost(0, _FILES, 0, Basis.TIMED)


@dataclass(frozen=True)
class _Step:
    """One step that was run: what it did, its seconds, and its FLOPs where they were counted."""

    kind: Kind
    seconds: float
    flops: int


class _Stopwatch:
    """One cell, set up, with its clock and its counter of FLOPs."""

    def __init__(self, job: Job, bench: Bench, now: Callable[[], float]) -> None:
        self._cell, self._bench = job.cell, bench
        self._now = now
        began = now()
        self._algorithm: Algorithm = job.algorithm(bench.federation, job.params)
        with seeded(job.cell.seed, "setup"):
            self._algorithm.setup()
        self._setup = self._now() - began
        self._keeper = StateKeeper(self._algorithm)
        self._kinds: dict[int, Kind] = {}
        self._run_of: Counter[Kind] = Counter()

    def cost(self) -> Cost:
        """Time stages and evaluation, and add up."""
        steps = self._algorithm.steps
        try:
            starts = [0, *self._changes(0, steps - 1), steps]
        except Exception:  # a step that needs those before it; then all count like the first ones
            starts = [0, steps]
        stages = sum(self._stage(first, end) for first, end in pairwise(starts))
        evaluations = -(-steps // self._cell.evaluate.every)
        seconds, metrics, kept = self._evaluation()
        return Cost(
            seconds=self._setup + stages + evaluations * seconds,
            disk=_FILES + evaluations * (_LINE + metrics * _PER_METRIC) + kept + self._trace(),
            checkpoint=self._checkpoint(),
            basis=Basis.TIMED,
        )

    def _run(self, t: int, count: bool = False) -> _Step:
        """Do step ``t`` as the engine does; counting FLOPs slows it down."""
        federation, ledger = self._bench.federation, self._bench.federation.ledger
        clients = ledger.client_seconds
        counter = _FlopCounter() if count else None
        began = self._now()
        federation.begin(t)
        with counter or nullcontext(), seeded(self._cell.seed, "step", t=t), ledger.step_time():
            self._algorithm.step(t)
        seconds = self._now() - began
        kind = (federation.mean_loss() is not None, ledger.client_seconds > clients)
        self._run_of[kind] += 1
        return _Step(kind, seconds, counter.flops if counter else 0)

    def _changes(self, first: int, last: int) -> list[int]:
        """Return where, after ``first`` and up to ``last``, a step of another kind begins a stage."""
        if self._kind(first) == self._kind(last):
            return []
        if last - first == 1:
            return [last]
        middle = self._middle(first, last)
        return [*self._changes(first, middle), *self._changes(middle, last)]

    def _middle(self, first: int, last: int) -> int:
        """Halve, but look first where stages tend to end: after one step per client, or after the rounds."""
        cohort, rounds = len(self._bench.federation.cohort(0)), self._bench.federation.rounds
        likely = {end - 1 for end in (cohort, rounds, rounds + cohort)} | {cohort, rounds, rounds + cohort}
        inside = sorted(t for t in likely if first < t < last)
        return inside[len(inside) // 2] if inside else (first + last) // 2

    def _kind(self, t: int) -> Kind:
        if t not in self._kinds:
            self._kinds[t] = self._run(t).kind
        return self._kinds[t]

    def _stage(self, first: int, end: int) -> float:
        """Return the seconds of the steps from ``first`` up to ``end``, from a few of them."""
        grown = self._run_of[self._kind(first)]  # steps of this stage that have left their trace already
        counted = self._counted(first) if end - first > _SHORT else []
        slope = _slope(counted)
        seconds = [self._run(t).seconds for t in range(first + len(counted), end)[:_TIMED]]
        start = counted[0] - grown * slope if counted else 0  # what the first step needs in a real run
        whole = sum(start + i * slope for i in range(end - first))
        some = sum(start + (grown + len(counted) + i) * slope for i in range(len(seconds)))
        if min(whole, some) <= 0:  # a short stage, or nothing that a counter of FLOPs sees
            return (end - first) * fmean(seconds)
        return sum(seconds) * whole / some

    def _counted(self, first: int) -> list[int]:
        """Return the FLOPs of two steps, and of a third where those differ."""
        flops = [self._run(t, count=True).flops for t in (first, first + 1)]
        return flops if flops[0] == flops[1] else [*flops, self._run(first + 2, count=True).flops]

    def _evaluation(self) -> tuple[float, int, int]:
        """Return the seconds of one evaluation, the metrics it makes, and the bytes of what is kept per image."""
        seconds, metrics, kept = 0.0, 1, _PREDICTIONS
        classes = self._bench.federation.task.classes
        for where, (images, indices) in self._bench.judged.items():
            some = indices[:_IMAGES]
            for predictor in self._algorithm.predictors().values():
                members = list(predictor.values()) if isinstance(predictor, Mapping) else [predictor]
                metrics += 2 * (len(members) + (len(members) > 1))
                if where == "test":
                    kept += len(members) * (-(-len(indices) // 8))
                    kept += 2 * classes * min(PREDICTED, len(indices)) * (len(members) == 1)  # half precision
                for member in members:
                    evaluate(member, images, some[:2], self._bench.federation.autocast)  # the first call is slower
                    began = self._now()
                    evaluate(member, images, some, self._bench.federation.autocast)
                    seconds += (self._now() - began) * len(indices) / len(some)
        return seconds, metrics, kept

    def _trace(self) -> int:
        return _PER_NORM * len(self._keeper.norms()) * min(_TRACED, self._algorithm.steps)

    def _checkpoint(self) -> int:
        buffer = io.BytesIO()
        torch.save(self._keeper.collect(), buffer)
        return buffer.tell()


def _clock(device: torch.device) -> Callable[[], float]:
    """Return seconds that a busy machine does not distort where there are some: a single thread's own time."""
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    return time.process_time if alone else time.perf_counter


class _FlopCounter(TorchDispatchMode):
    """Counts FLOPs of everything in the block; several times quicker than torch's own, which also tracks modules."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation and count it where torch has a formula for it."""
        made = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **(kwargs or {}), out_val=made)
        return made


def _slope(counted: Sequence[int]) -> float:
    """Return the growth per step where it is steady; what goes up and down, as with early stopping, does not grow."""
    growth = [later - earlier for earlier, later in pairwise(counted)]
    steady = len(growth) > 1 and max(growth) - min(growth) <= _STEADY * max(counted)
    return fmean(growth) if steady else 0.0


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Raise ``_OutOfTime`` in the block after so many seconds, where there are timers and this thread gets them."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise _OutOfTime

    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
