"""Accuracy against the α of the Dirichlet partition."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import pandas as pd

from mosaic_bench.report.layout import Layout
from mosaic_bench.report.plots.panels import by_setting, draw_pages, draw_points
from mosaic_bench.report.plots.plot import NotDrawn, Plot
from mosaic_bench.report.plots.style import Look
from mosaic_bench.report.study import Study
from mosaic_bench.suite import PlotSpec
from mosaic_bench.suite.axes import label_on
from mosaic_bench.suite.labels import head

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_alpha_sweep(study: Study, spec: PlotSpec) -> Iterator[Plot]:
    """Yield accuracy over α, evenly spaced in the order of the values, IID last; one panel per remaining setting."""
    alphas = {number: _alpha(result.coordinates) for number, result in enumerate(study.results)}
    known = sorted({alpha for alpha in alphas.values() if alpha is not None})
    if len(known) < 2:
        raise NotDrawn("the grid has fewer than two values of α")
    layout = by_setting(study, without=[axis for axis in study.axes if _is_alpha_axis(axis)])
    points = _points(study, layout, alphas)

    def draw(axes: Axes, part: pd.DataFrame, name: str, look: Look) -> None:
        draw_points(axes, part, [known.index(alpha) for alpha in part["alpha"]], name, look, joined=True)

    for panels, data in draw_pages(study, layout, points, draw):
        for axes in panels.axes.values():
            axes.set_xticks(range(len(known)), ["IID" if math.isinf(alpha) else f"{alpha:g}" for alpha in known])
            axes.margins(x=0.08)
            axes.set_xlabel("α (smaller: more skewed)")
            axes.set_ylabel("accuracy (%)")
        last = "IID" if math.isinf(known[-1]) else f"{known[-1]:g}"
        yield Plot(
            f"alpha-sweep{panels.suffix}",
            f"Accuracy against α{panels.of_pages}",
            f"Accuracy of {data['algorithm'].nunique()} methods for α from {known[0]:g} to {last}, mean over seeds "
            "with one standard deviation.",
            panels.figure,
            data[["algorithm", "setting", "alpha", "mean", "std", "n"]],
        )


def _points(study: Study, layout: Layout, alphas: Mapping[int, float | None]) -> pd.DataFrame:
    values = study.cells["value"].to_numpy()
    lines = [
        {"row": row, "column": column, "alpha": alphas[number], "value": values[number]}
        for (row, column), numbers in layout.places.items()
        for number in numbers
        if alphas[number] is not None and not math.isnan(values[number])
    ]
    if not lines:
        raise NotDrawn("no cell with an α is done")
    grouped = pd.DataFrame(lines).groupby(["row", "column", "alpha"], sort=True)["value"]
    return grouped.agg(mean="mean", std="std", n="size").reset_index()


def _is_alpha_axis(axis: str) -> bool:
    return axis == "partition" or axis.endswith(".alpha")


def _alpha(coordinates: Mapping[str, str]) -> float | None:
    """The α of a cell; infinite for IID, None where the partition has none."""
    for axis, label in coordinates.items():
        text = label_on("partition.alpha", coordinates) if axis == "partition" else label
        if _is_alpha_axis(axis):
            if head(label) == "iid":
                return math.inf
            try:
                return float(text.removeprefix("alpha="))
            except ValueError:
                return None
    return None
