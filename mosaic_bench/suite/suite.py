"""A suite file, read, checked and expanded into cells."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mosaic_bench.suite.errors import Path, SuiteError, did_you_mean, explain
from mosaic_bench.suite.grid import Choice, check_axes, combinations, matches
from mosaic_bench.suite.labels import label
from mosaic_bench.suite.schema import Cell, ReportSpec, RunSpec, SuiteFile
from mosaic_bench.suite.source import Source, nearest, read_source

_CELL_SECTIONS = tuple(Cell.model_fields)


@dataclass(frozen=True)
class PlannedCell:
    """A cell, its place in the grid, and where the suite wrote each of its parts.

    Attributes:
        cell: the resolved experiment.
        coordinates: grid axis -> label.
        origins: path inside the cell -> ``file:line``, longest prefix wins.
        wanted: False when ``--only`` leaves the cell out.
    """

    cell: Cell
    coordinates: dict[str, str]
    origins: Mapping[Path, str]
    wanted: bool = True

    def where(self, path: Path) -> str:
        """Return ``file:line`` of the part of the suite that set ``path`` in this cell."""
        return nearest(self.origins, path)


@dataclass(frozen=True)
class Suite:
    """A validated suite.

    Attributes:
        name: names the results folder.
        title: one line for tables and reports.
        axes: grid axis -> labels of its values, in the order of the file.
        cells: every cell of the grid, in its order.
        run, report: how to run them, and what to make of the results.
    """

    name: str
    title: str
    axes: dict[str, list[str]]
    cells: list[PlannedCell]
    run: RunSpec
    report: ReportSpec


def load_suite(file: FilePath, sets: Sequence[str] = (), only: Sequence[str] = ()) -> Suite:
    """Read, validate and expand a suite.

    Args:
        file: the YAML file.
        sets: ``dotted.key=value`` settings, stronger than the file and its overrides.
        only: ``axis=value[,axis=value]`` filters; several values of one axis add up.

    Raises:
        SuiteError: with one line per fault, each naming file and line.
    """
    source = read_source(file)
    forced = [_parse_set(text) for text in sets]
    for path, value in forced:
        if path[0] in _CELL_SECTIONS:
            _refuse_axis(source, path)
        else:
            source.set(path, value, f"--set {'.'.join(path)}")
    declared = _validate_file(source)
    cell_sets = [(path, value) for path, value in forced if path[0] in _CELL_SECTIONS]
    planned = _expand(source, declared, cell_sets)
    axes = _axes(planned)
    _check_report(source, declared.report, axes)
    return Suite(
        name=declared.suite,
        title=declared.title or declared.suite,
        axes=axes,
        cells=_select(planned, only),
        run=declared.run,
        report=declared.report,
    )


def _parse_set(text: str) -> tuple[tuple[str, ...], Any]:
    key, equals, value = text.partition("=")
    if not equals or not all(key.split(".")):
        raise SuiteError(f"--set {text}: expected key=value, such as local.lr=0.02")
    try:
        return tuple(key.split(".")), YAML(typ="safe", pure=True).load(value)
    except YAMLError as error:
        raise SuiteError(f"--set {text}: the value is not valid YAML") from error


def _refuse_axis(source: Source, path: tuple[str, ...]) -> None:
    grid = source.data.get("grid")
    if isinstance(grid, dict) and (path[0] in grid or ".".join(path) in grid):
        axis = path[0] if path[0] in grid else ".".join(path)
        raise SuiteError(
            f"--set {'.'.join(path)}: '{axis}' is an axis of the grid; "
            f"use --only {axis}=VALUE to pick from it or --set grid.{axis}=[...] to replace it"
        )


def _validate_file(source: Source) -> SuiteFile:
    try:
        return SuiteFile.model_validate(source.data)
    except ValidationError as error:
        raise SuiteError("\n".join(explain(error, SuiteFile, source.where))) from error


def _expand(source: Source, declared: SuiteFile, sets: list[tuple[tuple[str, ...], Any]]) -> list[PlannedCell]:
    base = {name: source.data[name] for name in _CELL_SECTIONS if source.data.get(name) is not None}
    base_origins = {path: line for path, line in source.lines.items() if not path or path[0] in _CELL_SECTIONS}
    planned: list[PlannedCell] = []
    faults: dict[str, None] = {}
    for choices in combinations(source):
        document, origins = copy.deepcopy(base), dict(base_origins)
        for choice in choices:
            _put(document, tuple(choice.axis.split(".")), choice.value, source.where(choice.path), origins)
            _inherit_lines(source, choice, origins)
        _apply_overrides(source, declared, choices, document, origins)
        for path, value in sets:
            _put(document, path, value, f"--set {'.'.join(path)}", origins)
        coordinates = {choice.axis: label(choice.value) for choice in choices}
        try:
            planned.append(PlannedCell(Cell.model_validate(document), coordinates, origins))
        except ValidationError as error:
            faults.update(dict.fromkeys(explain(error, Cell, partial(nearest, origins))))
    if faults:
        raise SuiteError("\n".join(faults))
    return planned


def _inherit_lines(source: Source, choice: Choice, origins: dict[Path, str]) -> None:
    """Lines inside a grid value become lines inside the cell's section."""
    target = tuple(choice.axis.split("."))
    depth = len(choice.path)
    for path, line in source.lines.items():
        if len(path) > depth and path[:depth] == choice.path:
            origins[(*target, *path[depth:])] = line


def _apply_overrides(
    source: Source, declared: SuiteFile, choices: list[Choice], document: dict[str, Any], origins: dict[Path, str]
) -> None:
    values = {choice.axis: choice.value for choice in choices}
    for index, override in enumerate(declared.overrides):
        check_axes(override.when, list(values), source.where(("overrides", index, "when")))
        if matches(override.when, values):
            for key, value in override.set.items():
                where = source.where(("overrides", index, "set", key))
                _put(document, tuple(key.split(".")), value, where, origins)


def _put(document: dict[str, Any], path: tuple[str, ...], value: Any, where: str, origins: dict[Path, str]) -> None:
    if path[0] not in _CELL_SECTIONS:
        raise SuiteError(f"{where}: '{path[0]}' is not part of a cell{did_you_mean(path[0], _CELL_SECTIONS)}")
    target = document
    for depth, part in enumerate(path[:-1]):
        inner = target.setdefault(part, {})
        if isinstance(inner, str):  # the short form of a section, such as `dataset: fmnist`
            inner = target[part] = {"arch" if part == "models" else "name": inner}
        if not isinstance(inner, dict):
            raise SuiteError(f"{where}: '{'.'.join(path[: depth + 1])}' is not a section")
        target = inner
    target[path[-1]] = copy.deepcopy(value)
    for old in [p for p in origins if p[: len(path)] == path]:
        del origins[old]
    origins[path] = where


def _axes(planned: Sequence[PlannedCell]) -> dict[str, list[str]]:
    return {axis: list(dict.fromkeys(p.coordinates[axis] for p in planned)) for axis in planned[0].coordinates}


def _select(planned: list[PlannedCell], only: Sequence[str]) -> list[PlannedCell]:
    """Mark the cells that ``--only`` leaves out."""
    wanted = parse_only(only)
    check_axes(wanted, list(planned[0].coordinates), "--only")
    marked = [replace(p, wanted=matches(wanted, _matchable(p))) for p in planned]
    if not any(p.wanted for p in marked):
        raise SuiteError(f"--only {','.join(only)}: no cell of the suite matches")
    return marked


def parse_only(only: Iterable[str]) -> dict[str, list[str]]:
    """``["algorithm=fedavg,seed=0", "seed=1"]`` -> ``{"algorithm": ["fedavg"], "seed": ["0", "1"]}``."""
    wanted: dict[str, list[str]] = {}
    for text in only:
        for part in re.split(r",(?![^(]*\))", text):  # commas inside a label's parentheses belong to it
            axis, equals, value = part.partition("=")
            if not equals:
                raise SuiteError(f"--only {text}: expected axis=value, such as algorithm=fedavg,seed=0")
            wanted.setdefault(axis.strip(), []).append(value.strip())
    return wanted


def _matchable(planned: PlannedCell) -> dict[str, Any]:
    """Axis labels, with the plain name of an algorithm or data set beside its label."""
    values: dict[str, Any] = dict(planned.coordinates)
    for axis, spec in (("algorithm", planned.cell.algorithm), ("dataset", planned.cell.dataset)):
        if axis in values:
            values[axis] = spec.model_dump(exclude_defaults=True)
    return values


def _check_report(source: Source, report: ReportSpec, axes: Mapping[str, list[str]]) -> None:
    """Refuse tables over unknown axes, and tables that would average over anything but seeds."""
    for index, table in enumerate(report.tables):
        where = source.where(("report", "tables", index))
        named = [table.rows, *(table.columns or [])]
        check_axes(dict.fromkeys(named), list(axes), where)
        lost = [axis for axis, labels in axes.items() if len(labels) > 1 and axis not in [*named, "seed"]]
        if table.columns is not None and lost:
            raise SuiteError(f"{where}: table '{table.name}' has no place for axis '{lost[0]}'; add it to columns")
