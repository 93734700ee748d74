"""Every number on disk, in formats that other programs read."""

import csv
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mosaic_bench.errors import UserError
from mosaic_bench.report.export import tidy_frame, write_csv, write_parquet, write_tensorboard
from mosaic_bench.report.results import CellResult
from mosaic_bench.store import State, Status

THIRD = 1 / 3
PLACE = {"algorithm": "fedavg", "partition": "dirichlet(alpha=0.1)", "seed": "0"}


def record(step: int, accuracy: float) -> dict[str, Any]:
    return {
        "step": step,
        "metrics": {"acc/server@test": accuracy, "loss/train": 2.0},
        "ledger": {"bytes_down": {"model": 8, "labels": 2}, "bytes_up": {"model": 8}, "samples": 64, "flops": 10**15},
        "time": {"client_seconds": 1.5, "server_seconds": 0.5, "evaluate_seconds": 0.25, "peak_bytes": 2**33},
    }


@pytest.fixture
def results() -> list[CellResult]:
    done = CellResult("a" * 12, PLACE, Status(State.DONE, 4, 4), [record(2, THIRD), record(4, 1.0)])
    planned = CellResult(None, PLACE | {"seed": "1"}, Status(), [])
    return [done, planned]


def test_a_row_per_cell_and_evaluated_step(results: list[CellResult]) -> None:
    frame = tidy_frame(results)
    assert list(frame["step"].astype(object).fillna("none")) == [2, 4, "none"]
    assert list(frame["state"]) == ["done", "done", "planned"]
    first = frame.iloc[0]
    assert first["acc/server@test"] == THIRD
    assert (first["bytes_down"], first["bytes_down/labels"], first["flops"]) == (10, 2, 10**15)
    assert (first["partition"], first["seed"]) == ("dirichlet(alpha=0.1)", "0")
    assert frame.iloc[2, frame.columns.get_loc("step") :].isna().all()


def test_csv_keeps_every_digit_and_counts_stay_whole_numbers(results: list[CellResult], tmp_path: Path) -> None:
    write_csv(tidy_frame(results), tmp_path / "steps.csv")
    with (tmp_path / "steps.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["acc/server@test"]) == THIRD
    assert (rows[0]["flops"], rows[1]["peak_bytes"], rows[2]["flops"]) == (str(10**15), str(2**33), "")
    assert [path.name for path in tmp_path.iterdir()] == ["steps.csv"]


def test_large_counts_keep_every_digit_beside_a_cell_without_any(results: list[CellResult]) -> None:
    done, planned = results
    step = record(6, 1.0)
    step["ledger"] = step["ledger"] | {"flops": 2**53 + 1, "bytes_up": {"model": 2**53 + 3}}
    frame = tidy_frame([replace(done, steps=[step]), planned])
    assert (frame["flops"][0], frame["bytes_up"][0], frame["bytes_up/model"][0]) == (2**53 + 1, 2**53 + 3, 2**53 + 3)
    assert frame["flops"].isna().tolist() == [False, True]


def test_parquet_holds_the_same_frame(results: list[CellResult], tmp_path: Path) -> None:
    frame = tidy_frame(results)
    write_parquet(frame, tmp_path / "steps.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "steps.parquet"), frame, check_dtype=False)


def test_tensorboard_reads_what_was_measured(results: list[CellResult], tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for _ in range(2):  # the second export takes the place of the first
        write_tensorboard(results, tmp_path / "events")
    (run,) = (tmp_path / "events").iterdir()
    assert run.name == "fedavg,dirichlet(alpha=0.1),0,aaaaaaaaaaaa"
    events = EventAccumulator(str(run))
    events.Reload()
    scalars = events.Scalars("acc/server@test")
    assert [(event.step, event.wall_time) for event in scalars] == [(2, 2.0), (4, 2.0)]
    assert scalars[0].value == pytest.approx(THIRD, rel=1e-7)
    assert events.Scalars("bytes_down/labels")[0].value == 2
    assert [path.name for path in tmp_path.iterdir()] == ["events"]


@pytest.mark.parametrize(
    ("module", "write", "extra"),
    [
        ("pyarrow", lambda results, file: write_parquet(tidy_frame(results), file), "parquet"),
        ("tensorboard.summary.writer.event_file_writer", write_tensorboard, "tensorboard"),
    ],
)
def test_a_missing_extra_is_named(
    results: list[CellResult],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    write: Callable[[list[CellResult], Path], None],
    extra: str,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=rf"pip install 'mosaic-bench\[{extra}\]'"):
        write(results, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []
