"""Uniting results folders of one suite: what both have must agree, and nothing is ever lost."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mosaic_bench.store.cell_folder import CellFolder, Status
from mosaic_bench.store.store import Store, StoreError


@dataclass
class Merged:
    """What a merge did.

    Attributes:
        copied, kept: cells that were taken over, and those that were there already, as good or better.
        conflicts: one sentence for each thing of which the two folders hold different versions.
        environments: one sentence for each cell whose numbers differ as their numeric environments do.
        running: one sentence for each cell that a process is working on, and that was left alone.
    """

    copied: int = 0
    kept: int = 0
    conflicts: list[str] = field(default_factory=list)
    environments: list[str] = field(default_factory=list)
    running: list[str] = field(default_factory=list)


def merge(into: Store, sources: Sequence[Store]) -> Merged:
    """Bring the cells and grids of ``sources`` into a store, which is made when it is not there.

    A cell appears whole or not at all; one that stands in both stays as it is in ``into``, unless the other got
    further. Nothing is deleted in the sources.

    Raises:
        StoreError: the folders hold different suites, or grids with different axes, or files can't be read or written.
    """
    stores = ([into] if (into.path / "suite.json").exists() else []) + list(sources)
    suites = [store.suite() for store in stores]
    _check_alike(stores, suites)
    into.check_writable()
    merged = Merged()
    try:
        for source in sources:
            for cell in source.cells():
                _merge_cell(cell, into, merged)
        into.write_suite(_united(stores, suites, merged))
    except OSError as error:
        raise StoreError(
            f"{into.path}: not everything could be merged ({_reason(error)}); mend that and merge again: "
            "cells copied so far are whole, and nothing was lost"
        ) from error
    return merged


def _check_alike(stores: Sequence[Store], suites: Sequence[dict[str, Any]]) -> None:
    first = suites[0]
    for store, suite in zip(stores[1:], suites[1:], strict=True):
        if suite["suite"] != first["suite"]:
            raise StoreError(
                f"{store.path} holds suite '{suite['suite']}' and {stores[0].path} '{first['suite']}'; "
                "only results of one suite can be merged"
            )
        if set(suite["axes"]) != set(first["axes"]):
            raise StoreError(
                f"{store.path} has the axes {', '.join(suite['axes'])} and {stores[0].path} "
                f"{', '.join(first['axes'])}; only grids with the same axes can be merged"
            )


def _merge_cell(cell: CellFolder, into: Store, merged: Merged) -> None:
    own = into.cell(cell.key)
    held = next((each for each in (cell, own) if each.held), None)
    if held is not None:
        merged.running.append(_running(held))
        return
    if not own.exists:
        _copy(cell, own)
        merged.copied += 1
        return
    ours, theirs = own.status(), cell.status()
    if ours.state.finished and theirs.state.finished:
        merged.kept += 1
        _compare(own, cell, merged)
    elif (theirs.state.finished, theirs.step) > (ours.state.finished, ours.step):
        _copy(cell, own)
        merged.copied += 1
    else:
        merged.kept += 1


def _running(cell: CellFolder) -> str:
    return (
        f"{cell.path} is running; merge again when it is done, or, "
        "if the machine it ran on is gone, when `run` has taken it over"
    )


def _compare(own: CellFolder, other: CellFolder, merged: Merged) -> None:
    """Report where two finished versions of a cell differ, times and memory aside."""
    if _content(own) == _content(other):
        return
    here, there = (cell.environment().get("numeric") for cell in (own, other))
    if here == there:
        merged.conflicts.append(
            f"{own.key} has different results in {own.path} (kept) and {other.path}, "
            "though both were made in one numeric environment"
        )
    else:
        merged.environments.append(
            f"{own.key} differs between {own.path} (kept, {_short(here)}) and {other.path} ({_short(there)})"
        )


def _content(cell: CellFolder) -> tuple[str, ...]:
    """What must agree: state, evaluated steps without their times, and which test images were right."""
    status, evaluated = cell.outcome()
    steps = [{name: part for name, part in step.items() if name != "time"} for step in evaluated]
    return status.state.value, json.dumps(steps, sort_keys=True), json.dumps(status.correct), _right(cell, status)


def _right(cell: CellFolder, status: Status) -> str:
    if not status.correct:
        return ""
    try:
        return cell.read_correct().hex()
    except FileNotFoundError:
        return "missing"


def _short(numeric: dict[str, Any] | None) -> str:
    return ", ".join(f"{name} {value}" for name, value in (numeric or {"environment": "unknown"}).items())


def _reason(error: OSError) -> str:
    """The system's words; of a copy that failed in several files, those for the first one."""
    return str(error.args[0][0][-1]) if isinstance(error, shutil.Error) else str(error)


def _copy(cell: CellFolder, target: CellFolder) -> None:
    """Copy a cell beside its place, then rename it there; what stood there is removed last."""
    with tempfile.TemporaryDirectory(prefix=".merge-", dir=target.path.parent.parent) as folder:
        new, old = Path(folder) / "new", Path(folder) / "old"
        shutil.copytree(cell.path, new, ignore=shutil.ignore_patterns(".*", "claim"))
        if target.path.exists():
            target.path.rename(old)
        new.rename(target.path)


def _united(stores: Sequence[Store], suites: Sequence[dict[str, Any]], merged: Merged) -> dict[str, Any]:
    """Return the grid of all: the first one's settings, everyone's axis values and cells."""
    first = suites[0]
    axes = {axis: _distinct(label for suite in suites for label in suite["axes"][axis]) for axis in first["axes"]}
    places: dict[tuple[str, ...], tuple[Store, dict[str, Any]]] = {}
    for store, suite in zip(stores, suites, strict=True):
        for entry in suite["cells"]:
            place = tuple(entry["coordinates"][axis] for axis in axes)
            known = places.get(place)
            if known is None or known[1]["key"] is None:
                places[place] = (store, {**entry, "coordinates": dict(zip(axes, place, strict=True))})
            elif entry["key"] not in {None, known[1]["key"]}:
                merged.conflicts.append(
                    f"{' · '.join(place)} is {known[1]['key']} in {known[0].path} (kept in the grid) and "
                    f"{entry['key']} in {store.path}: their settings differ"
                )
    united = {name: _entries(suite.get(name, {}) for suite in suites) for name in ("titles", "reveals")}
    return {**first, **united, "axes": axes, "cells": [entry for _, entry in places.values()]}


def _entries(parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The entries of all; the first one's where several have one."""
    return {name: value for part in reversed(list(parts)) for name, value in part.items()}


def _distinct(labels: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(labels))
