"""``report``: everything about a suite that was run in one HTML file. Reads the store alone."""

from __future__ import annotations

from mosaic_bench.cli.options import RESULTS, Finished, Results
from mosaic_bench.cli.output import make_console
from mosaic_bench.cli.stores import find_store


def report(suite: Finished, results: Results = RESULTS) -> None:
    """Write one self-contained HTML page: tables that sort and filter, figures, failures, where it all came from."""
    from mosaic_bench.report.page import render_page
    from mosaic_bench.report.study import read_study

    store = find_store(suite, results)
    file = store.write_output("report.html", render_page(read_study(store)))
    make_console().print(str(file))
