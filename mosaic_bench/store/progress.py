"""How far the cells of a suite are, and when the running ones will be done."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mosaic_bench.store.cell_folder import CellFolder, State, Status
from mosaic_bench.store.sources import shown_state
from mosaic_bench.store.store import Store

_RECENT = 3  # evaluated steps that tell the present pace: steps of one cell need not be alike


@dataclass(frozen=True)
class Progress:
    """Where one cell of the grid stands.

    Attributes:
        key: None while its data is absent.
        coordinates: grid axis -> label.
        status: as stored, with the last step that is known to be done.
        state: the status's, or stale for a finished cell whose sources have changed.
        left: seconds until it is done, as far as they can be told; 0 for cells that will not run again.
        changed: when its state was last written, in seconds since 1970; 0 when it never was.
    """

    key: str | None
    coordinates: Mapping[str, str]
    status: Status
    state: State
    left: float | None
    changed: float


def read_progress(store: Store) -> list[Progress]:
    """Read where every cell stands, in the order of the grid; only those that are running are read in full."""
    return [_progress(store, entry) for entry in store.suite()["cells"]]


def time_left(cells: list[Progress]) -> float | None:
    """Return the seconds until all cells are done, with as many at a time as are running now; None if unknown."""
    running = [cell.left for cell in cells if cell.status.state is State.RUNNING]
    left = [cell.left for cell in cells]
    if not running or None in left:
        return None
    longest = max(seconds or 0.0 for seconds in running)
    return max(longest, sum(seconds or 0.0 for seconds in left) / len(running))


def _progress(store: Store, entry: Mapping[str, Any]) -> Progress:
    expected = entry.get("expected")
    if entry["key"] is None:
        return Progress(None, entry["coordinates"], Status(), State.PLANNED, expected, 0.0)
    folder = store.cell(entry["key"])
    status = folder.status()
    if status.state is State.RUNNING:
        status, left = _running(folder, status, expected)
    elif status.state in {State.PLANNED, State.INTERRUPTED}:
        done = status.step / status.steps if status.steps else 0.0
        left = None if expected is None else expected * (1 - done)
    else:
        left = 0.0
    state = shown_state(folder, status)
    return Progress(entry["key"], entry["coordinates"], status, state, left, _modified(folder, "status.json"))


def _running(folder: CellFolder, status: Status, expected: float | None) -> tuple[Status, float | None]:
    """Take the step from the last line, and the time left from the pace of the last few."""
    lines = folder.steps()[-_RECENT:]
    if not lines or not status.steps:
        share = 1 - status.step / status.steps if status.steps else 1.0
        return status, None if expected is None else expected * share
    step = max(status.step, lines[-1]["step"])
    since = time.time() - _modified(folder, "steps.jsonl")
    left = (status.steps - step) * _pace(lines) - since
    return replace(status, step=step), max(0.0, left)


def _pace(lines: Sequence[Mapping[str, Any]]) -> float:
    """Seconds per step from the first of these lines to the last, the evaluation between them included."""
    nothing = {"step": 0, "time": {"client_seconds": 0.0, "server_seconds": 0.0, "evaluate_seconds": 0.0}}
    start, *later = lines if len(lines) > 1 else [nothing, *lines]
    working = sum(later[-1]["time"][name] - start["time"][name] for name in ("client_seconds", "server_seconds"))
    evaluating = sum(line["time"]["evaluate_seconds"] for line in later)
    return float(working + evaluating) / (later[-1]["step"] - start["step"])


def _modified(folder: CellFolder, name: str) -> float:
    file = folder.path / name
    return file.stat().st_mtime if file.exists() else 0.0
