"""Grid -> combinations of axis values: product, ``zip`` and ``exclude``."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

from mosaic_bench.suite.errors import Path, SuiteError, did_you_mean
from mosaic_bench.suite.labels import label
from mosaic_bench.suite.source import Source


@dataclass(frozen=True)
class Choice:
    """One value of one axis, and where the suite wrote it."""

    axis: str
    value: Any
    path: Path


def combinations(source: Source) -> Iterator[list[Choice]]:
    """Yield one list of choices per cell, in the order of the file (the last axis moves fastest).

    Raises:
        SuiteError: an axis that is empty or not a list, zipped lists of different lengths, an unknown axis in
            ``exclude``, or a grid that leaves no cell.
    """
    grid = dict(source.data["grid"])
    zipped, excluded = grid.pop("zip", {}), grid.pop("exclude", [])
    factors = [[[choice] for choice in _axis(source, ("grid", name), name, values)] for name, values in grid.items()]
    if zipped:
        factors.append(_zip(source, zipped))
    axes = [*grid, *zipped]
    for index, rule in enumerate(excluded):
        check_axes(rule, axes, source.where(("grid", "exclude", index)))
    found = False
    for parts in itertools.product(*factors):
        choices = [choice for part in parts for choice in part]
        values = {choice.axis: choice.value for choice in choices}
        if not any(matches(rule, values) for rule in excluded):
            found = True
            yield choices
    if not found:
        raise SuiteError(f"{source.where(('grid',))}: the grid has no cells; give each axis at least one value")


def check_axes(rule: Mapping[str, Any], axes: list[str], where: str) -> None:
    """Refuse a condition on something that is not an axis of the grid."""
    for name in rule:
        if name not in axes:
            raise SuiteError(f"{where}: '{name}' is not an axis of this grid{did_you_mean(name, axes)}")


def matches(rule: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    """True when every axis in ``rule`` has the value, the name, the label or the ``*`` pattern that the rule gives.

    A list in the rule means any of its entries.
    """
    return all(
        any(_same(wanted, values[axis]) for wanted in (wanted if isinstance(wanted, list) else [wanted]))
        for axis, wanted in rule.items()
    )


def _same(wanted: Any, value: Any) -> bool:
    if wanted == value:
        return True
    if isinstance(wanted, dict):
        return False
    names = {label(value)}
    if isinstance(value, dict) and "name" in value:
        names.add(str(value["name"]))
    return any(fnmatch(name, str(wanted)) for name in names)


def _axis(source: Source, path: Path, name: str, values: Any) -> list[Choice]:
    if not isinstance(values, list):
        raise SuiteError(f"{source.where(path)}: grid.{name}: expected a list of values, got {values!r}")
    if not values:
        raise SuiteError(f"{source.where(path)}: grid.{name} is empty; give it at least one value or remove it")
    return [Choice(name, value, (*path, index)) for index, value in enumerate(values)]


def _zip(source: Source, zipped: dict[str, Any]) -> list[list[Choice]]:
    columns = [_axis(source, ("grid", "zip", name), name, values) for name, values in zipped.items()]
    if len({len(column) for column in columns}) > 1:
        lengths = ", ".join(f"{column[0].axis} {len(column)}" for column in columns)
        raise SuiteError(f"{source.where(('grid', 'zip'))}: zipped lists differ in length: {lengths}")
    return [list(row) for row in zip(*columns, strict=True)]
