"""Learning curves: accuracy against steps, bytes and seconds, mean over seeds with a band of one standard deviation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pandas as pd

from mosaic_bench.report.entry import with_prefix
from mosaic_bench.report.layout import Layout
from mosaic_bench.report.names import in_words
from mosaic_bench.report.plots.panels import by_setting, draw_pages, number_axis
from mosaic_bench.report.plots.plot import NotDrawn, Plot
from mosaic_bench.report.plots.style import Look
from mosaic_bench.report.study import Study
from mosaic_bench.suite import PlotSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = {
    "step": ["step"],
    "bytes": ["bytes_up", "bytes_down"],
    "seconds": ["client_seconds", "server_seconds"],
}
_LABELS = {"step": "step", "bytes": "communication ({}B)", "seconds": "time of clients and server (s)"}
_WORDS = {"step": "steps", "bytes": "communication", "seconds": "time"}
_MOST_MARKERS = 8


def draw_curves(study: Study, spec: PlotSpec) -> Iterator[Plot]:
    """Yield one figure per x, and per page of settings.

    Seeds are averaged step by step, x too: seconds differ from run to run. Of each method in each setting only the runs
    that got furthest are drawn, so that all points of a line are means of the same runs.
    """
    metric = spec.metric or study.report.headline.metric
    if metric not in study.frame or study.frame[metric].notna().sum() == 0:
        raise NotDrawn(f"no cell has measured {metric}")
    for x in spec.against:
        yield from _against(study, metric, x)


def _against(study: Study, metric: str, x: str) -> Iterator[Plot]:
    layout = by_setting(study)
    points = _points(study, layout, metric, x)
    percent = 100 if metric.startswith("acc/") else 1
    factor, prefix = with_prefix(float(points["x"].max())) if x == "bytes" else (1.0, "")

    def draw(axes: Axes, part: pd.DataFrame, name: str, look: Look) -> None:
        at, mean, spread = part["x"] * factor, part["mean"] * percent, part["std"].fillna(0) * percent
        every = max(1, len(part) // _MOST_MARKERS)
        axes.plot(at, mean, label=name, color=look.colour, marker=look.marker, linestyle=look.dash, markevery=every)
        axes.fill_between(at, mean - spread, mean + spread, color=look.colour, alpha=0.15, linewidth=0)

    for panels, data in draw_pages(study, layout, points, draw):
        for axes in panels.axes.values():
            number_axis(axes, _LABELS[x].format(prefix), integer=x == "step")
            axes.set_ylabel("accuracy (%)" if percent == 100 else metric)
        columns = ["algorithm", "setting", "step", "x", "mean", "std", "n"]
        yield Plot(
            f"curve-{x}{panels.suffix}",
            f"{in_words(metric)} against {_WORDS[x]}{panels.of_pages}",
            f"Learning curves of {data['algorithm'].nunique()} methods, mean over the seeds that got furthest with a "
            f"band of one standard deviation. {_left_out(data)}{_best_at_the_end(data)}",
            panels.figure,
            data[[name for name in columns if (x, name) != ("step", "x")]].rename(columns={"x": x, "mean": metric}),
        )


def _points(study: Study, layout: Layout, metric: str, x: str) -> pd.DataFrame:
    """Return row, column, step, x, mean, std, n and runs: a line per method, setting and step of its furthest runs."""
    place = {number: place for place, numbers in layout.places.items() for number in numbers}
    frame = study.frame[study.frame[metric].notna()]
    values = pd.DataFrame(
        {
            "row": [place[cell][0] for cell in frame["cell"]],
            "column": [place[cell][1] for cell in frame["cell"]],
            "cell": frame["cell"].to_numpy(),
            "step": frame["step"].to_numpy(),
            "reached": frame.groupby("cell")["step"].transform("max").to_numpy(),
            "x": frame[_COLUMNS[x]].sum(axis=1).to_numpy(),
            "value": frame[metric].to_numpy(),
        }
    )
    lines = values.groupby(["row", "column"], sort=False)
    values["runs"] = lines["cell"].transform("nunique")
    furthest = values[values["reached"] == lines["step"].transform("max")]
    grouped = furthest.groupby(["row", "column", "step"], sort=False)
    means = grouped.agg(
        x=("x", "mean"), mean=("value", "mean"), std=("value", "std"), n=("value", "size"), runs=("runs", "first")
    )
    return means.reset_index().sort_values(["row", "column", "step"], kind="stable")


def _left_out(data: pd.DataFrame) -> str:
    """Whose runs ended earlier than others of their line, as those do that diverge: a mean of the rest flatters."""
    shorter = data[data["n"] < data["runs"]].drop_duplicates(["algorithm", "setting"])
    missing = (shorter["runs"] - shorter["n"]).groupby(shorter["algorithm"], sort=False).sum()
    told = ", ".join(f"{name} {count}" for name, count in missing.items())
    return f"Runs left out because they ended earlier: {told}. " if told else ""


def _best_at_the_end(data: pd.DataFrame) -> str:
    """One sentence per figure: who is ahead at the last step, where that is one panel's question."""
    if data["setting"].nunique() > 1:
        return f"{data['setting'].nunique()} settings."
    last = data.groupby("algorithm", sort=False)["mean"].last()
    return f"At the last step {last.idxmax()} is highest, {last.idxmin()} lowest." if len(last) > 1 else ""
