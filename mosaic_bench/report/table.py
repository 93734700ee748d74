"""A table as numbers: means over seeds, spread, marks and gaps, before any markup."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev

from mosaic_bench.report.results import CellResult
from mosaic_bench.store import State
from mosaic_bench.suite import HeadlineSpec, TableSpec

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
    axes = list(results[0].coordinates)
    values = {axis: list(dict.fromkeys(r.coordinates[axis] for r in results)) for axis in axes}
    wanted = spec.columns if spec.columns is not None else [a for a in axes if a not in (spec.rows, "seed")]
    levels = tuple(axis for axis in wanted if len(values[axis]) > 1)
    fixed = [values[axis][0] for axis in wanted if len(values[axis]) == 1]
    groups: dict[tuple[str, Column], list[CellResult]] = defaultdict(list)
    for result in results:
        column = tuple(result.coordinates[axis] for axis in levels)
        groups[result.coordinates[spec.rows], column].append(result)
    columns = list(dict.fromkeys(column for _, column in groups))
    rows = values[spec.rows]
    entries = {place: _entry(group, headline, spec) for place, group in groups.items()}
    for column in columns:
        entries |= _marked({(row, column): entries[row, column] for row in rows if (row, column) in entries}, spec)
    notes = list(dict.fromkeys(_note(result) for result in results if result.status.message))
    caption = _caption(spec, title, fixed, headline, entries)
    return Table(spec.name, caption, levels, rows, columns, entries, notes, titles)


def _entry(group: list[CellResult], headline: HeadlineSpec, spec: TableSpec) -> Entry:
    numbers = [number for result in group if (number := result.headline(headline)) is not None]
    if not numbers:
        return Entry(None, None, 0, next((GAPS[r.status.state] for r in group if r.status.state in GAPS), "--"))
    spread = stdev(numbers) if len(numbers) > 1 and spec.spread == "std" else None
    return Entry(fmean(numbers), spread, len(numbers))


def _marked(column: dict[tuple[str, Column], Entry], spec: TableSpec) -> dict[tuple[str, Column], Entry]:
    ranked = sorted({entry.mean for entry in column.values() if entry.mean is not None}, reverse=True)
    marks = {mean: mark for mean, mark in zip(ranked, ("best", "second"), strict=False) if mark in spec.mark}
    return {
        place: Entry(e.mean, e.std, e.n, e.gap, marks.get(e.mean, "") if e.mean is not None else "")
        for place, e in column.items()
    }


def _caption(
    spec: TableSpec, title: str, fixed: list[str], headline: HeadlineSpec, entries: dict[tuple[str, Column], Entry]
) -> str:
    counts = sorted({entry.n for entry in entries.values() if entry.n})
    seeds = (
        "no finished cells"
        if not counts
        else f"n = {counts[0]}"
        if len(counts) == 1
        else f"n = {counts[0]} to {counts[-1]}"
    )
    rule = {"last": "last step", "mean_last_k": f"mean of the last {headline.k} evaluated steps"}.get(
        headline.rule, "step that was best on validation images"
    )
    setting = f" ({', '.join(fixed)})" if fixed else ""
    spread = "mean ± sample standard deviation over seeds" if spec.spread == "std" else "mean over seeds"
    return f"{spec.caption or title}{setting}. {headline.metric} in %, {rule}; {spread}, {seeds}."


def _note(result: CellResult) -> str:
    return f"{', '.join(result.coordinates.values())}: {result.status.state.value}: {result.status.message}"
