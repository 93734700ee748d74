"""``tables``: results as text and LaTeX. Reads the store alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mosaic_bench.cli.options import RESULTS, Results
from mosaic_bench.cli.output import make_console, print_table
from mosaic_bench.cli.stores import find_store
from mosaic_bench.store import Store


def tables(
    suite: Annotated[Path, typer.Argument(help="Suite file, suite name, or results folder.", metavar="SUITE")],
    results: Results = RESULTS,
) -> None:
    """Print the tables of a suite that was run, and write them as LaTeX."""
    write_tables(find_store(suite, results), make_console())


def write_tables(store: Store, console: Console) -> None:
    """Print every table of the store's suite and write ``tables/NAME.tex``."""
    from mosaic_bench.report.latex import render_latex
    from mosaic_bench.report.results import read_report, read_results
    from mosaic_bench.report.table import make_table
    from mosaic_bench.report.text import render_text

    suite, report = store.suite(), read_report(store)
    found = read_results(store)
    for spec in report.tables:
        table = make_table(found, suite["title"], spec, report.headline, suite["titles"])
        file = store.write_table(spec.name, render_latex(table, suite["suite"]))
        console.print(f"\n{table.caption}")
        print_table(console, render_text(table))
        for note in table.notes:
            console.print(note)
        console.print(f"LaTeX: {file}")
