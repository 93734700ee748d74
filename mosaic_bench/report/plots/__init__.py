"""Figures of a study: one file per kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from mosaic_bench.report.plots.alpha_sweep import draw_alpha_sweep
from mosaic_bench.report.plots.client_classes import draw_client_classes
from mosaic_bench.report.plots.cost_accuracy import draw_cost_accuracy
from mosaic_bench.report.plots.critical_difference import draw_critical_difference
from mosaic_bench.report.plots.curves import draw_curves
from mosaic_bench.report.plots.decision_regions import draw_decision_regions
from mosaic_bench.report.plots.generator_curves import draw_generator_curves
from mosaic_bench.report.plots.plot import NotDrawn, Plot
from mosaic_bench.report.plots.samples import draw_samples
from mosaic_bench.report.plots.style import paper_style
from mosaic_bench.report.study import Study
from mosaic_bench.suite import PlotSpec

__all__ = ["NotDrawn", "Plot", "draw_plots"]

_DRAWERS: dict[str, Callable[[Study, PlotSpec], Iterator[Plot]]] = {
    "curve": draw_curves,
    "alpha_sweep": draw_alpha_sweep,
    "cost_accuracy": draw_cost_accuracy,
    "critical_difference": draw_critical_difference,
    "client_classes": draw_client_classes,
    "samples": draw_samples,
    "generator_curves": draw_generator_curves,
    "decision_regions": draw_decision_regions,
}


def draw_plots(study: Study, spec: PlotSpec, most: int | None = None) -> Iterator[Plot]:
    """Yield the figures of one kind, drawn one at a time.

    Args:
        study: the results.
        spec: which kind, against what.
        most: figures to stop after.

    Raises:
        NotDrawn: the results hold nothing that this kind could show.
    """
    drawn = islice(_DRAWERS[spec.kind](study, spec), most)
    while True:
        with paper_style():
            plot = next(drawn, None)
        if plot is None:
            return
        yield plot
