"""Nothing is lost and nothing is done twice, however a run ends; workers and interruptions change no number."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from calls import Call
from runs import COMMAND, environment, mosaic, numbers, processes_with, states

SUITE = """
suite: cut
grid:
  algorithm:
    - fedavg
    - {name: dense, params: {server_epochs: 6, generator_steps: 4, generator_base: 8, batch: 32}}
  seed: [0, 1]
dataset: {name: digits, train: 400, test: 100}
partition: {dirichlet: {alpha: 0.3}}
models: {arch: resnet8, width: 0.25}
federation: {clients: 3, rounds: 8}
local: {steps: 12, batch: 32, lr: 0.05}
run: {checkpoint_every: 2}
"""


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("suite") / "cut.yaml"
    file.write_text(SUITE)
    return file


@pytest.fixture(scope="module")
def uninterrupted(suite: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("whole")
    done = mosaic("run", suite, "--results", results, "--workers", 1)
    assert done.returncode == 0, done.stderr
    return results


def _start(suite: Path, results: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [*COMMAND, "run", str(suite), "--results", str(results), *more]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment(STARTED_FOR=str(results)))


def _contents(results: Path) -> dict[Path, bytes]:
    """Every file in the cells' folders."""
    return {path: path.read_bytes() for path in results.glob("*/cells/*/**/*") if path.is_file()}


def _wait_for_checkpoint(results: Path) -> None:
    """Wait until some cell is in its middle."""
    deadline = time.monotonic() + 120
    while not list(results.glob("*/cells/*/checkpoint")):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_one_and_two_workers_give_identical_numbers(suite: Path, uninterrupted: Path, tmp_path: Path) -> None:
    done = mosaic("run", suite, "--results", tmp_path, "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert numbers(tmp_path) == numbers(uninterrupted)


def test_cells_in_one_process_give_the_numbers_of_cells_in_their_own(
    suite: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    done = mosaic("run", suite, "--results", tmp_path, "--isolation", "none", "--only", "algorithm=fedavg")
    assert done.returncode == 0, done.stderr
    whole = numbers(uninterrupted)
    assert numbers(tmp_path) == {key: whole[key] for key in numbers(tmp_path)}
    assert len(numbers(tmp_path)) == 2


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_a_killed_run_leaves_no_child_and_goes_on_where_it_was_cut(
    suite: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    parent = _start(suite, tmp_path)
    _wait_for_checkpoint(tmp_path)
    assert len(processes_with(str(tmp_path))) > 2
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 60
    while processes_with(str(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_with(str(tmp_path)) == []

    before = {key for key, state in states(tmp_path).items() if state == "done"}
    stamps = {key: (tmp_path / "cut/cells" / key / "steps.jsonl").stat().st_mtime_ns for key in before}
    done = mosaic("run", suite, "--results", tmp_path)
    assert done.returncode == 0, done.stderr
    assert numbers(tmp_path) == numbers(uninterrupted)
    assert {key: (tmp_path / "cut/cells" / key / "steps.jsonl").stat().st_mtime_ns for key in before} == stamps
    assert f"{len(before)} done already" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_finishes_the_step_saves_and_exits_130(
    suite: Path, uninterrupted: Path, tmp_path: Path, number: signal.Signals
) -> None:
    parent = _start(suite, tmp_path, "--workers", "1", "--only", "algorithm=fedavg")
    _wait_for_checkpoint(tmp_path)
    parent.send_signal(number)
    assert parent.wait(timeout=60) == 130
    assert sorted(states(tmp_path).values()) in (["interrupted", "planned"], ["done", "interrupted"])
    done = mosaic("run", suite, "--results", tmp_path, "--only", "algorithm=fedavg")
    assert done.returncode == 0, done.stderr
    whole = numbers(uninterrupted)
    assert numbers(tmp_path) == {key: whole[key] for key in numbers(tmp_path)}


ENDLESS = """
import time
from pathlib import Path

from baselines.fedavg import FedAvg
from mosaic_bench.api import register


@register("endless", paper="none")
class Endless(FedAvg):
    def step(self, t):
        super().step(t)
        if t == 1:
            Path(__file__).with_name("reached").touch()
            time.sleep(600)
"""


@pytest.mark.parametrize("isolation", ["none", "process"])
def test_the_second_signal_ends_a_step_at_once(tmp_path: Path, isolation: str) -> None:
    plugin, suite, results = tmp_path / "endless.py", tmp_path / "cut.yaml", tmp_path / "results"
    plugin.write_text(ENDLESS)
    suite.write_text(
        "suite: cut\ngrid: {algorithm: [endless], seed: [0, 1]}\ndataset: {name: digits, train: 100, test: 50}\n"
        "partition: iid\nmodels: mlp\nfederation: {clients: 2, rounds: 3}\nlocal: {steps: 1, batch: 8}\n"
        "run: {checkpoint_every: 1}\n"
    )
    parent = _start(suite, results, "--plugin", str(plugin), "--isolation", isolation, "-j", "1")
    deadline = time.monotonic() + 120
    while not (tmp_path / "reached").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for _ in range(2):
        assert parent.poll() is None
        parent.send_signal(signal.SIGINT)
        time.sleep(0.5)
    assert parent.wait(timeout=30) == 130
    assert sorted(states(results).values()) == ["interrupted", "planned"]
    assert not list(results.glob("*/cells/*/claim"))


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_a_run_that_was_suspended_wakes_up_to_find_its_cell_done_by_another(
    suite: Path, uninterrupted: Path, tmp_path: Path, call: Call
) -> None:
    options = ["--only", "algorithm=fedavg", "--set", "run.claim_expiry=5s"]
    sleeper = _start(suite, tmp_path, "--workers", "1", *options)
    _wait_for_checkpoint(tmp_path)
    for process in processes_with(str(tmp_path)):
        os.kill(process, signal.SIGSTOP)
    [held] = [path.parents[1].name for path in tmp_path.glob("*/cells/*/claim/*")]
    ended = call("run", suite, "--results", tmp_path, "--isolation", "none", *options)
    written = _contents(tmp_path)
    for process in processes_with(str(tmp_path)):
        os.kill(process, signal.SIGCONT)
    assert sleeper.wait(timeout=60) == 0
    assert ended.code == 0, ended.out
    assert [line.split()[-2] for line in ended.out.splitlines() if f"{held} elsewhere" in line] == ["process"]
    assert _contents(tmp_path) == written
    whole = numbers(uninterrupted)
    assert numbers(tmp_path) == {key: whole[key] for key in numbers(tmp_path)}
    assert len(numbers(tmp_path)) == 2
