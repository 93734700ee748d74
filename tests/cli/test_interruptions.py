"""Nothing is lost and nothing is done twice, however a run ends; workers and interruptions change no number."""

import signal
import subprocess
import time
from pathlib import Path

import pytest
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
    deadline = time.monotonic() + 5
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


def test_two_runs_at_once_do_each_cell_once(suite: Path, uninterrupted: Path, tmp_path: Path) -> None:
    first, second = (_start(suite, tmp_path, "--workers", "1") for _ in range(2))
    codes = [first.wait(timeout=300), second.wait(timeout=300)]
    assert all(code in (0, 1) for code in codes)  # a run that leaves cells to the other one says so with 1
    assert mosaic("run", suite, "--results", tmp_path).returncode == 0
    assert numbers(tmp_path) == numbers(uninterrupted)


def test_a_cell_that_takes_too_long_is_stopped_and_the_others_finish(suite: Path, tmp_path: Path) -> None:
    slow = tmp_path / "slow.py"
    slow.write_text(
        "import time\n"
        "from mosaic_bench.api import Algorithm, register\n\n\n"
        "@register('sleeper', paper='none')\n"
        "class Sleeper(Algorithm):\n"
        "    def setup(self):\n"
        "        self.server = self.fed.model()\n\n"
        "    def step(self, t):\n"
        "        time.sleep(600)\n"
    )
    late = tmp_path / "late.yaml"
    late.write_text(
        SUITE.replace(
            "- {name: dense, params: {server_epochs: 6, generator_steps: 4, generator_base: 8, batch: 32}}", "- sleeper"
        )
        .replace("seed: [0, 1]", "seed: [0]")
        .replace("run: {", "run: {timeout: 15s, ")
    )
    done = mosaic("run", late, "--results", tmp_path / "results", "--plugin", slow)
    assert done.returncode == 1, done.stderr
    assert sorted(states(tmp_path / "results").values()) == ["done", "timeout"]
    assert "run.timeout" in done.stdout
