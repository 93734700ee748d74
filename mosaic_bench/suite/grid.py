"""Grid -> combinations of axis values: product, ``zip`` and ``exclude``."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

from mosaic_bench.errors import did_you_mean
from mosaic_bench.suite.errors import Path, SuiteError
from mosaic_bench.suite.labels import head, label
from mosaic_bench.suite.source import Source


@dataclass(frozen=True)
class Choice:
    """One value of one axis, and where the suite wrote it."""

    axis: str
    value: Any
    path: Path


def axis_paths(source: Source) -> dict[str, Path]:
    """Return the axes of the grid and where their values stand, in the order of the file, zipped ones last.

    Raises:
        SuiteError: no axis, an axis that stands twice, or a ``zip`` that is not a mapping.
    """
    grid = source.data["grid"]
    zipped = grid.get("zip")
    if zipped is not None and not isinstance(zipped, dict):
        raise SuiteError(
            f"{source.where(('grid', 'zip'))}: grid.zip should be a mapping of axes to lists, got {zipped!r}"
        )
    unnamed = next((name for name in zipped or {} if not isinstance(name, str)), None)
    if unnamed is not None:
        raise SuiteError(f"{source.where(('grid', 'zip'))}: grid.zip: {unnamed!r} is not the name of an axis")
    paths: dict[str, Path] = {name: ("grid", name) for name in grid if name not in {"zip", "exclude"}}
    for name in zipped or {}:
        if name in paths:
            raise SuiteError(f"{source.where(('grid', 'zip', name))}: '{name}' is an axis of the grid already")
        paths[name] = ("grid", "zip", name)
    if not paths:
        raise SuiteError(f"{source.where(('grid',))}: the grid is empty; give it at least one axis")
    return paths


def combinations(source: Source) -> Iterator[list[Choice]]:
    """Yield one list of choices per cell, in the order of the file (the last axis moves fastest).

    Raises:
        SuiteError: an axis that is empty, not a list, or lists a value twice, zipped lists of different lengths or with
            a row twice, an unknown axis in ``exclude``, or a grid that leaves no cell.
    """
    paths = axis_paths(source)
    product = {name: path for name, path in paths.items() if len(path) == 2}
    factors = [[[choice] for choice in _distinct(source, _axis(source, path))] for path in product.values()]
    if len(product) < len(paths):
        factors.append(_zip(source, [path for name, path in paths.items() if name not in product]))
    excluded = _excluded(source, paths)
    found = False
    for parts in itertools.product(*factors):
        choices = [choice for part in parts for choice in part]
        values = {choice.axis: choice.value for choice in choices}
        if not any(matches(rule, values) for rule in excluded):
            found = True
            yield choices
    if not found:
        raise SuiteError(f"{source.where(('grid', 'exclude'))}: grid.exclude leaves no cell")


def check_axes(rule: Iterable[str], axes: Iterable[str], where: str) -> None:
    """Refuse a name that is not an axis of the grid."""
    axes = list(axes)
    for name in rule:
        if name not in axes:
            raise SuiteError(f"{where}: '{name}' is not an axis of this grid{did_you_mean(str(name), axes)}")


def matches(rule: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    """True when every axis in ``rule`` has the value that the rule gives.

    A rule gives the value itself, its name (``dirichlet``), its label (``dirichlet(alpha=0.1)``), a ``*`` pattern of
    either, or a list of these of which any one will do.
    """
    return all(
        any(same(wanted, values[axis]) for wanted in (wanted if isinstance(wanted, list) else [wanted]))
        for axis, wanted in rule.items()
    )


def same(wanted: Any, value: Any) -> bool:
    """True when ``wanted`` is the value, its name, its label, or a pattern of either."""
    if wanted == value:
        return True
    if isinstance(wanted, dict):
        return label(wanted) == label(value)
    return any(fnmatch(name, str(wanted)) for name in (label(value), head(label(value))))


def _axis(source: Source, path: Path) -> list[Choice]:
    name, values = str(path[-1]), source.data
    for part in path:
        values = values[str(part)]
    if not isinstance(values, list):
        raise SuiteError(f"{source.where(path)}: grid.{name} should be a list of values, got {values!r}")
    if not values:
        raise SuiteError(f"{source.where(path)}: grid.{name} is empty; give it at least one value or remove it")
    return [Choice(name, value, (*path, index)) for index, value in enumerate(values)]


def _distinct(source: Source, choices: list[Choice]) -> list[Choice]:
    """Refuse a value that stands twice: its cells would be counted twice."""
    seen: set[str] = set()
    for choice in choices:
        name = label(choice.value)
        if name in seen:
            raise SuiteError(f"{source.where(choice.path)}: grid.{choice.axis} lists '{name}' twice")
        seen.add(name)
    return choices


def _zip(source: Source, paths: list[Path]) -> list[list[Choice]]:
    columns = [_axis(source, path) for path in paths]
    if len({len(column) for column in columns}) > 1:
        lengths = ", ".join(f"{column[0].axis} {len(column)}" for column in columns)
        raise SuiteError(f"{source.where(('grid', 'zip'))}: zipped lists differ in length: {lengths}")
    rows = [list(row) for row in zip(*columns, strict=True)]
    seen: set[tuple[str, ...]] = set()
    for row in rows:
        names = tuple(label(choice.value) for choice in row)
        if names in seen:
            raise SuiteError(f"{source.where(row[0].path)}: grid.zip lists '{' · '.join(names)}' twice")
        seen.add(names)
    return rows


def _excluded(source: Source, axes: Iterable[str]) -> list[dict[str, Any]]:
    rules = source.data["grid"].get("exclude") or []
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        where = source.where(("grid", "exclude"))
        raise SuiteError(f"{where}: grid.exclude should be a list of mappings such as {{algorithm: dense, seed: 1}}")
    for index, rule in enumerate(rules):
        check_axes(rule, axes, source.where(("grid", "exclude", index)))
    return rules
