"""A run shares steps among its workers, whatever their number, and not when it is told so."""

import re
from pathlib import Path

import pytest
from calls import Call
from runs import mosaic, numbers

from mosaic_bench.store import Store

SUITE = """\
suite: shared
grid:
  algorithm:
    - {name: dense, params: &small {server_epochs: 2, generator_steps: 2, generator_base: 4, latent: 8, batch: 8}}
    - {name: dense, params: {<<: *small, student_lr: 0.1}}
    - {name: dense, params: {<<: *small, ce_weight: 0.0}}
dataset: {name: digits, train: 300, test: 60}
partition: iid
models: {arch: cnn, width: 0.25}
federation: {clients: 3, rounds: 4}
local: {steps: 5, batch: 16, lr: 0.05}
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    file = tmp_path / "shared.yaml"
    file.write_text(SUITE)
    return file


def test_three_workers_train_the_clients_of_three_variants_once(suite: Path, tmp_path: Path, call: Call) -> None:
    shared, alone = tmp_path / "shared", tmp_path / "alone"
    done = mosaic("run", suite, "--results", shared, "--workers", "3")
    assert done.returncode == 0, done.stderr
    ended = call("run", suite, "--results", alone, "--isolation", "none", "--no-share")
    assert ended.code == 0, ended.err
    logs = [cell.log.read_text() for cell in Store(shared / "shared").cells()]
    assert sorted(log.count(": made") for log in logs) == [0, 0, 1]
    assert sorted(log.count(": taken from cell ") for log in logs) == [0, 1, 1]
    assert len(list((shared / "shared/prefixes").glob("*.pt"))) == 1
    assert not (alone / "shared/prefixes").exists()
    assert len(numbers(shared)) == 3
    assert numbers(shared) == numbers(alone)


def test_a_cell_that_takes_every_step_from_another_shows_its_accuracy(suite: Path, tmp_path: Path, call: Call) -> None:
    head, tail = SUITE[: SUITE.index("grid:")], SUITE[SUITE.index("dataset:") :]
    suite.write_text(f"{head}grid: {{algorithm: [fedavg-statistics, fedavg]}}\n{tail}")
    ended = call("run", suite, "--results", tmp_path / "results", "--isolation", "none")
    assert ended.code == 0, ended.err
    lines = [line for line in ended.out.splitlines() if line.startswith("[")]
    assert len(lines) == 2
    assert all(re.search(r"done +\d+\.\d %", line) for line in lines), lines


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ("20 gigabytes", "run.prefixes: expected bytes, or a size such as 500MB or 20GB, got '20 gigabytes'"),
        ("-1", "run.prefixes should be greater than or equal to 0, got -1"),
    ],
)
def test_a_wrong_size_is_one_line(suite: Path, call: Call, size: str, message: str) -> None:
    suite.write_text(SUITE + f"run: {{prefixes: {size}}}\n")
    ended = call("check", suite)
    assert ended.code == 2
    assert ended.err == f"error: {suite}:{len(SUITE.splitlines()) + 1}: {message}\n"
