"""Decision regions on a two-dimensional problem, one panel per model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mosaic_bench.report.plots.arrays import Arrays, find_arrays
from mosaic_bench.report.plots.panels import wrapped
from mosaic_bench.report.plots.plot import Plot
from mosaic_bench.report.plots.style import PAGE
from mosaic_bench.report.study import Study
from mosaic_bench.suite import PlotSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PREFIX = "region/"
_SAMPLES = "samples/"
_COLOURS = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#0072B2", "#D55E00", "#F0E442", "#999999")
_MARKERS = "osD^vPp<"
_MOST_POINTS = 300


def draw_decision_regions(study: Study, spec: PlotSpec) -> Iterator[Plot]:
    """Yield one figure per cell that left regions: classes as areas, test points and generated samples above them."""
    for arrays in find_arrays(study, "decision_regions", ("x", "y")):
        regions = {name.removeprefix(_PREFIX): v for name, v in arrays.values.items() if name.startswith(_PREFIX)}
        x, y = np.meshgrid(arrays.values["x"], arrays.values["y"])
        lines = [
            pd.DataFrame({"model": name, "x": x.ravel(), "y": y.ravel(), "class": region.ravel()})
            for name, region in regions.items()
        ]
        yield Plot(
            arrays.name,
            f"Decision regions: {arrays.cell}",
            f"Decision regions of {', '.join(regions)} on a two-dimensional problem, one colour per class; points are "
            "test points, crosses generated samples.",
            _draw(arrays, regions),
            pd.concat(lines),
        )


def _draw(arrays: Arrays, regions: dict[str, np.ndarray]) -> Figure:
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure

    across = min(3, len(regions))
    down = -(-len(regions) // across)
    x, y = arrays.values["x"], arrays.values["y"]
    width = PAGE / 3
    height = width * np.clip(np.ptp(y) / np.ptp(x), 0.3, 3) + 0.25
    figure = Figure(figsize=(width * across, 0.25 + height * down), layout="constrained")
    figure.suptitle(wrapped(arrays.cell, width * across))
    grid = figure.subplots(down, across, squeeze=False).ravel()
    classes = int(max(region.max() for region in regions.values())) + 1
    colours = [_COLOURS[label % len(_COLOURS)] for label in range(classes)]
    for axes, (name, region) in zip(grid, regions.items(), strict=False):
        axes.pcolormesh(
            x, y, region, cmap=ListedColormap(colours), vmin=-0.5, vmax=classes - 0.5, alpha=0.35, rasterized=True
        )
        for label in np.unique(region) if np.ptp(region) else ():
            axes.contour(x, y, region == label, levels=[0.5], colors="black", linewidths=0.6)
        _scatter(axes, arrays, name, colours)
        axes.set_title(name)
        axes.set(xticks=[], yticks=[], aspect="equal", xlim=(x.min(), x.max()), ylim=(y.min(), y.max()))
    for axes in grid[len(regions) :]:
        axes.remove()
    return figure


def _scatter(axes: Axes, arrays: Arrays, name: str, colours: list[str]) -> None:
    """Test points by class, and the samples that go with this model."""
    points, labels = arrays.values.get("points"), arrays.values.get("labels")
    if points is not None and labels is not None:
        for label in np.unique(labels[:_MOST_POINTS]):
            chosen = points[:_MOST_POINTS][labels[:_MOST_POINTS] == label]
            marker = _MARKERS[label % len(_MARKERS)]
            axes.scatter(
                chosen[:, 0], chosen[:, 1], s=9, color=colours[label], marker=marker, edgecolors="black", linewidths=0.3
            )
    samples = arrays.values.get(_SAMPLES + name)
    if samples is not None:
        shown = samples[:_MOST_POINTS]
        axes.scatter(shown[:, 0], shown[:, 1], s=10, color="black", marker="x", linewidths=0.6)
