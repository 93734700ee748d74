"""Tables over cells made in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mosaic_bench.report.results import CellResult
from mosaic_bench.report.study import Study
from mosaic_bench.report.table import Table, make_table
from mosaic_bench.store import State, Status
from mosaic_bench.suite import HeadlineSpec, ReportSpec, TableSpec

TITLES = {"fedavg": "FedAvg", "dense": "DENSE", "mosaic/statistics": "Mosaic (statistics)†"}
LAST = HeadlineSpec()


def steps(test: Sequence[float | None], validation: Sequence[float | None] = ()) -> list[dict[str, Any]]:
    """Evaluated steps with these accuracies."""
    named = {"acc/server@test": test, "acc/server@val": validation}
    return [
        {"step": n, "metrics": {name: values[n] for name, values in named.items() if n < len(values)}}
        for n in range(len(test))
    ]


def cell(value: float | None, state: State = State.DONE, message: str = "", **coordinates: str) -> CellResult:
    """One cell of a grid that ended with this accuracy."""
    return CellResult("k", coordinates, Status(state, message=message), [] if value is None else steps([value]))


def grid(accuracies: dict[tuple[str, ...], Sequence[float]], *axes: str) -> list[CellResult]:
    """Cells by their coordinates on ``axes``, one per seed."""
    return [
        cell(value, **dict(zip(axes, place, strict=True)), seed=str(seed))
        for place, values in accuracies.items()
        for seed, value in enumerate(values)
    ]


def table(results: list[CellResult], headline: HeadlineSpec = LAST, **spec: Any) -> Table:
    """A table over algorithms unless ``spec`` says otherwise."""
    study = Study(results, ReportSpec(headline=headline), "golden", "Test", TITLES)
    return make_table(study, TableSpec(**spec))
