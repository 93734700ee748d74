"""Results on disk survive being cut anywhere."""

import json
import os
import stat
from pathlib import Path

import pytest

from mosaic_bench.store import CellFolder, State, Status, Store, StoreError
from mosaic_bench.store.atomic import replace_file, replace_json, replace_text


@pytest.fixture
def folder(tmp_path: Path) -> CellFolder:
    cell = CellFolder(tmp_path / "cells" / "0123456789ab")
    cell.describe({"key": "0123456789ab"})
    return cell


def record(step: int) -> dict[str, object]:
    return {"step": step, "metrics": {"acc/server@test": step / 10}}


def test_a_write_that_raises_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "status.json"
    replace_text(file, "old")

    def cut(temporary: Path) -> None:
        temporary.write_text("ne")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace_file(file, cut)
    with pytest.raises(TypeError):
        replace_json(file, {"a": object()})
    assert file.read_text() == "old"
    assert os.listdir(tmp_path) == ["status.json"]


def test_replaced_files_have_ordinary_permissions_and_keep_every_digit(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    replace_json(tmp_path / "numbers.json", {"third": 1 / 3})
    assert json.loads((tmp_path / "numbers.json").read_text()) == {"third": 1 / 3}
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "numbers.json")}
    assert len(modes) == 1


@pytest.mark.parametrize("tail", [b'{"step": 3, "met', b"\x00\x00\x00", b"\xff\xfe", b"{"])
def test_a_torn_last_line_is_left_out_and_cut_before_the_next_append(folder: CellFolder, tail: bytes) -> None:
    for step in (1, 2):
        folder.append_step(record(step))
    with (folder.path / "steps.jsonl").open("ab") as file:
        file.write(tail)
    assert folder.steps() == [record(1), record(2)]
    folder.keep_steps_until(2)
    folder.append_step(record(3))
    assert folder.steps() == [record(1), record(2), record(3)]


def test_a_whole_last_line_without_its_newline_is_kept(folder: CellFolder) -> None:
    (folder.path / "steps.jsonl").write_text(json.dumps(record(1)))
    folder.keep_steps_until(5)
    folder.append_step(record(2))
    assert folder.steps() == [record(1), record(2)]


@pytest.mark.parametrize(("until", "left"), [(0, []), (2, [1, 2]), (3, [1, 2]), (9, [1, 2, 4])])
def test_steps_after_the_checkpoint_are_dropped(folder: CellFolder, until: int, left: list[int]) -> None:
    for step in (1, 2, 4):
        folder.append_step(record(step))
    folder.keep_steps_until(until)
    assert [step["step"] for step in folder.steps()] == left


def test_a_cell_without_steps_has_none(folder: CellFolder) -> None:
    assert folder.steps() == []
    folder.keep_steps_until(0)
    assert folder.steps() == []


@pytest.mark.parametrize(
    "content", [None, b"", b"{", b"[]", b"7", b"\xff", b'{"state": "bogus"}', b'{"state": "done", "new": 1}']
)
def test_a_status_that_cannot_be_read_is_planned(folder: CellFolder, content: bytes | None) -> None:
    if content is not None:
        (folder.path / "status.json").write_bytes(content)
    assert folder.status() == Status()
    assert folder.status().state is State.PLANNED


def test_a_status_comes_back_as_written(folder: CellFolder) -> None:
    status = Status(State.DIVERGED, 3, 10, "the loss became nan", ["server", "teacher"], 360)
    folder.set_status(status)
    assert folder.status() == status


@pytest.mark.parametrize("content", [None, b"", b"\0" * 40, b'{"step": 1}\n{"step": 2, "me', b'{"step": 1}\n7\n'])
def test_a_done_cell_whose_last_step_cannot_be_read_is_not_done(folder: CellFolder, content: bytes | None) -> None:
    for step in (1, 2):
        folder.append_step(record(step))
    done = Status(State.DONE, 2, 2)
    folder.set_status(done)
    assert folder.status() == done
    file = folder.path / "steps.jsonl"
    file.unlink() if content is None else file.write_bytes(content)
    message = "its steps.jsonl is damaged or missing; run the suite again to rebuild it"
    assert folder.status() == Status(State.INTERRUPTED, 0, 2, message)


def test_a_cell_comes_back_as_written(folder: CellFolder) -> None:
    assert folder.key == "0123456789ab"
    assert folder.exists
    assert folder.description() == {"key": "0123456789ab"}
    assert folder.environment() == {}
    folder.write_environment({"git": None})
    folder.write_correct(b"\x0f\xf0")
    assert (folder.environment(), folder.read_correct()) == ({"git": None}, b"\x0f\xf0")


def test_only_done_and_unsupported_cells_are_finished() -> None:
    assert {state for state in State if state.finished} == {State.DONE, State.UNSUPPORTED}


def test_a_store_lists_the_cells_that_were_described(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for key in ("bb", "aa"):
        store.cell(key).describe({})
    (tmp_path / "cells" / "cc").mkdir()
    assert [cell.key for cell in store.cells()] == ["aa", "bb"]
    assert not store.cell("cc").exists


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no results here; run the suite first"),
        ("{", "cannot be read .*; run the suite again to rebuild it"),
        ("[]", "not the list of a suite's cells; run the suite again to rebuild it"),
        ('{"cells": []}', "not the list of a suite's cells; run the suite again to rebuild it"),
    ],
)
def test_a_folder_without_a_readable_suite_says_what_to_do(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "suite.json").write_text(content)
    with pytest.raises(StoreError, match=message):
        Store(tmp_path).suite()


def test_a_folder_that_takes_no_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file/suite: cannot write results here \(Not a directory\); choose another"):
        Store(tmp_path / "file" / "suite").check_writable()
    (tmp_path / "tables").touch()
    with pytest.raises(StoreError, match=r"tables/main.tex: cannot be written \(File exists\)"):
        Store(tmp_path).write_output("tables/main.tex", "")
