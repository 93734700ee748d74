"""A table for the terminal."""

from __future__ import annotations

from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from mosaic_bench.report.names import display
from mosaic_bench.report.table import Entry, Table

_STYLES = {"best": "bold", "second": "underline", "": ""}


def render_text(table: Table) -> RichTable:
    """Return a rich table without its caption: best bold, second underlined, numbers in percent."""
    rendered = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    rendered.add_column("", no_wrap=True)
    for column in table.columns:
        heading = "\n".join(display(part, table.titles) for part in column) or "accuracy"
        rendered.add_column(Text(heading), justify="right", no_wrap=True)
    for row in table.rows:
        places = (table.entries.get((row, column), Entry.absent()) for column in table.columns)
        rendered.add_row(
            Text(display(row, table.titles)), *(Text(percent(entry), style=_STYLES[entry.mark]) for entry in places)
        )
    return rendered


def percent(entry: Entry) -> str:
    """``83.2 ± 1.4``, or the gap's sign."""
    if entry.mean is None:
        return entry.gap
    spread = f" ± {100 * entry.std:.1f}" if entry.std is not None else ""
    return f"{100 * entry.mean:.1f}{spread}"
