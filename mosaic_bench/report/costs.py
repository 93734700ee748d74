"""Communication and compute cost, one column per quantity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mosaic_bench.report.entry import Entry, Unit, with_prefix
from mosaic_bench.report.layout import Layout, Place
from mosaic_bench.report.quantities import Quantity, finished, mean_of, with_quantities
from mosaic_bench.report.study import Study
from mosaic_bench.store import State
from mosaic_bench.suite import TableSpec
from mosaic_bench.suite.labels import head

_QUANTITIES = (
    ("up", "bytes_up", "B"),
    ("down", "bytes_down", "B"),
    ("clients", "client_seconds", "s"),
    ("server", "server_seconds", "s"),
    ("work", "flops", "FLOP"),
    ("memory", "peak_bytes", "B"),
)
_STAGE = "seconds/"
_LEAST = 0.1  # of a run, for a stage to be named


def cost_entries(study: Study, layout: Layout, spec: TableSpec) -> tuple[Layout, dict[Place, Entry]]:
    """Replace each column by one per cost, the longest stages, and what the method reveals where that is known.

    Finished cells only. Each cost has the SI prefix that suits the largest number of its column; seconds have none.
    """
    done = (study.cells["state"] == State.DONE.value).to_numpy()
    quantities: dict[str, Quantity] = {}
    for name, column, unit in _QUANTITIES:
        values = study.cells[column].to_numpy()
        known = values[done & ~np.isnan(values)]
        factor, prefix = with_prefix(float(known.max()) if len(known) and unit != "s" else 0.0)
        quantities[f"{name} ({prefix}{unit})"] = mean_of(study, values, spec.spread, Unit(factor, None))
    if any(str(column).startswith(_STAGE) for column in study.cells):
        quantities["longest stages"] = lambda numbers: _stages(study, numbers)
    if study.reveals and "algorithm" in layout.row_axes:
        quantities["reveals"] = lambda numbers: _reveals(study, numbers)
    return with_quantities(layout, quantities)


def _stages(study: Study, numbers: Sequence[int]) -> Entry:
    """Shares of the time of clients and server, means over seeds, of the stages that take a tenth of it or more."""
    cells = study.cells.iloc[finished(study, numbers)]
    whole = cells["client_seconds"] + cells["server_seconds"]
    seconds = cells[[column for column in cells if str(column).startswith(_STAGE)]]
    shares = seconds.div(whole, axis=0).mean().sort_values(ascending=False, kind="stable")
    named = [
        f"{str(column).removeprefix(_STAGE).replace('_', ' ')} {share:.0%}".replace("%", " %")
        for column, share in shares.items()
        if share >= _LEAST
    ]
    return Entry.absent(", ".join(named) or "--")


def _reveals(study: Study, numbers: Sequence[int]) -> Entry:
    found = study.reveals.get(head(study.results[numbers[0]].coordinates["algorithm"]))
    return Entry.absent("--" if found is None else ", ".join(found) or "nothing")
