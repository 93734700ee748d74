"""The expected cost of every cell of a suite, from the best source there is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from statistics import fmean

import torch

from mosaic_bench.engine.allocator import keep_freed_memory
from mosaic_bench.engine.costs.book import CostBook
from mosaic_bench.engine.costs.cost import Basis, Cost
from mosaic_bench.engine.costs.flops import evaluation_flops, evaluations, measure_model, training_flops
from mosaic_bench.engine.costs.shape import Images, cost_shape, images_of
from mosaic_bench.engine.datasets import Datasets
from mosaic_bench.engine.provenance import numeric_environment
from mosaic_bench.engine.resolve import Job
from mosaic_bench.store import CellFolder, State

SPEED = {"cpu": 2e10, "cuda": 5e12}
"""FLOPs per second that are assumed where nothing was measured: of one CPU thread, of one GPU."""

_FINISHED = 3  # cells of a shape that are read; more would only cost time
_LIMIT = 30.0  # seconds for timing one cell
_LINE, _FILES = 450, 9000  # bytes: a line of steps.jsonl, and the other files of a small model
_BYTES = 4  # per parameter

Entry = tuple[Job, CellFolder | None]
"""A cell, and where its results are or will be: None while its data is missing."""


@dataclass(frozen=True)
class _Candidate:
    """An entry with what its cost depends on."""

    job: Job
    folder: CellFolder | None
    images: Images
    shape: str


class Forecast:
    """What cells will cost: finished cells count first, then steps timed now or before, then FLOPs.

    Args:
        datasets: the data sets that the cells use.
        device: a torch device string.
        threads: torch threads of a cell on a CPU.

    Attributes:
        speed: FLOPs per second that one slot is assumed to do where nothing was measured.
    """

    def __init__(self, datasets: Datasets, device: str, threads: int) -> None:
        self._datasets, self._device, self._threads = datasets, torch.device(device), threads
        self._numeric = numeric_environment(self._device) | {"threads": threads}
        self._book = CostBook(self._numeric)
        self.speed = SPEED[self._device.type] * (threads if self._device.type == "cpu" else 1)

    def costs(self, cells: Sequence[Entry]) -> list[Cost]:
        """Return what each cell is expected to cost, without running anything."""
        found = [self._candidate(job, folder) for job, folder in cells]
        known = {shape: self._cost(alike) for shape, alike in _by_shape(found).items()}
        self._book.save()
        return [known[candidate.shape] for candidate in found]

    def costs_at(self, cells: Sequence[Entry], speed: float) -> list[Cost]:
        """Return what each cell would cost on a device that is not here: its FLOPs, at ``speed`` of them a second."""
        found = [self._candidate(job, folder) for job, folder in cells]
        known = {shape: self._from_flops(alike[0], speed) for shape, alike in _by_shape(found).items()}
        self._book.save()
        return [known[candidate.shape] for candidate in found]

    def calibrate(
        self,
        cells: Sequence[Entry],
        seconds: float,
        report: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        """Time a few steps of each shape that was never measured and whose data is here, the most costly ones first.

        Args:
            cells: as for ``costs``.
            seconds: to spend on all of them.
            report: told of every cell that is timed or cannot be.
        """
        unknown = [
            alike
            for alike in _by_shape(self._candidate(job, folder) for job, folder in cells).values()
            if alike[0].folder is not None and not self._measured(alike)
        ]
        unknown.sort(key=lambda alike: -len(alike) * self._from_flops(alike[0], self.speed).seconds)
        end = time.monotonic() + seconds
        with _as_cells_run(self._threads):
            for done, alike in enumerate(unknown):
                left = end - time.monotonic()
                if left <= 0:
                    report(f"{len(unknown) - done} kinds of cells are left untimed; --calibrate times all")
                    break
                self._time(alike[0], min(left, _LIMIT), report)
                self._book.save()

    def _candidate(self, job: Job, folder: CellFolder | None) -> _Candidate:
        images = images_of(job, self._datasets)
        return _Candidate(job, folder, images, cost_shape(job, images))

    def _measured(self, alike: Sequence[_Candidate]) -> Cost | None:
        """From finished cells in this numeric environment, or from the book."""
        finished = list(islice(filter(None, (self._finished(each.folder) for each in alike)), _FINISHED))
        if not finished:
            return self._book.cost(alike[0].shape)
        before = self._book.cost(alike[0].shape) or self._from_flops(alike[0], self.speed)
        cost = Cost(
            seconds=fmean(seconds for seconds, _ in finished),
            disk=round(fmean(disk for _, disk in finished)),
            checkpoint=before.checkpoint,
            basis=Basis.FINISHED,
        )
        self._book.remember(alike[0].shape, cost)
        return cost

    def _finished(self, folder: CellFolder | None) -> tuple[float, int] | None:
        """Return seconds and bytes of a cell that was done in this numeric environment, and None for others."""
        if folder is None:
            return None
        status, steps = folder.outcome()
        if status.state is not State.DONE or not steps or folder.environment().get("numeric") != self._numeric:
            return None
        last = steps[-1]["time"]
        seconds = last["client_seconds"] + last["server_seconds"]
        seconds += sum(step["time"]["evaluate_seconds"] for step in steps)
        return seconds, sum(file.stat().st_size for file in folder.path.rglob("*") if file.is_file())

    def _time(self, candidate: _Candidate, limit: float, report: Callable[[str], None]) -> None:
        # Imported here, since it loads a compiler that other verbs need not wait for.
        from mosaic_bench.engine.costs.timing import TooSlow, time_cell

        job = candidate.job
        try:
            cost = time_cell(job, self._datasets.directories, self._device, limit)
        except TooSlow as slow:
            if limit < _LIMIT:  # the next call may have more time for it
                return
            speed = slow.speed or self.speed
            cost = self._from_flops(candidate, speed)
            report(f"{job.algorithm.name}: steps too long to time; FLOPs at {speed / 1e9:.3g} GFLOP/s instead")
        except Exception as error:  # whatever an algorithm raises; the run will tell
            report(f"{job.algorithm.name}: cannot be timed ({type(error).__name__}: {error})")
            return
        self._book.remember(candidate.shape, cost)

    def _from_flops(self, candidate: _Candidate, speed: float) -> Cost:
        cell, images = candidate.job.cell, candidate.images
        models, sizes = cell.models, []
        for arch in cell.models.architectures:
            name = f"{arch} {models.norm} {images.channels}x{images.size} {images.classes}"
            sizes.append(self._book.model(name, partial(measure_model, arch, models.norm, images)))
        flops = training_flops(cell, images, sizes) + evaluation_flops(cell, images, sizes)
        return Cost(
            seconds=flops / speed,
            disk=_FILES + evaluations(cell) * _LINE + images.test // 8,
            checkpoint=round(_BYTES * models.width**2 * sum(size.parameters for size in sizes)),
            basis=Basis.FLOPS,
        )

    def _cost(self, alike: Sequence[_Candidate]) -> Cost:
        return self._measured(alike) or self._from_flops(alike[0], self.speed)


def _by_shape(candidates: Iterable[_Candidate]) -> dict[str, list[_Candidate]]:
    groups: dict[str, list[_Candidate]] = {}
    for candidate in candidates:
        groups.setdefault(candidate.shape, []).append(candidate)
    return groups


@contextmanager
def _as_cells_run(number: int) -> Iterator[None]:
    """Allocate memory as cells do, and let torch use so many threads inside the block."""
    keep_freed_memory()
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
