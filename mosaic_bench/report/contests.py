"""Which means of a table compete: those of one setting, wherever the table puts its methods."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from mosaic_bench.report.entry import Entry
from mosaic_bench.report.layout import Layout, Place
from mosaic_bench.suite.owner import owner


@dataclass(frozen=True)
class Contest:
    """Means of one setting.

    Attributes:
        places: where they stand, in the order of the table.
        whole: those over as many seeds as the most of them: a mean over fewer may owe its rank to easy seeds.
    """

    places: list[Place]
    whole: list[Place]


def contests(layout: Layout, entries: Mapping[Place, Entry]) -> list[Contest]:
    """Return the contests of a table: what shares every label but the method's.

    Where no level of rows or columns names methods, the innermost level of the rows competes.
    """
    axes = (*layout.row_axes, *layout.column_axes)
    competing = {level for level, axis in enumerate(axes) if owner(axis, ["algorithm"])}
    competing = competing or {len(layout.row_axes) - 1}
    by_setting: dict[tuple[str, ...], list[Place]] = defaultdict(list)
    for row, column in ((row, column) for row in layout.rows for column in layout.columns):
        if (row, column) in entries and entries[row, column].mean is not None:
            setting = tuple(label for level, label in enumerate((*row, *column)) if level not in competing)
            by_setting[setting].append((row, column))
    return [Contest(places, _whole(entries, places)) for places in by_setting.values()]


def _whole(entries: Mapping[Place, Entry], places: list[Place]) -> list[Place]:
    most = max(entries[place].n for place in places)
    return [place for place in places if entries[place].n == most]
