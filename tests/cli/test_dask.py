"""A real scheduler and real workers, one of which is killed."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from calls import Call
from runs import COMMAND, environment, numbers, processes_with, states

from mosaic_bench.store import Claim

SUITE = """
suite: spread
grid: {algorithm: [fedavg], seed: [0, 1, 2, 3]}
dataset: {name: digits, train: 400, test: 100}
partition: {dirichlet: {alpha: 0.3}}
models: {arch: resnet8, width: 0.25}
federation: {clients: 3, rounds: 8}
local: {steps: 12, batch: 32, lr: 0.05}
run: {checkpoint_every: 2}
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    file = tmp_path / "spread.yaml"
    file.write_text(SUITE)
    return file


def start(tmp_path: Path, name: str, *arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "dask", name, *map(str, arguments), "--scheduler-file", str(tmp_path / "address")]
    log = (tmp_path / f"{name}.log").open("ab")
    return subprocess.Popen(command, stdout=log, stderr=log, env=environment(STARTED_FOR=f"{tmp_path}/{arguments[-1]}"))


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """A scheduler and two workers of one thread: one as Dask starts it, watched over by a nanny, and one without."""
    worker = ("worker", "--host", "127.0.0.1", "--nthreads", 1, "--no-dashboard", "--local-directory", tmp_path)
    started = {
        "scheduler": start(tmp_path, "scheduler", "--host", "127.0.0.1", "--port", 0, "--no-dashboard"),
        "nanny": start(tmp_path, *worker, "--nanny"),
        "worker": start(tmp_path, *worker, "--no-nanny"),
    }
    yield started
    for process in reversed(started.values()):
        process.terminate()
        process.wait(timeout=60)


def address(tmp_path: Path) -> str:
    file, deadline = tmp_path / "address", time.monotonic() + 120
    while not file.exists() or not file.read_text():
        assert time.monotonic() < deadline, (tmp_path / "scheduler.log").read_text()
        time.sleep(0.1)
    return str(json.loads(file.read_text())["address"])


def test_a_killed_worker_costs_no_cell_and_changes_no_number(
    suite: Path, tmp_path: Path, cluster: dict[str, subprocess.Popen[bytes]], call: Call
) -> None:
    results = tmp_path / "results"
    command = [*COMMAND, "run", suite, "--results", results, "--backend", "dask", "--scheduler", address(tmp_path)]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment())

    cut = cell_of(f"{tmp_path}/--no-nanny", results)
    cluster["worker"].send_signal(signal.SIGKILL)
    assert cluster["worker"].wait() == -signal.SIGKILL
    out, _ = run.communicate(timeout=300)
    assert run.returncode == 0, out
    assert set(states(results).values()) == {"done"}
    assert sum(" done " in line for line in out.splitlines() if cut in line) == 1

    here = tmp_path / "here"
    assert call("run", suite, "--results", here, "--isolation", "none").code == 0
    assert numbers(results) == numbers(here)
    assert len(numbers(results)) == 4
    assert not list(results.glob("*/.stop*"))


def cell_of(mark: str, results: Path) -> str:
    """Wait until a process of this worker is in the middle of a cell; return its key."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        mine = processes_with(mark)
        for checkpoint in results.glob("*/cells/*/checkpoint"):
            pulse = Claim.pulse(checkpoint.parent)
            if pulse is not None and int(pulse.owner.split("-")[-2]) in mine:
                return checkpoint.parent.name
        time.sleep(0.05)
    raise AssertionError("the worker runs nothing")


def test_without_an_address_workers_are_started_for_the_run_and_heed_its_first_signal(
    suite: Path, tmp_path: Path, call: Call
) -> None:
    options = ["--results", str(tmp_path / "r"), "--only", "seed=0", "--set", "federation.rounds=40"]
    command = [*COMMAND, "run", str(suite), *options, "--backend", "dask", "--workers", "1"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment())
    deadline = time.monotonic() + 180
    while not list(tmp_path.glob("r/*/cells/*/checkpoint")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    run.send_signal(signal.SIGINT)
    out, _ = run.communicate(timeout=120)
    assert run.returncode == 130, out
    assert list(states(tmp_path / "r").values()) == ["interrupted"]
    assert [path.name for path in tmp_path.glob("r/*/.*")] == []
    assert call("run", suite, *options, "--isolation", "none").code == 0
    assert [len(steps) for steps in numbers(tmp_path / "r").values()] == [40]


def test_a_scheduler_that_does_not_answer_is_bad_input(suite: Path, tmp_path: Path, call: Call) -> None:
    ended = call("run", suite, "--results", tmp_path, "--backend", "dask", "--scheduler", "tcp://127.0.0.1:9")
    assert ended.code == 2
    assert "--scheduler tcp://127.0.0.1:9: no Dask scheduler answers there" in ended.err
    ended = call("run", suite, "--results", tmp_path, "--scheduler", "tcp://127.0.0.1:9")
    assert (ended.code, ended.err) == (2, "error: --scheduler is for --backend dask; add it\n")
