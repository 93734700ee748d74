"""Accuracy against the α of the Dirichlet partition."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from mosaic_bench.report.layout import Layout
from mosaic_bench.report.plots.panels import draw_pages, draw_points, lay_out_settings
from mosaic_bench.report.plots.plot import NotDrawn, Plot
from mosaic_bench.report.plots.style import Look
from mosaic_bench.report.study import Study
from mosaic_bench.suite import PlotSpec
from mosaic_bench.suite.axes import label_on
from mosaic_bench.suite.labels import arguments, head

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class _Stop:
    """One cell on one sweep.

    Attributes:
        coordinates: all but its α.
        alpha: infinite for IID.
        value: its headline; NaN where it has none.
    """

    coordinates: Mapping[str, str]
    alpha: float
    value: float


def draw_alpha_sweep(study: Study, spec: PlotSpec) -> Iterator[Plot]:
    """Yield accuracy over α, evenly spaced in the order of the values, IID last; one panel per remaining setting.

    Partitions that differ in more than α are different settings; IID is the end of each of them.
    """
    stops = _stops(study)
    known = sorted({stop.alpha for stop in stops})
    if len(known) < 2:
        raise NotDrawn("the grid has fewer than two values of α")
    layout = lay_out_settings([stop.coordinates for stop in stops])
    points = _points(study, layout, stops)

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
            f"{data['algorithm'].nunique()} methods for α from {known[0]:g} to {last}: {study.measured}, mean over "
            "seeds with one standard deviation.",
            panels.figure,
            data[["algorithm", "setting", "alpha", "mean", "std", "n"]],
        )


def _points(study: Study, layout: Layout, stops: Sequence[_Stop]) -> pd.DataFrame:
    lines = [
        {"row": row, "column": column, "alpha": stops[number].alpha, "value": stops[number].value}
        for (row, column), numbers in layout.places.items()
        for number in numbers
        if not math.isnan(stops[number].value)
    ]
    if not lines:
        raise NotDrawn(study.unmeasured or "no cell with an α is done")
    grouped = pd.DataFrame(lines).groupby(["row", "column", "alpha"], sort=True)["value"]
    return grouped.agg(mean="mean", std="std", n="size").reset_index()


def _stops(study: Study) -> list[_Stop]:
    """The cells with an α on the sweep that they belong to, IID ones on all of them."""
    found = [
        (result.coordinates, alpha, float(value))
        for result, value in zip(study.results, study.cells["value"], strict=True)
        if (alpha := _alpha(result.coordinates)) is not None
    ]
    schemes = dict.fromkeys(_scheme(coordinates) for coordinates, alpha, _ in found if math.isfinite(alpha))
    return [
        _Stop(_on_sweep(coordinates, scheme), alpha, value)
        for coordinates, alpha, value in found
        for scheme in (schemes if math.isinf(alpha) else [_scheme(coordinates)])
    ]


def _scheme(coordinates: Mapping[str, str]) -> str:
    """What a partition is beside its α: ``quantity(min=10)`` of ``quantity(alpha=0.1, min=10)``."""
    label = coordinates.get("partition", "")
    others = [argument for argument in arguments(label) if not argument.startswith("alpha=")]
    return head(label) + (f"({', '.join(others)})" if others else "")


def _on_sweep(coordinates: Mapping[str, str], scheme: str) -> dict[str, str]:
    return {
        axis: scheme if axis == "partition" else label
        for axis, label in coordinates.items()
        if axis == "partition" or not _is_alpha_axis(axis)
    }


def _is_alpha_axis(axis: str) -> bool:
    return axis == "partition" or (axis.startswith("partition.") and axis.endswith(".alpha"))


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
