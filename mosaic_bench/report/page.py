"""One self-contained HTML page about a study: it needs no network, no server and nothing beside it."""

from __future__ import annotations

import json
import shlex
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from mosaic_bench.report.layout import Label
from mosaic_bench.report.names import display
from mosaic_bench.report.plots import NotDrawn, Plot, draw_plots
from mosaic_bench.report.study import Study
from mosaic_bench.report.table import Table, make_table
from mosaic_bench.store import State
from mosaic_bench.suite import PlotSpec

_MOST_OF_A_KIND = 4  # figures of one kind on the page; `plots` draws all of them
_DPI = 144


@dataclass(frozen=True)
class _Cell:
    """A line of the list of cells."""

    key: str
    labels: list[str]
    state: str
    stale: str
    progress: str
    value: str
    seconds: str


@dataclass(frozen=True)
class _Image:
    """A figure as it stands in the page."""

    title: str
    description: str
    source: str


def render_page(study: Study) -> str:
    """Return the page: what was run and what is missing, tables, figures, failures, provenance, how to repeat it."""
    environment = Environment(
        loader=PackageLoader("mosaic_bench.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    images, undrawn = _figures(study)
    return environment.get_template("page.html.j2").render(
        study=study,
        where=shlex.quote(str(study.path or study.suite)),
        results=None if study.path is None else shlex.quote(str(study.path.parent)),
        axes=_telling_axes(study),
        counts=Counter(result.status.state.value for result in study.results),
        tables=[make_table(study, spec) for spec in study.report.tables],
        header=_header,
        name=lambda label: display(label, study.titles),
        images=images,
        undrawn=undrawn,
        cells=_cells(study),
        missing=_missing(study),
        environments=_environments(study),
    )


def _telling_axes(study: Study) -> list[str]:
    return [axis for axis, labels in study.axes.items() if len(labels) > 1 or axis == "algorithm"]


def _header(table: Table) -> list[list[tuple[str, int]]]:
    """Levels of the column header, outermost first: (text, columns that it spans)."""
    depth = max(1, len(table.column_axes))
    levels = []
    for level in range(depth):

        def upto(column: Label, level: int = level) -> Label:
            return column[: level + 1]

        runs = [(key, len(list(run))) for key, run in groupby(table.columns, key=upto)]
        levels.append([(display(key[-1], table.titles) if key else "accuracy", span) for key, span in runs])
    return levels


def _figures(study: Study) -> tuple[list[_Image], list[tuple[str, str]]]:
    images, undrawn = [], []
    for spec in _one_figure_each(study.report.plots):
        try:
            most = 1 if spec.against else _MOST_OF_A_KIND
            images += [_image(plot) for plot in draw_plots(study, spec, most)]
        except NotDrawn as reason:
            undrawn.append((spec.kind, str(reason)))
    return images, list(dict.fromkeys(undrawn))


def _one_figure_each(specs: list[PlotSpec]) -> Iterator[PlotSpec]:
    """Split what is drawn against several things: a page of a paper grid shows the first figure of each."""
    for spec in specs:
        if spec.against:
            yield from (spec.model_copy(update={"x": [x]}) for x in spec.against)
        else:
            yield spec


def _image(plot: Plot) -> _Image:
    source = "data:image/png;base64," + b64encode(plot.image("png", _DPI)).decode()
    return _Image(plot.title, plot.description, source)


def _cells(study: Study) -> list[_Cell]:
    axes = _telling_axes(study)
    values = study.cells["value"].to_numpy()
    seconds = study.cells[["client_seconds", "server_seconds"]].sum(axis=1, min_count=1).to_numpy()
    return [
        _Cell(
            result.key or "",
            [display(result.coordinates[axis], study.titles) for axis in axes],
            result.status.state.value,
            result.stale,
            f"{result.status.step}/{result.status.steps}" if result.status.steps else "",
            f"{100 * value:.2f}" if value == value else "",
            f"{time:.1f}" if time == time else "",
        )
        for result, value, time in zip(study.results, values, seconds, strict=True)
    ]


def _missing(study: Study) -> list[dict[str, Any]]:
    """Cells without a result or with an old one, grouped by state and reason."""
    groups: dict[tuple[str, str], list[str]] = {}
    for result in study.results:
        if result.status.state is not State.DONE:
            groups.setdefault((result.status.state.value, result.status.message), []).append(result.key or "")
        elif result.stale:
            groups.setdefault(("stale", result.stale), []).append(result.key or "")
    return [{"state": state, "reason": reason, "keys": keys} for (state, reason), keys in groups.items()]


def _environments(study: Study) -> list[dict[str, Any]]:
    """Where cells ran: each different environment once, with the number of cells that it made."""
    found: Counter[str] = Counter()
    for result in study.results:
        environment = result.folder.environment() if result.folder is not None else {}
        if environment:
            told = {part: environment.get(part) for part in ("git", "versions", "machine", "numeric")}
            found[json.dumps(told, sort_keys=True)] += 1
    return [json.loads(text) | {"cells": count} for text, count in found.most_common()]
