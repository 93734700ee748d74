"""Average ranks over settings and data sets, with Nemenyi's critical difference (Demsar, JMLR 2006)."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import shorten
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mosaic_bench.report.layout import Label, Layout
from mosaic_bench.report.names import display
from mosaic_bench.report.plots.panels import by_setting
from mosaic_bench.report.plots.plot import NotDrawn, Plot
from mosaic_bench.report.plots.style import COLUMN, looks
from mosaic_bench.report.statistics import LEVEL, Ranking, rank_methods
from mosaic_bench.report.study import Study
from mosaic_bench.suite import PlotSpec
from mosaic_bench.suite.labels import head

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROW, _BAR, _LINE = 0.17, 0.11, 0.42  # inches: a name's line, a bar's, and where the axis lies
_LETTER, _TICK = 0.062, 0.2  # inches: a letter's width, and the least between two ranks
_MOST_LETTERS = 40


def draw_critical_difference(study: Study, spec: PlotSpec) -> Iterator[Plot]:
    """Yield the diagram over the settings in which every method has a number."""
    if "algorithm" not in study.axes:
        raise NotDrawn("ranks need an axis of algorithms")
    scores, seeds = scores_by_setting(study)
    if scores.shape[1] < 2 or len(scores.dropna()) < 2:
        raise NotDrawn(
            study.unmeasured or "ranks need two methods and two settings in which all of them have a number of one seed"
        )
    ranking = rank_methods(scores)
    data = ranking.ranks.rename_axis("algorithm").rename("average rank").reset_index()
    names = [display(label, study.titles) for label in data["algorithm"]]
    listed = ", ".join(f"{name} {rank:.2f}" for name, rank in zip(names, ranking.ranks, strict=True))
    over = f"{ranking.settings} settings of {ranking.datasets} data set{'s' * (ranking.datasets != 1)}"
    counts = sorted({count for count in seeds if count})
    n = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    yield Plot(
        "critical-difference",
        f"Average ranks over {over}",
        f"Average ranks over {over}, 1 is best, by {study.measured} on the seeds that all methods have (n = {n}): "
        f"{listed}. {_verdict(ranking)}",
        _draw(study, ranking),
        data.assign(algorithm=names),
    )


def scores_by_setting(study: Study) -> tuple[pd.DataFrame, list[int]]:
    """Return mean headlines over the seeds that all methods of a setting have.

    Returns:
        One row per setting, its index the data set, and one column per algorithm that has a number anywhere; missing
        where there is no such seed. And how many seeds each row is a mean of.
    """
    layout, values = by_setting(study), study.cells["value"].to_numpy()
    cells = {place: study.by_seed(numbers) for place, numbers in layout.places.items()}
    ranked = [row for row in layout.rows if any(cells.get((row, column)) for column in layout.columns)]
    rows, counts = [], []
    for column in layout.columns:
        here = [cells.get((row, column), {}) for row in ranked]
        common = sorted(set.intersection(*map(set, here))) if here else []
        rows.append([values[[by_seed[seed] for seed in common]].mean() if common else np.nan for by_seed in here])
        counts.append(len(common))
    datasets = [_dataset(study, layout, column) for column in layout.columns]
    return pd.DataFrame(rows, index=datasets, columns=[label for (label,) in ranked]), counts


def _dataset(study: Study, layout: Layout, column: Label) -> str:
    """The data set of a setting, whatever part of it is taken; a grid without that axis has one."""
    number = next(numbers[0] for (_, here), numbers in layout.places.items() if here == column)
    coordinates = study.results[number].coordinates
    return head(coordinates.get("dataset") or coordinates.get("dataset.name", ""))


def _verdict(ranking: Ranking) -> str:
    caveat = f" {ranking.caveat[:1].upper()}{ranking.caveat[1:]}." if ranking.caveat else ""
    if ranking.p is None:
        return f"No test of the ranks.{caveat}"
    differ = "differ" if ranking.p < LEVEL else "do not differ significantly"
    return f"The ranks {differ} (Friedman, p = {ranking.p:.2g}); joined methods do not differ (Nemenyi, 5 %).{caveat}"


def _draw(study: Study, ranking: Ranking) -> Figure:
    """An axis of ranks, a line down to each method's name, and bars that join what does not differ."""
    from matplotlib.figure import Figure

    ranks, groups = ranking.ranks, _groups(ranking)
    names = [shorten(f"{display(str(label), study.titles)} {rank:.2f}", _MOST_LETTERS) for label, rank in ranks.items()]
    half = (len(ranks) + 1) // 2
    margin = 0.2 + _LETTER * max(map(len, names))
    width = max(COLUMN, 2 * margin + _TICK * (len(ranks) - 1))
    top = _LINE + 0.15 + _BAR * len(groups)
    figure = Figure(figsize=(width, top + _ROW * half + 0.08))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(figure.get_figheight(), 0)  # one unit is one inch, downwards

    def at(rank: float) -> float:
        return margin + (width - 2 * margin) * (rank - 1) / (len(ranks) - 1)

    axes.plot([at(1), at(len(ranks))], [_LINE] * 2, color="black", linewidth=0.8)
    for rank in range(1, len(ranks) + 1):
        axes.plot([at(rank)] * 2, [_LINE, _LINE - 0.05], color="black", linewidth=0.8)
        axes.text(at(rank), _LINE - 0.08, str(rank), ha="center", va="bottom", fontsize=7)
    if ranking.critical_difference is not None:
        _draw_scale(axes, at(1), at(min(1 + ranking.critical_difference, len(ranks) + 0.5)), ranking)
    styles = looks(ranks.index)
    for number, (label, rank) in enumerate(ranks.items()):
        best_half = number < half
        y = top + _ROW * ((number if best_half else len(ranks) - 1 - number) + 0.5)
        edge = at(1) - 0.08 if best_half else at(len(ranks)) + 0.08
        look = styles[str(label)]
        axes.plot([at(rank), at(rank), edge], [_LINE, y, y], color=look.colour, linewidth=0.8)
        axes.plot(at(rank), _LINE, color=look.colour, marker=look.marker, markersize=4)
        side, gap = ("right", -0.04) if best_half else ("left", 0.04)
        axes.text(edge + gap, y, names[number], ha=side, va="center", fontsize=7)
    for number, (first, last) in enumerate(groups):
        y = _LINE + 0.1 + _BAR * number
        axes.plot([at(first) - 0.03, at(last) + 0.03], [y, y], color="#444444", linewidth=2.5)
    return figure


def _draw_scale(axes: Axes, left: float, right: float, ranking: Ranking) -> None:
    """The length of the critical difference, above the axis."""
    axes.plot([left, right], [0.12, 0.12], color="black", linewidth=0.8)
    for end in (left, right):
        axes.plot([end, end], [0.09, 0.15], color="black", linewidth=0.8)
    text = f"CD = {ranking.critical_difference:.2f}"
    axes.text(left - 0.06, 0.12, text, ha="right", va="center", fontsize=7)


def _groups(ranking: Ranking) -> list[tuple[float, float]]:
    """First and last rank of every maximal run of methods that do not differ."""
    if ranking.critical_difference is None:
        return []
    ranks = ranking.ranks.to_numpy()
    runs = [(first, ranks[ranks <= first + ranking.critical_difference].max()) for first in ranks]
    joined = [run for run in runs if run[1] > run[0]]
    return [run for n, run in enumerate(joined) if n == 0 or run[1] > joined[n - 1][1]]
