"""How verbs print."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

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


def print_rows(
    console: Console, headings: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[str] = ()
) -> None:
    """Print the cells of a grid in the style of ``make_table``, whose own printing takes a millisecond per row.

    Args:
        headings: one per column.
        rows: texts, one per column.
        right: headings of the columns that are flushed right.
    """
    lines = [headings, *rows]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    flushed_right = [heading in right for heading in headings]
    text = [_line(row, widths, flushed_right) for row in lines]
    text.insert(1, " " + "─" * (sum(widths) + 2 * (len(widths) - 1)))
    console.out("\n".join(["", *text, ""]), highlight=False)


def duration(seconds: float) -> str:
    """``8 s``, ``12 min``, ``3.4 h`` or ``2.1 d``: two digits are all that an expectation has."""
    for name, unit, until in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < until:
            return f"{seconds / unit:.{0 if seconds >= 10 * unit else 1}f} {name}"
    return f"{seconds / 86_400:.1f} d"


def amount_of_cells(number: int) -> str:
    """``1 cell``, ``8 cells``."""
    return f"{number} cell{'' if number == 1 else 's'}"


def amount_of_bytes(number: float) -> str:
    """``8 kB``, ``3.4 MB``: decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.{0 if number >= 10 or unit == 'B' else 1}f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def _line(row: Sequence[str], widths: Sequence[int], flushed_right: Sequence[bool]) -> str:
    padded = []
    for text, width, right in zip(row, widths, flushed_right, strict=True):
        space = " " * (width - cell_len(text))
        padded.append(space + text if right else text + space)
    return " " + "  ".join(padded).rstrip()
