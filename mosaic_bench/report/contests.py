"""Which means of a table compete: those of one setting, wherever the table puts its methods."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from mosaic_bench.report.entry import Entry
from mosaic_bench.report.layout import Label, Layout, Place
from mosaic_bench.report.statistics import settled


@dataclass(frozen=True)
class Contest:
    """Means of one setting, two or more.

    Attributes:
        places: where they stand, in the order of the table.
        eligible: mean by place of those over the most seeds: a mean over fewer may owe its rank to easy ones.
    """

    places: list[Place]
    eligible: dict[Place, float]


def contests(layout: Layout, entries: Mapping[Place, Entry]) -> list[Contest]:
    """Return the contests of a table: what shares every label but those of the method and its hyper-parameters.

    In a grid of one method the innermost level of the rows that varies competes, unless it is the data set.
    """
    competing = _competing_levels(layout)
    by_setting: dict[Label, dict[Place, Entry]] = defaultdict(dict)
    for row, column in ((row, column) for row in layout.rows for column in layout.columns):
        entry = entries.get((row, column))
        if entry is not None and entry.mean is not None:
            setting = tuple(label for level, label in enumerate((*row, *column)) if level not in competing)
            by_setting[setting][row, column] = entry
    return [Contest(list(here), _eligible(here)) for here in by_setting.values() if len(here) > 1]


def _competing_levels(layout: Layout) -> set[int]:
    """Levels of rows and columns, counted through, whose labels tell competitors apart."""
    levels = [*zip(*layout.rows, strict=True), *zip(*layout.columns, strict=True)]
    sections = [axis.partition(".")[0] for axis in (*layout.row_axes, *layout.column_axes)]
    several = [level for level, labels in enumerate(levels) if len(set(labels)) > 1]
    methods = {level for level in several if sections[level] == "algorithm"}
    others = [level for level in several if level < len(layout.row_axes) and sections[level] != "dataset"]
    return methods or set(others[-1:])


def _eligible(entries: Mapping[Place, Entry]) -> dict[Place, float]:
    most = max(entry.n for entry in entries.values())
    return {place: settled(each.mean) for place, each in entries.items() if each.n == most and each.mean is not None}
