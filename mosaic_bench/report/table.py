"""A table as numbers: means over seeds, spread, marks and gaps, before any markup."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev

from mosaic_bench.report.names import display
from mosaic_bench.report.results import CellResult
from mosaic_bench.store import State
from mosaic_bench.suite import HeadlineSpec, TableSpec
from mosaic_bench.suite.labels import without_shared_arguments

Column = tuple[str, ...]

GAPS = {
    State.UNSUPPORTED: "n/a",
    State.FAILED: "fail",
    State.DIVERGED: "div",
    State.TIMEOUT: "time",
    State.OOM: "oom",
}
"""What stands where a number can't; anything else that is missing is ``--``."""


@dataclass(frozen=True)
class Entry:
    """One place of a table.

    Attributes:
        mean: over seeds; None for a gap.
        std: sample standard deviation (n - 1); None with fewer than two seeds.
        n: seeds in the mean.
        gap: what stands where there is no mean.
        mark: "best", "second" or "".
    """

    mean: float | None
    std: float | None
    n: int
    gap: str = ""
    mark: str = ""

    @classmethod
    def absent(cls) -> Entry:
        """A place that the grid has no cell for, or none with a result."""
        return cls(None, None, 0, gap="--")


@dataclass(frozen=True)
class Table:
    """A table over one suite.

    Attributes:
        name, caption: from the suite.
        levels: axes of the column levels.
        rows, columns: labels in the order of the grid.
        entries: (row, column) -> entry.
        titles: what algorithms call themselves, by name.
        notes: reasons for the gaps, one sentence each.
    """

    name: str
    caption: str
    levels: tuple[str, ...]
    rows: list[str]
    columns: list[Column]
    entries: dict[tuple[str, Column], Entry]
    notes: list[str]
    titles: Mapping[str, str] = field(default_factory=dict)


def make_table(
    results: Sequence[CellResult], title: str, spec: TableSpec, headline: HeadlineSpec, titles: Mapping[str, str]
) -> Table:
    """Group cells by row and column, average over what is left (seeds), and mark each column's best means.

    Means that are equal before rounding share a mark.
    """
    values = {axis: list(dict.fromkeys(r.coordinates[axis] for r in results)) for axis in results[0].coordinates}
    wanted = spec.columns if spec.columns is not None else [a for a in values if a not in (spec.rows, "seed")]
    levels = tuple(axis for axis in wanted if len(values[axis]) > 1)
    results, fixed = _told_apart(results, values, wanted)
    groups: dict[tuple[str, Column], list[CellResult]] = defaultdict(list)
    for result in results:
        column = tuple(result.coordinates[axis] for axis in levels)
        groups[result.coordinates[spec.rows], column].append(result)
    orders = {axis: list(dict.fromkeys(r.coordinates[axis] for r in results)) for axis in (*levels, spec.rows)}
    columns = _in_order({column for _, column in groups}, [orders[axis] for axis in levels])
    rows = orders[spec.rows]
    entries = {place: _entry(group, headline, spec) for place, group in groups.items()}
    for column in columns:
        entries |= _marked({(row, column): entries[row, column] for row in rows if (row, column) in entries}, spec)
    said = [(result, _what(result)) for result in results]
    notes = list(dict.fromkeys(_note(result, what, titles) for result, what in said if what))
    caption = _caption(spec, title, [display(text, titles) for text in fixed], headline, entries)
    return Table(spec.name, caption, levels, rows, columns, entries, notes, titles)


def _told_apart(
    results: Sequence[CellResult], values: Mapping[str, list[str]], axes: Iterable[str]
) -> tuple[list[CellResult], list[str]]:
    """Leave only what differs in the labels of each axis; return the rest, for the caption, beside the results."""
    short: dict[str, dict[str, str]] = {}
    fixed: list[str] = []
    for axis in axes:
        if len(values[axis]) == 1:
            fixed.append(values[axis][0])
        else:
            short[axis], shared = without_shared_arguments(values[axis])
            fixed += shared
    return [
        replace(r, coordinates={a: short.get(a, {}).get(text, text) for a, text in r.coordinates.items()})
        for r in results
    ], fixed


def _in_order(columns: Iterable[Column], labels: Sequence[Sequence[str]]) -> list[Column]:
    """Sort columns as the axes list their values, the outermost level first, so that its groups stay together."""
    return sorted(columns, key=lambda column: [known.index(part) for known, part in zip(labels, column, strict=True)])


def _entry(group: list[CellResult], headline: HeadlineSpec, spec: TableSpec) -> Entry:
    numbers = [number for result in group if (number := result.headline(headline)) is not None]
    if not numbers:
        gaps = [GAPS[result.status.state] for result in group if result.status.state in GAPS]
        return replace(Entry.absent(), gap=gaps[0]) if gaps else Entry.absent()
    spread = stdev(numbers) if len(numbers) > 1 and spec.spread == "std" else None
    return Entry(fmean(numbers), spread, len(numbers))


def _marked(column: dict[tuple[str, Column], Entry], spec: TableSpec) -> dict[tuple[str, Column], Entry]:
    ranked = sorted({entry.mean for entry in column.values() if entry.mean is not None}, reverse=True)
    marks = {mean: mark for mean, mark in zip(ranked, ("best", "second"), strict=False) if mark in spec.mark}
    return {
        place: replace(entry, mark=marks.get(entry.mean, "")) if entry.mean is not None else entry
        for place, entry in column.items()
    }


def _caption(
    spec: TableSpec, title: str, fixed: list[str], headline: HeadlineSpec, entries: dict[tuple[str, Column], Entry]
) -> str:
    rule = {"last": "last step", "mean_last_k": f"mean of the last {headline.k} evaluated steps"}.get(
        headline.rule, "step that was best on validation images"
    )
    setting = f" ({', '.join(fixed)})" if fixed else ""
    spread = "mean ± sample standard deviation over seeds" if spec.spread == "std" else "mean over seeds"
    counts = _counts(entries.values())
    return f"{spec.caption or title}{setting}. {_in_words(headline.metric)} in %, {rule}; {spread}, {counts}."


def _counts(entries: Iterable[Entry]) -> str:
    counts = [entry.n for entry in entries if entry.n]
    if not counts:
        return "no finished cells"
    least, most = min(counts), max(counts)
    return f"n = {least}" if least == most else f"n = {least} to {most}"


def _in_words(metric: str) -> str:
    """``acc/server@test`` -> ``Accuracy of the server on test images``."""
    predictor, _, split = metric.removeprefix("acc/").partition("@")
    images = {"test": "test images", "val": "validation images", "local": "the clients' own test images"}[split]
    return f"Accuracy of the {predictor} on {images}"


def _what(result: CellResult) -> str:
    """Why there is no number, or none to rely on; empty where there is one."""
    if result.status.message:
        return f"{result.status.state.value}: {' '.join(result.status.message.split())}"
    return f"stale: {result.stale}" if result.stale else ""


def _note(result: CellResult, what: str, titles: Mapping[str, str]) -> str:
    """One line without the seed, so that a reason that all seeds share is given once."""
    setting = ", ".join(display(text, titles) for axis, text in result.coordinates.items() if axis != "seed")
    return f"{setting}: {what}"
