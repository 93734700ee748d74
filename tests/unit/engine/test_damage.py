"""Damaged files of a cell are noticed, and what they held is earned again: never a wrong or a missing number."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support import describe, exact, jobs_of

from mosaic_bench.conformance.federations import CPU
from mosaic_bench.engine.cell_run import CellRun, run_cell
from mosaic_bench.engine.resolve import Job
from mosaic_bench.engine.verify import verify
from mosaic_bench.errors import UserError
from mosaic_bench.store import CellFolder, State

SUITE = """
suite: tiny
grid: {algorithm: [fedavg]}
dataset: {name: digits, train: 100, test: 40}
partition: iid
models: mlp
federation: {clients: 2, rounds: 6}
local: {steps: 2, batch: 8, lr: 0.05}
evaluate: {every: 2}
"""


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    file = tmp_path_factory.mktemp("suite") / "tiny.yaml"
    file.write_text(SUITE)
    [job] = jobs_of(file, [])
    return job


def run(folder: CellFolder, until: int = 6) -> list[int]:
    """Run a cell with a checkpoint after every step, up to a step; return the steps it did."""
    done: list[int] = []

    def progress(step: int, steps: int, metrics: dict[str, float]) -> None:
        done.append(step)

    state = run_cell(folder, CellRun([], CPU, 1, progress, lambda: len(done) + 1 == until))
    assert state is (State.DONE if until == 6 else State.INTERRUPTED)
    return done


def truncate(name: str) -> Callable[[CellFolder], None]:
    def cut(folder: CellFolder) -> None:
        file = folder.path / name
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])

    return cut


def both(folder: CellFolder) -> None:
    truncate("checkpoint")(folder)
    truncate("checkpoint.previous")(folder)


def between_two_renames(folder: CellFolder) -> None:
    folder.checkpoint.replace(folder.previous_checkpoint)


def lose_first_line(folder: CellFolder) -> None:
    file = folder.path / "steps.jsonl"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[1:]))


def garble_first_line(folder: CellFolder) -> None:
    file = folder.path / "steps.jsonl"
    file.write_bytes(b"\0" * 40 + file.read_bytes()[40:])


def a_number_for_a_line(folder: CellFolder) -> None:
    with (folder.path / "steps.jsonl").open("a") as file:
        file.write("7\n")


@pytest.mark.parametrize(
    ("damage", "first"),
    [
        (truncate("checkpoint"), 5),
        (between_two_renames, 6),
        (both, 1),
        (truncate("steps.jsonl"), 1),
        (lose_first_line, 1),
        (garble_first_line, 1),
        (a_number_for_a_line, 6),
        (truncate("status.json"), 6),
        (truncate("env.json"), 6),
        (truncate("correct.bin"), 6),
    ],
)
def test_a_cell_goes_on_from_what_is_whole(
    job: Job, tmp_path: Path, damage: Callable[[CellFolder], None], first: int
) -> None:
    whole, cut = describe(job, tmp_path / "whole", []), describe(job, tmp_path / "cut", [])
    run(whole)
    run(cut, until=5)
    (cut.path / "correct.bin").write_bytes(b"anything")
    damage(cut)
    assert run(cut) == list(range(first, 7))
    assert exact(cut.steps()) == exact(whole.steps())
    assert cut.read_correct() == whole.read_correct()
    assert not list(cut.path.glob("checkpoint*"))


def test_the_good_checkpoint_is_kept_until_the_next_is_whole(job: Job, tmp_path: Path) -> None:
    """Falling back must not let the damaged newest one take the place of the good one."""
    cut = describe(job, tmp_path, [])
    run(cut, until=3)
    truncate("checkpoint")(cut)
    cut.fall_back()
    good = cut.checkpoint.read_bytes()
    cut.write_checkpoint(b"next")
    assert cut.previous_checkpoint.read_bytes() == good


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"7", b"\xff"])
def test_a_cell_with_a_damaged_description_counts_as_not_described(job: Job, tmp_path: Path, content: bytes) -> None:
    folder = describe(job, tmp_path, [])
    assert folder.exists
    (folder.path / "cell.json").write_bytes(content)
    assert not folder.exists


@pytest.mark.parametrize("name", ["cell.json", "env.json", "steps.jsonl"])
def test_verify_names_what_is_damaged(job: Job, tmp_path: Path, name: str) -> None:
    done = describe(job, tmp_path, [])
    run(done)
    (done.path / name).write_bytes(b"{")
    with pytest.raises(UserError, match=name):
        verify(done, [])
