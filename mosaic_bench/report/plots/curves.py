"""Learning curves: accuracy against steps, bytes and seconds, mean over seeds with a band of one standard deviation."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from mosaic_bench.report.entry import with_prefix
from mosaic_bench.report.names import in_words
from mosaic_bench.report.plots.panels import add_legend, algorithm_looks, by_setting, number_axis, pages, setting_name
from mosaic_bench.report.plots.plot import NotDrawn, Plot
from mosaic_bench.report.study import Study
from mosaic_bench.suite import PlotSpec

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

    Seeds are averaged step by step, x too: seconds differ from run to run.
    """
    metric = spec.metric or study.report.headline.metric
    if metric not in study.frame or study.frame[metric].notna().sum() == 0:
        raise NotDrawn(f"no cell has measured {metric}")
    for x in spec.against:
        yield from _against(study, metric, x)


def _against(study: Study, metric: str, x: str) -> Iterator[Plot]:
    layout = by_setting(study)
    points = _points(study, metric, x)
    shown = algorithm_looks(study, layout)
    percent = 100 if metric.startswith("acc/") else 1
    factor, prefix = with_prefix(float(points["x"].max())) if x == "bytes" else (1.0, "")
    drawn = dict(iter(points.groupby(["row", "column"], sort=False)))
    for panels in pages(study, [c for c in layout.columns if any((row, c) in drawn for row in layout.rows)]):
        on_page = []
        for setting, axes in panels.axes.items():
            for row, (name, look) in shown.items():
                if (row, setting) not in drawn:
                    continue
                part = drawn[row, setting]
                at, mean = part["x"] * factor, part["mean"] * percent
                axes.plot(
                    at,
                    mean,
                    label=name,
                    color=look.colour,
                    marker=look.marker,
                    linestyle=look.dash,
                    markevery=max(1, len(part) // _MOST_MARKERS),
                )
                spread = part["std"].fillna(0) * percent
                axes.fill_between(at, mean - spread, mean + spread, color=look.colour, alpha=0.15, linewidth=0)
                on_page.append(part.assign(algorithm=name, setting=setting_name(study, setting)))
            number_axis(axes, _LABELS[x].format(prefix), integer=x == "step")
            axes.set_ylabel("accuracy (%)" if percent == 100 else metric)
        add_legend(panels)
        data = pd.concat(on_page)[["algorithm", "setting", "step", "x", "mean", "std", "n"]]
        yield Plot(
            f"curve-{x}{panels.suffix}",
            f"{in_words(metric)} against {_WORDS[x]}{panels.of_pages}",
            f"Learning curves of {len(shown)} methods, mean over seeds with a band of one standard deviation. "
            f"{_best_at_the_end(data)}",
            panels.figure,
            data.rename(columns={"x": x, "mean": metric}).loc[:, lambda frame: ~frame.columns.duplicated()],
        )


def _points(study: Study, metric: str, x: str) -> pd.DataFrame:
    """Return row, column, step, x, mean, std and n: one line per algorithm, setting and evaluated step."""
    layout = by_setting(study)
    place = {number: place for place, numbers in layout.places.items() for number in numbers}
    frame = study.frame[study.frame[metric].notna()]
    values = pd.DataFrame(
        {
            "row": [place[cell][0] for cell in frame["cell"]],
            "column": [place[cell][1] for cell in frame["cell"]],
            "step": frame["step"].to_numpy(),
            "x": frame[_COLUMNS[x]].sum(axis=1).to_numpy(),
            "value": frame[metric].to_numpy(),
        }
    )
    grouped = values.groupby(["row", "column", "step"], sort=False)
    means = grouped.agg(x=("x", "mean"), mean=("value", "mean"), std=("value", "std"), n=("value", "size"))
    return means.reset_index().sort_values(["row", "column", "step"], kind="stable")


def _best_at_the_end(data: pd.DataFrame) -> str:
    """One sentence per figure: who is ahead at the last step, where that is one panel's question."""
    if data["setting"].nunique() > 1:
        return f"{data['setting'].nunique()} settings."
    last = data.groupby("algorithm", sort=False)["mean"].last()
    return f"At the last step {last.idxmax()} is highest, {last.idxmin()} lowest." if len(last) > 1 else ""
