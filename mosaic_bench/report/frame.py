"""Results as tidy pandas frames: a row per cell and evaluated step, and a row per cell with its headline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mosaic_bench.report.results import CellResult
from mosaic_bench.store import State
from mosaic_bench.suite import HeadlineSpec

_BYTES = ("bytes_up", "bytes_down")
_COUNTS = ("samples", "flops")
_TIMES = ("client_seconds", "server_seconds", "evaluate_seconds", "peak_bytes")
_NOTHING: dict[str, Any] = {}

COSTS = (*_BYTES, *_COUNTS, *_TIMES)
"""Columns of costs, in bytes, images, floating-point operations and seconds.

Totals of a cell so far, but for ``evaluate_seconds``, which this evaluation took, and ``peak_bytes``, the most memory
so far; missing where it was not measured.
"""


def make_frame(results: Sequence[CellResult]) -> pd.DataFrame:
    """Return one row per cell and evaluated step, cells in the order given, steps oldest first.

    Columns: ``cell`` (number of the cell), ``suite``, ``key``, one column per grid axis (labels), ``state``,
    ``message``, ``stale``, ``step``, one column per metric (``acc/server@test``, in [0, 1]), those of ``COSTS``, bytes
    by kind (``bytes_up/model``), and seconds by stage (``seconds/generator``). A cell without evaluated steps has one
    row in which ``step``, metrics and costs are missing.
    """
    steps: list[dict[str, Any]] = [step for result in results for step in (result.steps or [{}])]
    cells = np.repeat(np.arange(len(results)), [len(result.steps) or 1 for result in results])
    axes = dict.fromkeys(axis for result in results for axis in result.coordinates)
    columns: dict[str, Any] = {"cell": cells, "suite": _text(results, cells, lambda result: result.suite)}
    columns["key"] = _text(results, cells, lambda result: result.key)
    columns |= {axis: _coordinate(results, cells, axis) for axis in axes}
    columns["state"] = _text(results, cells, lambda result: result.status.state.value)
    columns["message"] = _text(results, cells, lambda result: result.status.message)
    columns["stale"] = _text(results, cells, lambda result: result.stale)
    columns["step"] = _numbers([step.get("step") for step in steps])
    measured = [step.get("metrics", _NOTHING) for step in steps]
    for metric in dict.fromkeys(name for metrics in measured for name in metrics):
        columns[metric] = _numbers([metrics.get(metric) for metrics in measured])
    ledgers, times = ([step.get(part, _NOTHING) for step in steps] for part in ("ledger", "time"))
    columns |= {name: _numbers([_total(ledger.get(name)) for ledger in ledgers]) for name in _BYTES}
    for name in _BYTES:
        by_kind = [ledger.get(name, _NOTHING) for ledger in ledgers]
        kinds = dict.fromkeys(kind for counts in by_kind for kind in counts)
        columns |= {f"{name}/{kind}": _numbers([counts.get(kind) for counts in by_kind]) for kind in kinds}
    columns |= {name: _numbers([ledger.get(name) for ledger in ledgers]) for name in _COUNTS}
    columns |= {name: _numbers([time.get(name) for time in times]) for name in _TIMES}
    stages = dict.fromkeys(name for time in times for name in time if name.startswith("seconds/"))
    columns |= {stage: _numbers([time.get(stage) for time in times]) for stage in stages}
    return pd.DataFrame(columns)


def headlines(frame: pd.DataFrame, spec: HeadlineSpec) -> pd.DataFrame:
    """Return one row per cell: its last row, and in the column ``value`` its one number by the suite's rule.

    ``value`` is missing unless the cell is done and measured the metric.
    """
    cells = frame.drop_duplicates("cell", keep="last").set_index("cell", drop=False)
    if spec.metric not in frame:
        return cells.assign(value=np.nan)
    measured = frame[(frame["state"] == State.DONE.value) & frame[spec.metric].notna()]
    if spec.rule == "last":
        value = measured.groupby("cell")[spec.metric].last()
    elif spec.rule == "mean_last_k":
        value = measured.groupby("cell").tail(spec.k).groupby("cell")[spec.metric].mean()
    else:
        value = _best_on_validation(measured, spec.metric)
    return cells.assign(value=value)


def _best_on_validation(measured: pd.DataFrame, metric: str) -> pd.Series:
    """The metric at the first step that was best on the same predictor's validation accuracy."""
    validation = metric.partition("@")[0] + "@val"
    if validation not in measured:
        return pd.Series(dtype=float)
    validated = measured[measured[validation].notna()]
    best = validated.groupby("cell")[validation].idxmax()
    return pd.Series(validated.loc[best, metric].to_numpy(), index=best.index)


def _text(results: Sequence[CellResult], cells: np.ndarray, of: Callable[[CellResult], str | None]) -> pd.Series:
    """A column of words, repeated over each cell's steps."""
    words = np.array([of(result) for result in results], dtype=object)
    return pd.Series(words[cells], dtype=object)


def _coordinate(results: Sequence[CellResult], cells: np.ndarray, axis: str) -> pd.Series:
    return _text(results, cells, lambda result: result.coordinates.get(axis))


def _numbers(values: list[Any]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], dtype=float)


def _total(by_kind: dict[str, int] | None) -> int | None:
    return None if by_kind is None else sum(by_kind.values())
