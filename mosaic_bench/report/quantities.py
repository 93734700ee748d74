"""Tables of several quantities: below each setting one column per quantity."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from mosaic_bench.report.entry import Entry, Unit
from mosaic_bench.report.layout import Label, Layout, Place
from mosaic_bench.report.study import Study
from mosaic_bench.store import State

Quantity = Callable[[Sequence[int]], Entry]
"""Cells of one place, all over seeds, finished or not -> what stands there."""


def with_quantities(layout: Layout, quantities: Mapping[str, Quantity]) -> tuple[Layout, dict[Place, Entry]]:
    """Replace each column by one per quantity, by heading. Signs of notes stand in the first one."""
    entries = {
        (row, (*outer, heading)): quantity(numbers)
        for heading, quantity in quantities.items()
        for (row, outer), numbers in layout.places.items()
    }
    columns: list[Label] = [(*outer, heading) for outer in layout.columns for heading in quantities]
    first = next(iter(quantities))
    places = {(row, (*outer, first)): numbers for (row, outer), numbers in layout.places.items()}
    return replace(layout, columns=columns, column_axes=(*layout.column_axes, ""), places=places), entries


def mean_of(study: Study, values: np.ndarray, spread: str, unit: Unit) -> Quantity:
    """The mean over seeds of one number per cell, of finished cells that have it."""

    def mean(numbers: Sequence[int]) -> Entry:
        measured = [number for number in finished(study, numbers) if not np.isnan(values[number])]
        if not measured:
            return Entry.gap_of(study.results[number].status.state for number in numbers)
        made = Entry.of([values[number] for number in measured], spread, unit)
        return replace(made, keys=keys_of(study, measured), std=made.std if _is_seen(made) else None)

    return mean


def finished(study: Study, numbers: Sequence[int]) -> list[int]:
    """Those of the cells that are done."""
    return [number for number in numbers if study.results[number].status.state is State.DONE]


def keys_of(study: Study, numbers: Sequence[int]) -> tuple[str, ...]:
    """Keys of the cells that have a folder."""
    return tuple(key for number in numbers if (key := study.results[number].key) is not None)


def _is_seen(entry: Entry) -> bool:
    """True where a deviation is more than zeros as it is printed: ± 0 of a count says nothing."""
    return entry.std is not None and bool(entry.unit.write(entry.std, entry.mean).strip("0."))
