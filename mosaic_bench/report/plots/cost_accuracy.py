"""Accuracy against what it costs: one point per algorithm, one panel per setting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mosaic_bench.report.entry import with_prefix
from mosaic_bench.report.plots.panels import (
    add_legend,
    algorithm_looks,
    by_setting,
    draw_points,
    number_axis,
    pages,
    setting_name,
)
from mosaic_bench.report.plots.plot import NotDrawn, Plot
from mosaic_bench.report.study import Study
from mosaic_bench.suite import PlotSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = {
    "bytes": ["bytes_up", "bytes_down"],
    "seconds": ["client_seconds", "server_seconds"],
    "flops": ["flops"],
    "memory": ["peak_bytes"],
}
_LABELS = {
    "bytes": "communication ({}B)",
    "seconds": "time of clients and server (s)",
    "flops": "clients' work ({}FLOP)",
    "memory": "peak memory ({}B)",
}
_WORDS = {"bytes": "communication", "seconds": "time", "flops": "the clients' work", "memory": "peak memory"}
_LOGARITHMIC = 20  # ratio of the largest to the smallest cost from which the axis is logarithmic


def draw_cost_accuracy(study: Study, spec: PlotSpec) -> Iterator[Plot]:
    """Yield one figure per cost, and per page of settings; bars are one standard deviation over seeds."""
    layout = by_setting(study)
    shown = algorithm_looks(study, layout)
    for x in spec.against:
        points = _points(study, x)
        factor, prefix = with_prefix(float(points["cost"].max())) if x != "seconds" else (1.0, "")
        for panels in pages(study, [c for c in layout.columns if (points["column"] == c).any()]):
            on_page = []
            for setting, axes in panels.axes.items():
                here = points[points["column"] == setting]
                for row, (name, look) in shown.items():
                    part = here[here["row"] == row]
                    if not part.empty:
                        draw_points(axes, part, part["cost"] * factor, name, look, joined=False)
                        on_page.append(part.assign(algorithm=name, setting=setting_name(study, setting)))
                _scale(axes, here["cost"].to_numpy() * factor)
                number_axis(axes, _LABELS[x].format(prefix))
                axes.set_ylabel("accuracy (%)")
            add_legend(panels)
            data = pd.concat(on_page)[["algorithm", "setting", "cost", "mean", "std", "n"]]
            yield Plot(
                f"cost-{x}{panels.suffix}",
                f"Accuracy against {_WORDS[x]}{panels.of_pages}",
                f"Accuracy of {len(shown)} methods against {_WORDS[x]}, one point each, with one standard "
                "deviation over seeds.",
                panels.figure,
                data.rename(columns={"cost": x}),
            )


def _points(study: Study, x: str) -> pd.DataFrame:
    values, costs = study.cells["value"].to_numpy(), study.cells[_COLUMNS[x]].sum(axis=1).to_numpy()
    lines = [
        {"row": row, "column": column, "cost": costs[number], "value": values[number]}
        for (row, column), numbers in by_setting(study).places.items()
        for number in numbers
        if not np.isnan(values[number])
    ]
    if not lines:
        raise NotDrawn("no cell is done")
    grouped = pd.DataFrame(lines).groupby(["row", "column"], sort=False)
    means = grouped.agg(cost=("cost", "mean"), mean=("value", "mean"), std=("value", "std"), n=("value", "size"))
    return means.reset_index()


def _scale(axes: Axes, costs: np.ndarray) -> None:
    """A logarithmic axis where costs differ a lot; room at both sides for markers."""
    positive = costs[costs > 0]
    if len(positive) == len(costs) and positive.max() > _LOGARITHMIC * positive.min():
        axes.set_xscale("log")
    axes.margins(x=0.12, y=0.15)
