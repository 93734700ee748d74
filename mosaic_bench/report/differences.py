"""Ablations: beside each mean, its difference from the first row of its group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mosaic_bench.report.entry import POINTS, Entry
from mosaic_bench.report.layout import Label, Layout, Place
from mosaic_bench.report.quantities import keys_of
from mosaic_bench.report.study import Study


def with_differences(study: Study, layout: Layout, entries: Mapping[Place, Entry]) -> tuple[Layout, dict[Place, Entry]]:
    """Add a column Δ to each column: the mean, over seeds that both have, of the difference from the first row.

    Rows that share all but their last label are a group with a first row of its own.
    """
    made: dict[Place, Entry] = {}
    first = first_rows(layout)
    for (row, column), entry in entries.items():
        made[row, (*column, "accuracy")] = entry
        if row not in first.values():
            reference = layout.places.get((first[row[:-1]], column), [])
            made[row, (*column, "Δ")] = _difference(study, layout.places[row, column], reference)
    columns: list[Label] = [(*column, kind) for column in layout.columns for kind in ("accuracy", "Δ")]
    places = {(row, (*column, "accuracy")): numbers for (row, column), numbers in layout.places.items()}
    made |= {(row, (*column, "Δ")): Entry.absent("") for row in first.values() for column in layout.columns}
    return replace(layout, columns=columns, column_axes=(*layout.column_axes, ""), places=places), made


def first_rows(layout: Layout) -> dict[Label, Label]:
    """All but the last label of a row -> the first row that has them."""
    return {row[:-1]: row for row in reversed(layout.rows)}


def _difference(study: Study, numbers: Sequence[int], reference: Sequence[int]) -> Entry:
    values = study.cells["value"].to_numpy()
    here, first = study.by_seed(numbers), study.by_seed(reference)
    common = [seed for seed in here if seed in first]
    if not common:
        return Entry.absent()
    own, theirs = ([cells[seed] for seed in common] for cells in (here, first))
    differences = Entry.of((values[own] - values[theirs]).tolist(), "none", POINTS)
    return replace(differences, keys=keys_of(study, [*own, *theirs]))
