"""A table as Markdown, for a README or an issue."""

from __future__ import annotations

import re

from mosaic_bench.report.entry import Entry
from mosaic_bench.report.names import display
from mosaic_bench.report.table import Table

_MARKS = {"best": "**%s**", "second": "<u>%s</u>", "": "%s"}


def render_markdown(table: Table) -> str:
    """Return a table with its caption and notes: best means bold, second ones underlined, shaded ones with a ≈."""
    headings = [*map(escape, table.row_headings()), *(_heading(table, c) for c in table.columns)]
    alignments = ["---"] * len(table.row_axes) + ["---:"] * len(table.columns)
    lines = [escape(table.caption), "", _line(headings), _line(alignments)]
    for row in table.rows:
        labels = [escape(display(part, table.titles)) for part in row]
        lines.append(_line([*labels, *(_entry(table.entry(row, column)) for column in table.columns)]))
    for note in table.notes:
        lines += ["", (f"<sup>{note.sign}</sup> " if note.sign else "") + escape(note.text)]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Keep a label from ending its line or its column, or starting markup."""
    return re.sub(r"([\\`*_\[\]|<>])", r"\\\1", " ".join(text.split()))


def _heading(table: Table, column: tuple[str, ...]) -> str:
    return escape(" / ".join(display(part, table.titles) for part in column)) or "accuracy"


def _line(parts: list[str]) -> str:
    return f"| {' | '.join(parts)} |"


def _entry(entry: Entry) -> str:
    number = entry.number if entry.mean is None else _MARKS[entry.mark] % entry.number + entry.spread
    signs = f"<sup>{','.join(entry.notes)}</sup>" if entry.notes else ""
    return ("≈ " if entry.shaded else "") + number + signs
