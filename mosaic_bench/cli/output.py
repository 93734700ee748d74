"""How verbs print."""

from __future__ import annotations

from rich import box
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
