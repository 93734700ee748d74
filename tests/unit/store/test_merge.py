"""Merging results folders: agreement is kept once, disagreement is reported, and nothing is lost."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mosaic_bench.store import CellFolder, Claim, State, Status, Store, StoreError
from mosaic_bench.store.merge import merge

KEYS = ["a" * 12, "b" * 12, "c" * 12]
HERE = {"device": "cpu", "threads": 1}


def step(accuracy: float, seconds: float = 1.0, number: int = 1) -> dict[str, Any]:
    return {
        "step": number,
        "metrics": {"acc/server@test": accuracy},
        "ledger": {"flops": 7},
        "time": {"seconds": seconds},
    }


def put(
    store: Store, key: str, accuracy: float = 0.5, numeric: dict[str, Any] = HERE, seconds: float = 1.0
) -> CellFolder:
    """A finished cell."""
    cell = store.cell(key)
    cell.describe({"key": key})
    cell.write_environment({"numeric": numeric})
    cell.append_step(step(accuracy, seconds))
    cell.write_correct(b"\x80")
    cell.set_status(Status(State.DONE, 1, 1, correct=["server"], images=1))
    return cell


def leave(cell: CellFolder, status: Status) -> None:
    """Let the cell stand there, the line of its step included."""
    cell.append_step(step(0.5, number=status.step))
    cell.set_status(status)


def grid(store: Store, seeds: dict[str, str | None], **changes: Any) -> Store:
    """Write the list of cells: seed -> key."""
    cells = [{"key": key, "coordinates": {"algorithm": "fedavg", "seed": seed}} for seed, key in seeds.items()]
    axes = {"algorithm": ["fedavg"], "seed": list(seeds)}
    suite = {"suite": "s", "title": "S", "axes": axes, "titles": {"fedavg": "FedAvg"}, "report": {}, "cells": cells}
    store.path.mkdir(parents=True, exist_ok=True)
    store.write_suite(suite | changes)
    return store


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Store]:
    """Make a store named so, with these seeds, whose keys are KEYS."""

    def build(name: str, *seeds: int, **cell: Any) -> Store:
        store = grid(Store(tmp_path / name), {str(seed): KEYS[seed] for seed in seeds})
        for seed in seeds:
            put(store, KEYS[seed], **cell)
        return store

    return build


def content(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_the_union_of_two_grids_lands_in_the_first(make: Callable[..., Store]) -> None:
    first, second = make("a", 0, 1), make("b", 1, 2, seconds=9.0)
    before = content(second.path)
    done = merge(first, [second])
    assert (done.copied, done.kept, done.conflicts, done.environments) == (1, 1, [], [])
    assert [cell.key for cell in first.cells()] == KEYS
    assert first.suite()["axes"]["seed"] == ["0", "1", "2"]
    assert [entry["key"] for entry in first.suite()["cells"]] == KEYS
    assert content(first.cell(KEYS[2]).path) == content(second.cell(KEYS[2]).path)
    assert first.cell(KEYS[1]).steps()[0]["time"] == {"seconds": 1.0}
    assert content(second.path) == before
    assert sorted(os.listdir(first.path)) == ["cells", "suite.json"]


def test_into_a_new_folder_leaves_both_as_they_were(make: Callable[..., Store], tmp_path: Path) -> None:
    first, second = make("a", 0), make("b", 1)
    before = content(first.path), content(second.path)
    merge(Store(tmp_path / "c"), [first, second])
    assert [cell.key for cell in Store(tmp_path / "c").cells()] == KEYS[:2]
    assert [entry["coordinates"]["seed"] for entry in Store(tmp_path / "c").suite()["cells"]] == ["0", "1"]
    assert (content(first.path), content(second.path)) == before


def test_different_numbers_of_one_environment_are_a_conflict_that_loses_nothing(make: Callable[..., Store]) -> None:
    first, second = make("a", 0), make("b", 0, accuracy=0.75)
    done = merge(first, [second])
    assert (done.copied, done.kept, done.environments) == (0, 1, [])
    assert done.conflicts == [
        f"{KEYS[0]} has different results in {first.cell(KEYS[0]).path} (kept) and {second.cell(KEYS[0]).path}, "
        "though both were made in one numeric environment"
    ]
    assert [store.cell(KEYS[0]).steps()[0]["metrics"]["acc/server@test"] for store in (first, second)] == [0.5, 0.75]


def test_different_bits_of_two_environments_are_no_conflict(make: Callable[..., Store]) -> None:
    first, second = make("a", 0), make("b", 0, accuracy=0.5000001, numeric={"device": "cpu", "threads": 2})
    done = merge(first, [second])
    assert done.conflicts == []
    assert done.environments[0].endswith("(kept, device cpu, threads 1) and "
                                         f"{second.cell(KEYS[0]).path} (device cpu, threads 2)")  # fmt: skip


def test_which_images_were_right_is_content_too(make: Callable[..., Store]) -> None:
    first, second = make("a", 0), make("b", 0)
    second.cell(KEYS[0]).write_correct(b"\x00")
    assert len(merge(first, [second]).conflicts) == 1


@pytest.mark.parametrize("where", ["a", "b"])
def test_no_correctness_per_image_is_another_than_some(make: Callable[..., Store], where: str) -> None:
    stores = {"a": make("a", 0), "b": make("b", 0)}
    (stores[where].cell(KEYS[0]).path / "correct.bin").unlink()
    assert len(merge(stores["a"], [stores["b"]]).conflicts) == 1


def test_a_file_that_cannot_be_copied_is_named(make: Callable[..., Store]) -> None:
    first, second = make("a", 0), make("b", 0, 1)
    (second.cell(KEYS[1]).path / "log.txt").symlink_to("nowhere")
    with pytest.raises(
        StoreError, match=r"a: not everything could be merged \(.*log.txt'\); mend that and merge again"
    ):
        merge(first, [second])
    assert [cell.key for cell in first.cells()] == KEYS[:1]
    assert sorted(os.listdir(first.path)) == ["cells", "suite.json"]


@pytest.mark.parametrize(
    ("ours", "theirs", "copied"),
    [
        (Status(State.INTERRUPTED, 3, 9), Status(State.DONE, 9, 9), 1),
        (Status(State.FAILED, 3, 9), Status(State.INTERRUPTED, 6, 9), 1),
        (Status(State.DONE, 9, 9), Status(State.INTERRUPTED, 6, 9), 0),
        (Status(State.INTERRUPTED, 6, 9), Status(State.FAILED, 3, 9), 0),
    ],
)
def test_the_version_that_got_further_wins(
    make: Callable[..., Store], ours: Status, theirs: Status, copied: int
) -> None:
    first, second = make("a", 0), make("b", 0)
    leave(first.cell(KEYS[0]), ours)
    leave(second.cell(KEYS[0]), theirs)
    done = merge(first, [second])
    assert (done.copied, done.kept) == (copied, 1 - copied)
    assert first.cell(KEYS[0]).status() == (theirs if copied else ours)
    assert sorted(os.listdir(first.path)) == ["cells", "suite.json"]


@pytest.mark.parametrize("where", ["a", "b"])
def test_a_running_cell_is_left_alone(make: Callable[..., Store], where: str) -> None:
    stores = {"a": make("a", 0), "b": make("b", 0)}
    stores[where].cell(KEYS[0]).set_status(Status(State.RUNNING, 1, 9))
    assert Claim.take(stores[where].cell(KEYS[0]).path)
    before = content(stores["a"].cell(KEYS[0]).path)
    done = merge(stores["a"], [stores["b"]])
    assert done.running == [
        f"{stores[where].cell(KEYS[0]).path} is running; merge again when it is done, or, "
        "if the machine it ran on is gone, when `run` has taken it over"
    ]
    assert content(stores["a"].cell(KEYS[0]).path) == before


@pytest.mark.parametrize("where", ["a", "b"])
def test_a_cell_that_a_process_only_prepares_is_left_alone(make: Callable[..., Store], where: str) -> None:
    stores = {"a": make("a"), "b": make("b", 0)}
    if where == "a":
        stores["a"].cell(KEYS[0]).describe({"key": KEYS[0]})
    claim = Claim.take(stores[where].cell(KEYS[0]).path)
    assert claim is not None
    assert len(merge(stores["a"], [stores["b"]]).running) == 1
    assert stores["a"].cell(KEYS[0]).steps() == []
    claim.verify()
    claim.release()
    assert merge(stores["a"], [stores["b"]]).copied == 1
    assert len(stores["a"].cell(KEYS[0]).steps()) == 1


def test_the_claim_of_a_process_that_died_is_not_copied(make: Callable[..., Store]) -> None:
    first, second = make("a"), make("b", 0)
    claim = Claim.take(second.cell(KEYS[0]).path)
    assert claim is not None
    held = next((second.cell(KEYS[0]).path / "claim").iterdir())
    host, _, _ = held.name.rpartition("-")[0].rpartition("-")
    held.rename(held.with_name(f"{host}-{2**22 + 1}-{held.name.rpartition('-')[2]}"))  # no process has that number
    assert merge(first, [second]).copied == 1
    assert not (first.cell(KEYS[0]).path / "claim").exists()


def test_titles_and_what_methods_reveal_are_those_of_both(make: Callable[..., Store]) -> None:
    first, second = make("a", 0), make("b", 1)
    grid(first, {"0": KEYS[0]}, reveals={"fedavg": []})
    grid(second, {"1": KEYS[1]}, titles={"fedavg": "Other", "fedgen": "FedGen"}, reveals={"fedgen": ["label counts"]})
    merge(first, [second])
    assert first.suite()["titles"] == {"fedavg": "FedAvg", "fedgen": "FedGen"}
    assert first.suite()["reveals"] == {"fedavg": [], "fedgen": ["label counts"]}


def test_one_place_of_the_grid_with_two_keys_is_a_conflict(make: Callable[..., Store]) -> None:
    first, second = make("a", 0), make("b", 1)
    grid(second, {"0": KEYS[1]})
    done = merge(first, [second])
    assert done.conflicts == [
        f"fedavg · 0 is {KEYS[0]} in {first.path} (kept in the grid) and {KEYS[1]} in {second.path}: "
        "their settings differ"
    ]
    assert [entry["key"] for entry in first.suite()["cells"]] == KEYS[:1]
    assert second.cell(KEYS[1]).exists
    assert first.cell(KEYS[1]).exists


def test_a_cell_that_lacked_its_data_gets_the_others_key(make: Callable[..., Store]) -> None:
    first, second = make("a", 0), make("b", 1)
    grid(first, {"0": KEYS[0], "1": None})
    assert merge(first, [second]).conflicts == []
    assert [entry["key"] for entry in first.suite()["cells"]] == KEYS[:2]


def test_other_suites_and_other_axes_are_refused_before_anything_is_written(make: Callable[..., Store]) -> None:
    first, second = make("a", 0), make("b", 1)
    before = content(first.path)
    grid(second, {"1": KEYS[1]}, suite="t")
    with pytest.raises(StoreError, match=r"holds suite 't' and .* 's'; only results of one suite"):
        merge(first, [second])
    grid(second, {"1": KEYS[1]}, axes={"algorithm": ["fedavg"], "models": ["cnn"]})
    with pytest.raises(StoreError, match=r"axes algorithm, models and .* algorithm, seed; only grids with the same"):
        merge(first, [second])
    assert content(first.path) == before


def test_a_copy_that_is_cut_leaves_no_half_cell(make: Callable[..., Store], monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = make("a", 0), make("b", 1)
    before = json.loads((first.path / "suite.json").read_text())
    copy = shutil.copytree

    def cut(*arguments: Any, **options: Any) -> None:
        copy(*arguments, **options)
        raise OSError("no space left")

    monkeypatch.setattr(shutil, "copytree", cut)
    with pytest.raises(StoreError, match="no space left"):
        merge(first, [second])
    assert [cell.key for cell in first.cells()] == KEYS[:1]
    assert first.suite() == before
    assert sorted(os.listdir(first.path)) == ["cells", "suite.json"]
