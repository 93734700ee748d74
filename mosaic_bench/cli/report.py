"""``report``: everything about a suite that was run in one HTML file. Reads the store alone."""

from __future__ import annotations

from mosaic_bench.cli.options import RESULTS, Finished, Results
from mosaic_bench.cli.output import make_console
from mosaic_bench.cli.stores import find_study


def report(suite: Finished, results: Results = RESULTS) -> None:
    """Write one self-contained HTML page: tables that sort and filter, figures, failures, where it all came from."""
    from mosaic_bench.report.page import render_page

    store, study = find_study(suite, results)
    file = store.write_output("report.html", render_page(study))
    make_console().print(str(file))
