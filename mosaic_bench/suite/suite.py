"""A suite file, read, checked and expanded into cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from mosaic_bench.errors import did_you_mean
from mosaic_bench.suite.axes import indistinguishable
from mosaic_bench.suite.errors import Path, SuiteError, explain
from mosaic_bench.suite.grid import Choice, axis_paths, check_axes, combinations, matches
from mosaic_bench.suite.labels import arguments, label
from mosaic_bench.suite.only import select
from mosaic_bench.suite.owner import owner
from mosaic_bench.suite.report_schema import HeadlineSpec, ReportSpec, TableSpec
from mosaic_bench.suite.schema import Cell, RunSpec, SuiteFile, long_form
from mosaic_bench.suite.source import Source, nearest, parse_value, read_source

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
    settings = [_parse_set(text) for text in sets]
    for path, value in settings:
        if path[0] not in _CELL_SECTIONS:
            source.put(path, value, {(): f"--set {'.'.join(path)}"})
    declared = _validate(source)
    for_cells = [(path, value) for path, value in settings if path[0] in _CELL_SECTIONS]
    for path, _ in for_cells:
        _refuse_axis(source, path)
    planned = _expand(source, declared, for_cells)
    axes = {axis: list(dict.fromkeys(p.coordinates[axis] for p in planned)) for axis in planned[0].coordinates}
    _check_report(source, declared, axes, planned)
    wanted = select([p.coordinates for p in planned], only, axes)
    return Suite(
        name=declared.suite,
        title=declared.title or declared.suite,
        axes=axes,
        cells=[replace(cell, wanted=is_wanted) for cell, is_wanted in zip(planned, wanted, strict=True)],
        run=declared.run,
        report=declared.report,
    )


def _parse_set(text: str) -> tuple[tuple[str, ...], Any]:
    key, equals, value = text.partition("=")
    path = tuple(key.split("."))
    if not equals or not all(path):
        raise SuiteError(f"--set {text}: expected key=value, such as local.lr=0.02")
    if path[0] == "grid":  # an axis is one key of the grid, whatever dots it has
        depth = 2 if path[1:2] == ("zip",) else 1
        path = (*path[:depth], ".".join(path[depth:])) if path[depth:] else path
    try:
        return path, parse_value(value)
    except ValueError as error:
        raise SuiteError(f"--set {text}: the value is not valid YAML") from error


def _refuse_axis(source: Source, path: tuple[str, ...]) -> None:
    for axis, place in axis_paths(source).items():
        if _overlap(axis, path):
            raise SuiteError(
                f"--set {'.'.join(path)}: '{axis}' is an axis of the grid; "
                f"use --only {axis}=VALUE to pick from it or --set {'.'.join(map(str, place))}=[...] to replace it"
            )


def _overlap(axis: str, path: tuple[str, ...]) -> bool:
    """True when setting ``path`` sets the axis, a part of it, or something that contains it."""
    return all(a == b for a, b in zip(axis.split("."), path, strict=False))


def _validate(source: Source) -> SuiteFile:
    try:
        declared = SuiteFile.model_validate(source.data)
    except ValidationError as error:
        raise SuiteError("\n".join(explain(error, SuiteFile, source.where))) from error
    axes = axis_paths(source)
    for axis, place in axes.items():
        _check_section(axis, source.where(place))
    for index, override in enumerate(declared.overrides):
        check_axes(override.when, axes, source.where(("overrides", index, "when")))
        for key in override.set:
            where = source.where(("overrides", index, "set", key))
            _check_section(key, where)
            covered = [axis for axis in axes if f"{axis}.".startswith(f"{key}.")]
            if covered:
                raise SuiteError(f"{where}: '{covered[0]}' is an axis of the grid; change its values there")
    return declared


def _check_section(key: str, where: str) -> None:
    section = key.partition(".")[0]
    if section not in _CELL_SECTIONS:
        raise SuiteError(f"{where}: '{section}' is not part of a cell{did_you_mean(section, _CELL_SECTIONS)}")


def _expand(source: Source, declared: SuiteFile, sets: list[tuple[tuple[str, ...], Any]]) -> list[PlannedCell]:
    base = Source(
        {name: source.data[name] for name in _CELL_SECTIONS if source.data.get(name) is not None},
        {path: line for path, line in source.lines.items() if not path or path[0] in _CELL_SECTIONS},
    )
    lines_below = cache(source.lines_below)  # the same few values stand in every cell of a large grid
    planned: list[PlannedCell] = []
    faults: dict[str, None] = {}
    for choices in combinations(source):
        draft = base.copy()
        for choice in sorted(choices, key=lambda choice: choice.axis.count(".")):  # `dataset` before `dataset.train`
            draft.put(tuple(choice.axis.split(".")), choice.value, lines_below(choice.path))
        _apply_overrides(declared, choices, draft, lines_below)
        for path, value in sets:
            draft.put(path, value, {(): f"--set {'.'.join(path)}"})
        try:
            cell = Cell.model_validate(draft.data)
        except ValidationError as error:
            faults.update(dict.fromkeys(explain(error, Cell, draft.where)))
        else:
            coordinates = {choice.axis: label(choice.value) for choice in choices}
            planned.append(PlannedCell(cell, coordinates, draft.lines))
    if faults:
        raise SuiteError("\n".join(faults))
    return planned


def _apply_overrides(
    declared: SuiteFile,
    choices: list[Choice],
    draft: Source,
    lines_below: Callable[[Path], Mapping[Path, str]],
) -> None:
    """Apply what matches; what the grid spells out stays, because the cell's label says it."""
    values = {choice.axis: choice.value for choice in choices}
    matching = [(index, each) for index, each in enumerate(declared.overrides) if matches(each.when, values)]
    for index, override in matching:
        for key, value in override.set.items():
            draft.put(tuple(key.split(".")), value, lines_below(("overrides", index, "set", key)))
    for choice in choices if matching else ():
        axis = tuple(choice.axis.split("."))
        value = long_form(choice.axis, choice.value)
        written = Source({}, dict(lines_below(choice.path)))
        for below, leaf in _leaves(value) if isinstance(value, dict) else ():
            draft.put((*axis, *below), leaf, written.lines_below(below))


def _leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """What stands in a mapping and the mappings inside it, by path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    else:
        yield path, value


def _check_report(
    source: Source, declared: SuiteFile, axes: Mapping[str, list[str]], planned: Sequence[PlannedCell]
) -> None:
    """Refuse tables over unknown axes, tables that average over anything but seeds, and a rule without its images."""
    names: set[str] = set()
    report = declared.report
    for index, table in enumerate(report.tables):
        path = ("report", "tables", index)
        if table.name in names:
            raise SuiteError(f"{source.where((*path, 'name'))}: two tables are called '{table.name}'; give each a name")
        names.add(table.name)
        _check_places(source, path, table, axes)
        _check_parameters(source, path, table, declared, planned)
        if table.headline is not None:
            _check_headline(source, (*path, "headline"), table.headline, [p.cell for p in planned])
    _check_headline(source, ("report", "headline"), report.headline, [p.cell for p in planned])


def _check_places(source: Source, path: Path, table: TableSpec, axes: Mapping[str, list[str]]) -> None:
    """Refuse a table that names what is no axis, or that has one place for two settings."""
    rows, columns = table.axes(list(axes))
    for side, names in (("rows", rows), ("columns", columns)):
        written = (*path, side if getattr(table, side) is not None else "preset")
        for name in names:
            if owner(name, axes) is None:
                hint = did_you_mean(name, axes)
                where = f"{source.where(written)}: {side} of table '{table.name}'"
                raise SuiteError(f"{where}: '{name}' is not an axis of this grid{hint}")
    where = source.where((*path, "columns" if table.columns is not None else "preset"))
    for axis, labels in axes.items():
        lost = indistinguishable(axis, labels, (*rows, *columns)) if axis != "seed" else None
        if lost is not None and not any(owner(name, [axis]) for name in (*rows, *columns)):
            raise SuiteError(f"{where}: table '{table.name}' has no place for axis '{axis}'; add it to columns")
        if lost is not None:
            raise SuiteError(f"{where}: table '{table.name}' has one place for {lost[0]} and {lost[1]}; show '{axis}'")


def _check_parameters(
    source: Source, path: Path, table: TableSpec, declared: SuiteFile, planned: Sequence[PlannedCell]
) -> None:
    """Refuse a table over a parameter that an override sets: it is read off labels, which don't show it."""
    axes = planned[0].coordinates
    for side, names in zip(("rows", "columns"), table.axes(list(axes)), strict=True):
        for name in names:
            by = None if name in axes else _overriding(declared, planned, name)
            if by is not None:
                where = source.where((*path, side if getattr(table, side) is not None else "preset"))
                raise SuiteError(
                    f"{where}: {side} of table '{table.name}': '{name}' is set by an override ({source.where(by)}), "
                    f"which labels do not show; write it into the values of axis '{name.rpartition('.')[0]}'"
                )


def _overriding(declared: SuiteFile, planned: Sequence[PlannedCell], name: str) -> Path | None:
    """Where an override sets a parameter of a cell whose label doesn't say it: what a label says wins."""
    axis, _, parameter = name.rpartition(".")
    for index, override in enumerate(declared.overrides):
        for key, value in override.set.items():
            leaves = (".".join(map(str, path)) for path, _ in _leaves(value, tuple(key.split("."))))
            if any(leaf.startswith(f"{axis}.") and leaf.endswith(f".{parameter}") for leaf in leaves) and any(
                matches(override.when, cell.coordinates) and not _says(cell.coordinates[axis], parameter)
                for cell in planned
            ):
                return ("overrides", index, "set", key)
    return None


def _says(text: str, parameter: str) -> bool:
    return any(argument.startswith(f"{parameter}=") for argument in arguments(text))


def _check_headline(source: Source, path: Path, headline: HeadlineSpec, cells: Sequence[Cell]) -> None:
    if headline.rule == "best_on_validation" and not all(cell.federation.validation for cell in cells):
        where = source.where((*path, "rule"))
        raise SuiteError(f"{where}: best_on_validation needs validation images; set federation.validation")
    metric = headline.metric
    if metric.endswith("@local") and any(cell.evaluate.local == "none" for cell in cells):
        where = source.where((*path, "metric"))
        raise SuiteError(f"{where}: {metric} needs test images of each client; set evaluate.local")
