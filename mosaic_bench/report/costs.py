"""Communication and compute cost, one column per quantity."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mosaic_bench.report.entry import Entry, Unit, with_prefix
from mosaic_bench.report.layout import Label, Layout, Place
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
_REVEALS = "reveals"


def cost_entries(study: Study, layout: Layout, spec: TableSpec) -> tuple[Layout, dict[Place, Entry]]:
    """Replace each column by one per cost, and what the method reveals where that is known.

    Finished cells only. Each cost has the SI prefix that suits the largest number of its column; seconds have none.
    """
    done = (study.cells["state"] == State.DONE.value).to_numpy()
    entries: dict[Place, Entry] = {}
    headings: list[str] = []
    for name, column, unit in _QUANTITIES:
        values = study.cells[column].to_numpy()
        known = values[done & ~np.isnan(values)]
        factor, prefix = with_prefix(float(known.max()) if len(known) and unit != "s" else 0.0)
        headings.append(f"{name} ({prefix}{unit})")
        for (row, outer), numbers in layout.places.items():
            measured = [number for number in numbers if done[number] and not np.isnan(values[number])]
            place = (row, (*outer, headings[-1]))
            if measured:
                keys = tuple(key for number in measured if (key := study.results[number].key) is not None)
                made = Entry.of([values[number] for number in measured], spec.spread, Unit(factor, None))
                entries[place] = replace(made, keys=keys, std=made.std if _is_seen(made) else None)
            else:
                entries[place] = Entry.gap_of(study.results[number].status.state for number in numbers)
    if study.reveals and "algorithm" in layout.row_axes:
        headings.append(_REVEALS)
        for row, outer in layout.places:
            entries[row, (*outer, _REVEALS)] = _reveals(study, row[layout.row_axes.index("algorithm")])
    columns: list[Label] = [(*outer, heading) for outer in layout.columns for heading in headings]
    places = {(row, (*outer, headings[0])): numbers for (row, outer), numbers in layout.places.items()}
    return replace(layout, columns=columns, column_axes=(*layout.column_axes, ""), places=places), entries


def _is_seen(entry: Entry) -> bool:
    """True where a deviation is more than zeros as it is printed: ± 0 of a count says nothing."""
    return entry.std is not None and bool(entry.unit.write(entry.std, entry.mean).strip("0."))


def _reveals(study: Study, algorithm: str) -> Entry:
    found = study.reveals.get(head(algorithm))
    return Entry.absent("--" if found is None else ", ".join(found) or "nothing")
