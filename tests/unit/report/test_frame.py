"""The tidy frame: a row per cell and evaluated step, from one store or several."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from studies import Coordinates, write_study

from mosaic_bench.report.frame import COSTS, headlines, make_frame
from mosaic_bench.report.results import CellResult, read_results
from mosaic_bench.store import State, Status, Store
from mosaic_bench.suite import HeadlineSpec


def accuracy(cell: Coordinates) -> float | tuple[State, str]:
    return (State.FAILED, "ValueError: no") if cell["algorithm"] == "dense" else 0.6 + 0.1 * int(cell["seed"])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return write_study(tmp_path / "one", {"algorithm": ["fedavg", "dense"], "seed": ["0", "1"]}, accuracy)


def test_a_row_per_cell_and_evaluated_step(store: Store) -> None:
    frame = make_frame(read_results(store))
    assert list(frame["cell"]) == [0, 0, 0, 1, 1, 1, 2, 3]
    assert list(frame["step"][:6]) == [1, 2, 3, 1, 2, 3]
    assert list(frame["acc/server@test"][:3]) == pytest.approx([0.2, 0.4, 0.6])
    assert list(frame["algorithm"]) == ["fedavg"] * 6 + ["dense"] * 2
    failed = frame.iloc[6]
    assert (failed["state"], failed["message"]) == ("failed", "ValueError: no")
    assert failed[["step", "acc/server@test", *COSTS]].isna().all()


def test_bytes_are_totals_and_by_kind(store: Store) -> None:
    last = make_frame(read_results(store)).iloc[2]
    assert last["bytes_up"] == 3 * 900_080
    assert (last["bytes_up/model"], last["bytes_up/label counts"]) == (3 * 900_000, 3 * 80)
    assert (last["bytes_down"], last["samples"], last["client_seconds"]) == (3_000_000, 1920, 4.5)


def test_a_headline_per_cell_is_missing_where_it_is_not_done(store: Store) -> None:
    value = headlines(make_frame(read_results(store)), HeadlineSpec(rule="mean_last_k", k=2))["value"]
    assert list(value[:2]) == pytest.approx([(0.4 + 0.6) / 2, 0.7 * (2 / 3 + 1) / 2])
    assert value[2:].isna().all()


def test_several_stores_make_one_frame_and_axes_that_one_lacks_are_missing(store: Store, tmp_path: Path) -> None:
    other = write_study(
        tmp_path / "two", {"algorithm": ["local"], "local.lr": ["0.1"], "seed": ["0"]}, lambda cell: 0.5
    )
    frame = make_frame(read_results(store, other))
    assert list(frame["suite"].unique()) == ["one", "two"]
    assert frame["local.lr"].isna().sum() == 8
    assert list(frame["cell"].unique()) == [0, 1, 2, 3, 4]


def test_correctness_of_a_group_is_the_share_of_its_members(store: Store) -> None:
    folder = store.cell(f"{0:012x}")
    rows = np.array([[1, 0, 1], [1, 1, 0], [0, 0, 0]], dtype=bool)
    folder.write_correct(np.packbits(rows, axis=1).tobytes())
    folder.set_status(Status(State.DONE, 3, 3, "", ["server.cnn", "server.mlp", "teacher"], 3))
    result = read_results(store)[0]
    for predictor, expected in {"server": [1, 0.5, 0.5], "teacher": [0, 0, 0], "server.mlp": [1, 1, 0]}.items():
        correct = result.correct(predictor)
        assert correct is not None
        assert list(correct) == expected
    assert result.correct("nobody") is None
    assert CellResult(None, {}, Status(), []).correct("server") is None


def test_a_torn_last_line_is_left_out(store: Store) -> None:
    file = store.cell(f"{0:012x}").path / "steps.jsonl"
    file.write_bytes(file.read_bytes() + b'{"step": 4, "metr')
    assert [step["step"] for step in read_results(store)[0].steps] == [1, 2, 3]
