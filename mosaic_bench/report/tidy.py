"""A table as csv: one line per place, numbers unrounded."""

from __future__ import annotations

from dataclasses import asdict

import pandas as pd

from mosaic_bench.report.table import Table

_FIELDS = ("mean", "std", "n", "gap", "mark", "shaded")


def render_csv(table: Table) -> str:
    """Return one line per row and column of the table, every number as it was measured: shares, bytes, seconds."""
    lines = []
    for row in table.rows:
        for column in table.columns:
            entry = asdict(table.entry(row, column))
            low, high = entry["interval"] or (None, None)
            axes = [*table.row_axes, *(axis or "column" for axis in table.column_axes)]
            place = dict(zip(axes, (*row, *column), strict=True))
            reasons = "; ".join(note.text for note in table.notes if note.sign in entry["notes"])
            numbers = {name: entry[name] for name in _FIELDS} | {"low": low, "high": high}
            lines.append(place | numbers | {"note": reasons, "keys": " ".join(entry["keys"])})
    return pd.DataFrame(lines).to_csv(index=False)
