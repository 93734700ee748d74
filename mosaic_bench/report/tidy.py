"""A table as csv: one line per place, numbers unrounded."""

from __future__ import annotations

import pandas as pd

from mosaic_bench.report.table import Table

_FIELDS = ("n", "gap", "mark", "shaded")


def render_csv(table: Table) -> str:
    """Return one line per row and column of the table, numbers in the table's unit with every digit."""
    lines = []
    for row in table.rows:
        for column in table.columns:
            entry = table.entry(row, column)
            low, high = entry.interval or (None, None)
            numbers = {"mean": entry.mean, "std": entry.std, "low": low, "high": high}
            axes = [*table.row_axes, *(axis or "column" for axis in table.column_axes)]
            place = dict(zip(axes, (*row, *column), strict=True))
            said = {
                "note": "; ".join(note.text for note in table.notes if note.sign in entry.notes),
                "keys": " ".join(entry.keys),
            }
            scaled = {name: None if value is None else value * entry.unit.factor for name, value in numbers.items()}
            lines.append(place | scaled | {name: getattr(entry, name) for name in _FIELDS} | said)
    return pd.DataFrame(lines).to_csv(index=False)
