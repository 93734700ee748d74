"""Accuracy against the α of the Dirichlet partition."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import pandas as pd

from mosaic_bench.report.plots.panels import add_legend, algorithm_looks, by_setting, draw_points, pages, setting_name
from mosaic_bench.report.plots.plot import NotDrawn, Plot
from mosaic_bench.report.study import Study
from mosaic_bench.suite import PlotSpec
from mosaic_bench.suite.axes import label_on
from mosaic_bench.suite.labels import head


def draw_alpha_sweep(study: Study, spec: PlotSpec) -> Iterator[Plot]:
    """Yield accuracy over α, evenly spaced in the order of the values, IID last; one panel per remaining setting."""
    alphas = {number: _alpha(result.coordinates) for number, result in enumerate(study.results)}
    known = sorted({alpha for alpha in alphas.values() if alpha is not None})
    if len(known) < 2:
        raise NotDrawn("the grid has fewer than two values of α")
    layout = by_setting(study, without=[axis for axis in study.axes if _is_alpha_axis(axis)])
    shown = algorithm_looks(study, layout)
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
    points = grouped.agg(mean="mean", std="std", n="size").reset_index()
    for panels in pages(study, [c for c in layout.columns if (points["column"] == c).any()]):
        on_page = []
        for setting, axes in panels.axes.items():
            for row, (name, look) in shown.items():
                part = points[(points["row"] == row) & (points["column"] == setting)]
                if not part.empty:
                    at = [known.index(alpha) for alpha in part["alpha"]]
                    draw_points(axes, part, at, name, look, joined=True)
                    on_page.append(part.assign(algorithm=name, setting=setting_name(study, setting)))
            axes.set_xticks(range(len(known)), ["IID" if math.isinf(alpha) else f"{alpha:g}" for alpha in known])
            axes.margins(x=0.08)
            axes.set_xlabel("α (smaller: more skewed)")
            axes.set_ylabel("accuracy (%)")
        add_legend(panels)
        data = pd.concat(on_page)[["algorithm", "setting", "alpha", "mean", "std", "n"]]
        yield Plot(
            f"alpha-sweep{panels.suffix}",
            f"Accuracy against α{panels.of_pages}",
            f"Accuracy of {len(shown)} methods for α from {known[0]:g} to {known[-1]:g}, mean over seeds with one "
            "standard deviation.",
            panels.figure,
            data,
        )


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
