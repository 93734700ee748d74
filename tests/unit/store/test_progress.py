"""How far a suite is, read from its store: steps from the last line, time left from the pace of the last few."""

import os
import time
from pathlib import Path

import pytest

from mosaic_bench.store import CellFolder, Claim, State, Status, Store
from mosaic_bench.store.progress import read_progress, time_left

KEY = "a" * 12


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def grid(store: Store, expected: dict[str, float | None]) -> None:
    cells = [{"key": key, "coordinates": {"seed": key}, "expected": seconds} for key, seconds in expected.items()]
    store.path.mkdir(exist_ok=True)
    store.write_suite({"suite": "s", "title": "S", "axes": {}, "titles": {}, "report": {}, "cells": cells})


def put(store: Store, key: str, status: Status) -> CellFolder:
    cell = store.cell(key)
    cell.describe({"key": key})
    cell.set_status(status)
    if status.state is State.DONE:
        evaluated(cell, status.step, 1.0)
    if status.state is State.RUNNING:
        assert Claim.take(cell.path)  # what nobody holds does not run
    return cell


def evaluated(cell: CellFolder, step: int, worked: float, evaluating: float = 0.5) -> None:
    times = {"client_seconds": 0.75 * worked, "server_seconds": 0.25 * worked, "evaluate_seconds": evaluating}
    cell.append_step({"step": step, "metrics": {}, "ledger": {}, "time": times})


def written_ago(cell: CellFolder, seconds: float) -> None:
    os.utime(cell.path / "steps.jsonl", (time.time() - seconds,) * 2)


def test_a_running_cell_goes_at_the_pace_of_its_last_steps_not_of_its_first(store: Store) -> None:
    grid(store, {KEY: 1000.0})
    cell = put(store, KEY, Status(State.RUNNING, 2, 20))
    for step, worked in ((2, 100.0), (4, 110.0), (6, 116.0), (8, 122.0)):
        evaluated(cell, step, worked)
    written_ago(cell, 5)
    (progress,) = read_progress(store)
    assert (progress.status.step, progress.status.steps) == (8, 20)
    per_step = (122 - 110 + 2 * 0.5) / (8 - 4)
    assert progress.left == pytest.approx(12 * per_step - 5, abs=1)


def test_one_evaluated_step_is_enough_and_a_late_cell_has_nothing_left(store: Store) -> None:
    grid(store, {KEY: None})
    cell = put(store, KEY, Status(State.RUNNING, 0, 10))
    evaluated(cell, 2, 19.0, 1.0)
    written_ago(cell, 0)
    assert read_progress(store)[0].left == pytest.approx(8 * 10, abs=1)
    written_ago(cell, 1000)
    assert read_progress(store)[0].left == 0


def test_before_the_first_evaluation_the_expectation_counts(store: Store) -> None:
    grid(store, {KEY: 60.0})
    put(store, KEY, Status(State.RUNNING, 5, 20))
    assert read_progress(store)[0].left == 45
    grid(store, {KEY: None})
    assert read_progress(store)[0].left is None


def test_the_whole_takes_as_long_as_the_work_over_those_who_work_or_the_longest_cell(store: Store) -> None:
    states = {"a": State.RUNNING, "b": State.RUNNING, "c": State.PLANNED, "d": State.INTERRUPTED, "e": State.DONE}
    grid(store, dict.fromkeys(states, 40.0))
    for key, state in states.items():
        put(store, key, Status(state, {State.INTERRUPTED: 5, State.DONE: 10}.get(state, 0), 10))
    assert [cell.left for cell in read_progress(store)] == [40, 40, 40, 20, 0]
    assert time_left(read_progress(store)) == (40 + 40 + 40 + 20) / 2
    put(store, "c", Status(State.FAILED, 1, 10))
    put(store, "d", Status(State.DONE, 10, 10))
    assert time_left(read_progress(store)) == 40
    for key in ("a", "b"):
        put(store, key, Status(State.INTERRUPTED, 1, 10))
    assert time_left(read_progress(store)) is None


def test_stores_of_an_older_version_have_no_expectations(store: Store) -> None:
    cells = [{"key": KEY, "coordinates": {}}, {"key": None, "coordinates": {}}]
    store.write_suite({"suite": "s", "title": "S", "axes": {}, "titles": {}, "report": {}, "cells": cells})
    assert [(cell.status.state, cell.left) for cell in read_progress(store)] == [(State.PLANNED, None)] * 2
