"""``plots``: figures of a suite that was run, with their data. Reads the store alone."""

from __future__ import annotations

from mosaic_bench.cli.options import RESULTS, Finished, Results
from mosaic_bench.cli.output import make_console
from mosaic_bench.cli.stores import find_study


def plots(suite: Finished, results: Results = RESULTS) -> None:
    """Draw the figures of a suite that was run: pdf, png, and the data of each as csv."""
    from mosaic_bench.report.plots import NotDrawn, draw_plots

    (store, study), console = find_study(suite, results), make_console()
    for spec in study.report.plots:
        try:
            for plot in draw_plots(study, spec):
                console.print(f"{plot.title}: {plot.save(store)}")
        except NotDrawn as reason:
            console.print(f"{spec.kind}: not drawn: {reason}")
