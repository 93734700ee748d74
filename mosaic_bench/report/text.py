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
        # Parameters stand on a line of their own: columns are then hardly wider than their numbers.
        heading = "\n".join(display(part, table.titles).replace("(", "\n(", 1) for part in column)
        rendered.add_column(Text(heading or "accuracy"), justify="right", no_wrap=True)
    for row in table.rows:
        places = (table.entries.get((row, column), Entry.absent()) for column in table.columns)
        # The mark is a span inside the text: as the text's own style it would underline the padding too.
        numbers = (Text.assemble((percent(entry), _STYLES[entry.mark])) for entry in places)
        rendered.add_row(Text(display(row, table.titles)), *numbers)
    return rendered


def percent(entry: Entry) -> str:
    """``83.2 ± 1.4``, or the gap's sign."""
    if entry.mean is None:
        return entry.gap
    spread = f" ± {100 * entry.std:.1f}" if entry.std is not None else ""
    return f"{100 * entry.mean:.1f}{spread}"
