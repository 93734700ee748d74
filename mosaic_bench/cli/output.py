"""How verbs print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.table import Table

_UNLIMITED = 10_000


def make_console() -> Console:
    """Return a console that prints text as it is: brackets are not markup, and long lines are not broken."""
    return Console(markup=False, highlight=False, emoji=False, soft_wrap=True)


def make_table(*headings: str, justify: JustifyMethod = "left") -> Table:
    """Return an empty table in the style of every verb."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify=justify, no_wrap=True)
    return table


def print_table(console: Console, table: Table) -> None:
    """Print a table at its full width: a narrow terminal wraps its lines, and nothing is ever cut off."""
    widest = console.measure(table, options=console.options.update_width(_UNLIMITED)).maximum
    console.width = max(console.width, widest)
    console.print(table)


def print_rows(console: Console, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print the cells of a grid in the style of ``make_table``, whose own printing takes a millisecond per row.

    Columns whose heading starts with a space are flushed right.
    """
    lines = [headings, *rows]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    right = [heading.startswith(" ") for heading in headings]
    text = [_line(row, widths, right) for row in lines]
    text.insert(1, " " + "─" * (sum(widths) + 2 * (len(widths) - 1)))
    console.out("\n".join(["", *text, ""]), highlight=False)


def _line(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = []
    for text, width, flushed_right in zip(row, widths, right, strict=True):
        space = " " * (width - cell_len(text))
        padded.append(space + text if flushed_right else text + space)
    return " " + "  ".join(padded).rstrip()
