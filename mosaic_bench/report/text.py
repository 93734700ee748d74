"""A table for the terminal."""

from __future__ import annotations

from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from mosaic_bench.report.entry import Entry
from mosaic_bench.report.names import display
from mosaic_bench.report.notes import Note
from mosaic_bench.report.table import Table

_STYLES = {"best": "bold", "second": "underline", "": ""}


def render_text(table: Table) -> RichTable:
    """Return a rich table without its caption: best bold, second underlined, shaded ones with a ≈."""
    rendered = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    for axis in table.row_headings():
        rendered.add_column(Text(axis), no_wrap=True)
    for column in table.columns:
        # Parameters stand on a line of their own: columns are then hardly wider than their numbers.
        heading = "\n".join(display(part, table.titles).replace("(", "\n(", 1) for part in column)
        rendered.add_column(Text(heading or "accuracy"), justify="right", no_wrap=True)
    for number, row in enumerate(table.rows):
        labels = map(Text, table.row_labels(number))
        rendered.add_row(*labels, *(_entry(table.entry(row, column)) for column in table.columns))
    return rendered


def render_note(note: Note) -> str:
    """``[a] failed: ValueError: no (traceback in log.txt)``."""
    return " ".join(part for part in (f"[{note.sign}]" if note.sign else "", note.text, note.detail) if part)


def _entry(entry: Entry) -> Text:
    """``≈ 83.2 ± 1.4 [a]``."""
    text = ("≈ " if entry.shaded else "") + entry.number + entry.spread
    # The mark is a span inside the text: as the text's own style it would underline the padding too.
    signs = f" [{','.join(entry.notes)}]" if entry.notes else ""
    return Text.assemble((text, _STYLES[entry.mark]), signs)
