"""One panel per setting of the grid, one line or point per algorithm, one legend below all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mosaic_bench.report.layout import Label, Layout, lay_out
from mosaic_bench.report.names import display
from mosaic_bench.report.plots.style import COLUMN, PAGE, Look, looks
from mosaic_bench.report.study import Study
from mosaic_bench.suite import TableSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_PANELS = 9  # on one page; more settings go on to another figure
_ACROSS = 3
_PANEL_HEIGHT = 1.75  # inches
_LEGEND_WIDTH = 0.068  # inches a letter


@dataclass(frozen=True)
class Panels:
    """A page of panels.

    Attributes:
        figure: of matplotlib.
        axes: setting -> axes.
        number, pages: of this page, from 1.
    """

    figure: Figure
    axes: dict[Label, Axes]
    number: int
    pages: int

    @property
    def suffix(self) -> str:
        """What tells the page's file from the others: nothing where there is one page."""
        return f"-{self.number}" if self.pages > 1 else ""

    @property
    def of_pages(self) -> str:
        """`` (page 1 of 3)``, or nothing."""
        return f" (page {self.number} of {self.pages})" if self.pages > 1 else ""


def by_setting(study: Study, without: Sequence[str] = ()) -> Layout:
    """Place cells by algorithm (rows) and setting (columns): every axis but algorithm, seed and ``without``."""
    return lay_out_settings(
        [{axis: label for axis, label in result.coordinates.items() if axis not in without} for result in study.results]
    )


def lay_out_settings(coordinates: Sequence[Mapping[str, str]]) -> Layout:
    """Place coordinates by algorithm (rows) and setting (columns): every other axis but the seed."""
    rows, columns = TableSpec().axes(list(coordinates[0]))
    return lay_out(coordinates, rows, columns)


def draw_pages(
    study: Study, layout: Layout, points: pd.DataFrame, draw: Callable[[Axes, pd.DataFrame, str, Look], None]
) -> Iterator[tuple[Panels, pd.DataFrame]]:
    """Yield pages on which every algorithm is drawn in every setting, each with its points and a legend below.

    Args:
        study: the results.
        layout: as ``by_setting`` gives it.
        points: with the columns ``row`` and ``column``, places of the layout; the rest is for ``draw``.
        draw: draws one algorithm's points into one setting's axes, under the name and look given.

    Yields:
        A page, and its points with the columns ``algorithm`` and ``setting`` for readers.
    """
    shown = _algorithm_looks(study, layout)
    parts = dict(iter(points.groupby(["row", "column"], sort=False)))
    for panels in _pages(study, [c for c in layout.columns if any((row, c) in parts for row in shown)]):
        drawn = []
        for setting, axes in panels.axes.items():
            for row, (name, look) in shown.items():
                if (row, setting) in parts:
                    part = parts[row, setting]
                    draw(axes, part, name, look)
                    drawn.append(part.assign(algorithm=name, setting=setting_name(study, setting)))
        _add_legend(panels)
        yield panels, pd.concat(drawn)


def _pages(study: Study, settings: Sequence[Label]) -> Iterator[Panels]:
    """Yield figures with one titled panel per setting."""
    from matplotlib.figure import Figure

    total = ceil(len(settings) / _MOST_PANELS)
    for number in range(total):
        shown = settings[number * _MOST_PANELS : (number + 1) * _MOST_PANELS]
        across = 2 if len(shown) == 4 else min(_ACROSS, len(shown))
        down = ceil(len(shown) / across)
        width, height = (COLUMN, 2.3) if len(shown) == 1 else (PAGE * max(2, across) / _ACROSS, _PANEL_HEIGHT * down)
        figure = Figure(figsize=(width, height + 0.45), layout="constrained")
        grid = figure.subplots(down, across, squeeze=False).ravel()
        for axes in grid[len(shown) :]:
            axes.remove()
        for setting, axes in zip(shown, grid, strict=False):
            axes.set_title(wrapped(setting_name(study, setting), width / across))
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(True, alpha=0.4)
        yield Panels(figure, dict(zip(shown, grid, strict=False)), number + 1, total)


def draw_points(axes: Axes, points: pd.DataFrame, at: Iterable[float], name: str, look: Look, joined: bool) -> None:
    """Draw means in percent with one standard deviation (columns ``mean`` and ``std``), joined by a line or not.

    A mean of one seed has no bar.
    """
    axes.errorbar(
        list(at),
        100 * points["mean"],
        100 * points["std"] if points["std"].notna().any() else None,
        label=name,
        color=look.colour,
        marker=look.marker,
        linestyle=look.dash if joined else "none",
        markersize=4 if joined else 6,
        elinewidth=0.7,
        capsize=1.5,
    )


def number_axis(axes: Axes, label: str, integer: bool = False) -> None:
    """Label the x-axis; whole numbers only for steps, plain numbers where it is logarithmic."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

    axes.set_xlabel(label)
    if axes.get_xscale() == "log":
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=integer))


def setting_name(study: Study, setting: Label) -> str:
    """``CIFAR-10, Dirichlet(α=0.1)``."""
    return ", ".join(display(part, study.titles) for part in setting)


def wrapped(text: str, inches: float) -> str:
    """Break a title into lines that fit."""
    from textwrap import wrap

    return "\n".join(wrap(text, max(16, int(inches / 0.075)), break_long_words=False))


def _algorithm_looks(study: Study, layout: Layout) -> dict[Label, tuple[str, Look]]:
    """Row -> how the algorithm is called and drawn, in the order of the grid."""
    found = looks(label for (label,) in layout.rows)
    return {(label,): (display(label, study.titles), found[label]) for (label,) in layout.rows}


def _add_legend(panels: Panels) -> None:
    """Put one legend below the panels, so that it never covers data; as many columns as fit the width."""
    entries: dict[str, Any] = {}
    for axes in panels.axes.values():
        handles, labels = axes.get_legend_handles_labels()
        entries |= {label: handle for label, handle in zip(labels, handles, strict=True) if label not in entries}
    if entries:
        widest = max(map(len, entries)) * _LEGEND_WIDTH + 0.55
        across = int(np.clip(panels.figure.get_figwidth() // widest, 1, len(entries)))
        panels.figure.legend(
            list(entries.values()), list(entries), loc="outside lower center", ncols=across, handlelength=2.6
        )
