"""Accuracy against what it costs: one point per algorithm, one panel per setting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mosaic_bench.report.entry import with_prefix
from mosaic_bench.report.layout import Layout
from mosaic_bench.report.plots.panels import by_setting, draw_pages, draw_points, number_axis
from mosaic_bench.report.plots.plot import NotDrawn, Plot
from mosaic_bench.report.plots.style import Look
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
    for x in spec.against:
        yield from _against(study, x)


def _against(study: Study, x: str) -> Iterator[Plot]:
    layout = by_setting(study)
    points = _points(study, layout, x)
    factor, prefix = with_prefix(float(points["cost"].max())) if x != "seconds" else (1.0, "")

    def draw(axes: Axes, part: pd.DataFrame, name: str, look: Look) -> None:
        draw_points(axes, part, part["cost"] * factor, name, look, joined=False)

    for panels, data in draw_pages(study, layout, points, draw):
        for setting, axes in panels.axes.items():
            _scale(axes, points.loc[points["column"] == setting, "cost"].to_numpy() * factor)
            number_axis(axes, _LABELS[x].format(prefix))
            axes.set_ylabel("accuracy (%)")
        yield Plot(
            f"cost-{x}{panels.suffix}",
            f"Accuracy against {_WORDS[x]}{panels.of_pages}",
            f"{data['algorithm'].nunique()} methods, {study.measured} against {_WORDS[x]}, one point each, with one "
            "standard deviation over seeds.",
            panels.figure,
            data[["algorithm", "setting", "cost", "mean", "std", "n"]].rename(columns={"cost": x}),
        )


def _points(study: Study, layout: Layout, x: str) -> pd.DataFrame:
    values, costs = study.cells["value"].to_numpy(), study.cells[_COLUMNS[x]].sum(axis=1, min_count=1).to_numpy()
    lines = [
        {"row": row, "column": column, "cost": costs[number], "value": values[number]}
        for (row, column), numbers in layout.places.items()
        for number in numbers
        if not (np.isnan(values[number]) or np.isnan(costs[number]))
    ]
    if not lines:
        raise NotDrawn(study.unmeasured or f"no cell has measured {_WORDS[x]}")
    grouped = pd.DataFrame(lines).groupby(["row", "column"], sort=False)
    means = grouped.agg(cost=("cost", "mean"), mean=("value", "mean"), std=("value", "std"), n=("value", "size"))
    return means.reset_index()


def _scale(axes: Axes, costs: np.ndarray) -> None:
    """A logarithmic axis where costs differ a lot; room at both sides for markers."""
    positive = costs[costs > 0]
    if len(positive) == len(costs) and positive.max() > _LOGARITHMIC * positive.min():
        axes.set_xscale("log")
    axes.margins(x=0.12, y=0.15)
