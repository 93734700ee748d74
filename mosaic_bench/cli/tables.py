"""``tables``: results as text, LaTeX, Markdown and csv. Reads the store alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from mosaic_bench.cli.options import RESULTS, Finished, Results
from mosaic_bench.cli.output import make_console, print_table
from mosaic_bench.cli.stores import find_study
from mosaic_bench.store import Store

if TYPE_CHECKING:
    from mosaic_bench.report.study import Study


def tables(suite: Finished, results: Results = RESULTS) -> None:
    """Print the tables of a suite that was run, and write them as LaTeX, Markdown and csv."""
    _write(*find_study(suite, results), make_console())


def write_tables(store: Store, console: Console) -> None:
    """Print every table of the store's suite and write ``tables/NAME`` with the suffixes tex, md and csv."""
    from mosaic_bench.report.study import read_study

    _write(store, read_study(store), console)


def _write(store: Store, study: Study, console: Console) -> None:
    from mosaic_bench.report.latex import render_latex
    from mosaic_bench.report.markdown import render_markdown
    from mosaic_bench.report.table import make_table
    from mosaic_bench.report.text import render_note, render_text
    from mosaic_bench.report.tidy import render_csv

    for spec in study.report.tables:
        table = make_table(study, spec)
        store.write_output(f"tables/{spec.name}.md", render_markdown(table))
        store.write_output(f"tables/{spec.name}.csv", render_csv(table))
        file = store.write_output(f"tables/{spec.name}.tex", render_latex(table, study.suite))
        console.print(f"\n{table.caption}")
        print_table(console, render_text(table))
        for note in table.notes:
            console.print(render_note(note))
        console.print(f"LaTeX (Markdown and csv beside it): {file}")
