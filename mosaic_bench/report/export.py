"""Results in other programs' formats: a row per cell and evaluated step as csv or parquet, or TensorBoard's events."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mosaic_bench.errors import UserError
from mosaic_bench.report.results import CellResult
from mosaic_bench.store.atomic import replace_file

_BYTES = ("bytes_down", "bytes_up")
_LONGEST = 200  # characters of a folder's name, of which file systems take 255
_WHOLE = {"step", *_BYTES, "samples", "flops", "peak_bytes"}


def tidy_frame(results: Sequence[CellResult]) -> pd.DataFrame:
    """Return one row per cell and evaluated step, cells in the order given.

    Columns: ``key``, one per grid axis (labels), ``state``, ``step``, the metrics (``acc/server@test``, in [0, 1]), the
    totals of the ledger so far (bytes in all and by kind, images, FLOPs), seconds and peak memory. A cell without
    evaluated steps has one row that ends after ``state``. Whole numbers stay whole, which floats (``make_frame``, made
    for means) do up to 2^53 only: FLOPs of a long run pass that.
    """
    rows = []
    for result in results:
        cell = {"key": result.key, **result.coordinates, "state": result.status.state.value}
        rows += [cell | {"step": step["step"], **_numbers(step)} for step in result.steps] or [cell]
    frame = pd.DataFrame(rows)
    for name in [name for name in frame.columns if name.partition("/")[0] in _WHOLE]:
        # From the integers themselves: beside a row that lacks one, pandas has made floats of them by now.
        frame[name] = pd.Series([row.get(name) for row in rows], dtype="Int64")
    return frame


def write_csv(frame: pd.DataFrame, file: Path) -> None:
    """Write every number with all its digits."""
    replace_file(file, lambda temporary: frame.to_csv(temporary, index=False))


def write_parquet(frame: pd.DataFrame, file: Path) -> None:
    """Write a parquet file.

    Raises:
        UserError: pyarrow is not installed.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise UserError("parquet needs pyarrow; pip install 'mosaic-bench[parquet]'") from error
    replace_file(file, lambda temporary: frame.to_parquet(temporary, index=False))


def write_tensorboard(results: Sequence[CellResult], folder: Path) -> None:
    """Write one run of events per cell into a folder that takes the place of ``folder``.

    Metrics, bytes, samples and FLOPs become scalars over steps. The time of an event is the seconds that the cell had
    worked by then.

    Raises:
        UserError: tensorboard is not installed.
    """
    try:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError as error:
        raise UserError("TensorBoard's files need tensorboard; pip install 'mosaic-bench[tensorboard]'") from error
    with tempfile.TemporaryDirectory(prefix=".export-", dir=folder.parent) as temporary:
        made = Path(temporary) / "new"
        for result in results:
            if result.steps:
                writer = EventFileWriter(str(made / _run_name(result)))
                for step in result.steps:
                    writer.add_event(_event(step))
                writer.close()
        if folder.exists():
            folder.rename(Path(temporary) / "old")
        made.rename(folder)


def _numbers(step: dict[str, Any]) -> dict[str, float]:
    ledger = step["ledger"]
    by_kind = {f"{name}/{kind}": count for name in _BYTES for kind, count in ledger[name].items()}
    totals = {name: sum(count.values()) if isinstance(count, dict) else count for name, count in ledger.items()}
    return {**step["metrics"], **totals, **by_kind, **step["time"]}


def _run_name(result: CellResult) -> str:
    """``fedavg,digits,dirichlet(alpha=0.1),0,03995fafd166``: readable in TensorBoard, and a valid folder's name."""
    readable = re.sub(r"[^\w(),.=+-]+", "+", ",".join(result.coordinates.values()))
    return f"{readable[:_LONGEST]},{result.key}"


def _event(step: dict[str, Any]) -> Any:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    numbers = _numbers(step)
    values = [Summary.Value(tag=name, simple_value=float(number)) for name, number in numbers.items()]
    seconds = step["time"]["client_seconds"] + step["time"]["server_seconds"]
    return Event(wall_time=seconds, step=step["step"], summary=Summary(value=values))
