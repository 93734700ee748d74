"""Where each cell of a grid stands in a table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mosaic_bench.suite.axes import label_on, named
from mosaic_bench.suite.labels import head, without_shared_arguments
from mosaic_bench.suite.owner import owner

Label = tuple[str, ...]
"""Labels of a row or a column, the outermost level first."""

Place = tuple[Label, Label]
"""A row and a column."""


@dataclass(frozen=True)
class Layout:
    """Rows and columns over a grid.

    Attributes:
        row_axes, column_axes: axes of the levels; those with one value only are left out.
        rows, columns: labels in the order of the grid; of each label only what tells it from the others.
        places: (row, column) -> numbers of the cells there.
        fixed: what all cells share, for the caption.
    """

    row_axes: tuple[str, ...]
    column_axes: tuple[str, ...]
    rows: list[Label]
    columns: list[Label]
    places: dict[Place, list[int]]
    fixed: list[str]


def lay_out(coordinates: Sequence[Mapping[str, str]], rows: Sequence[str], columns: Sequence[str]) -> Layout:
    """Place cells by their coordinates; the last axis of ``rows`` is shown even if it has one value only.

    Without ``rows``, as over a grid of seeds only, all cells of a column share one row.
    """
    if not rows:
        rows, coordinates = ["seed"], [{**each, "seed": "all seeds"} for each in coordinates]
    shown = {axis: [label_on(axis, each) for each in coordinates] for axis in (*rows, *columns)}
    several = {axis for axis, labels in shown.items() if len(set(labels)) > 1}
    row_axes = tuple(axis for axis in rows if axis in several or axis == rows[-1])
    column_axes = tuple(axis for axis in columns if axis in several)
    for axis in (*column_axes, *(row_axes if len(row_axes) == 1 else ())):  # several levels of rows have headings
        shown[axis] = [named(axis, label) for label in shown[axis]]
    for axis in several:
        short, _ = without_shared_arguments(list(dict.fromkeys(shown[axis])))
        shown[axis] = [short[label] for label in shown[axis]]
    places: dict[Place, list[int]] = defaultdict(list)
    for number in range(len(coordinates)):
        row, column = (tuple(shown[axis][number] for axis in axes) for axes in (row_axes, column_axes))
        places[row, column].append(number)
    return Layout(
        row_axes,
        column_axes,
        _in_order((row for row, _ in places), [shown[axis] for axis in row_axes]),
        _in_order((column for _, column in places), [shown[axis] for axis in column_axes]),
        dict(places),
        _shared(coordinates, (*row_axes, *column_axes)),
    )


def _in_order(labels: Iterable[Label], known: Sequence[Sequence[str]]) -> list[Label]:
    """Sort labels as the axes list their values, the outermost level first, so that its groups stay together."""
    ranks = [{text: rank for rank, text in enumerate(dict.fromkeys(texts))} for texts in known]
    return sorted(set(labels), key=lambda label: [rank[part] for rank, part in zip(ranks, label, strict=True)])


def _shared(coordinates: Sequence[Mapping[str, str]], shown: Sequence[str]) -> list[str]:
    """What all cells share and the labels leave out, axis by axis."""
    fixed = []
    for axis in coordinates[0]:
        labels = list(dict.fromkeys(each[axis] for each in coordinates))
        if axis == "seed" or (shown == (axis,) and len(labels) == 1):
            continue
        if len(labels) == 1:
            fixed += [named(axis, labels[0])] if axis not in shown else []
            continue
        _, arguments = without_shared_arguments(labels)
        heads = {head(label) for label in labels}
        if axis in shown or not any(owner(name, [axis]) for name in shown):
            fixed += arguments
        elif len(heads) == 1:  # only parameters are shown: the caption names what they belong to
            fixed.append(heads.pop() + (f"({', '.join(arguments)})" if arguments else ""))
    return fixed
