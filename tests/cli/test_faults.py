"""Real faults, injected: each costs its own cell or stops the run, says what happened, and leaves nothing corrupt."""

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from calls import Call
from runs import COMMAND, environment, mosaic, numbers, states
from support import describe, exact, forget_plugin, jobs_of, run_until

from mosaic_bench.engine.algorithms import load_plugins
from mosaic_bench.store import CellFolder, Claim, State, Status, Store

PLUGIN = '''
import os
import signal
import time
from pathlib import Path

import torch

from mosaic_bench.api import Algorithm, register

HERE = Path(__file__).parent


class Base(Algorithm):
    """FedAvg that does something odd in its second step."""

    def setup(self):
        self.server = self.fed.model()
        self.kept = []

    def step(self, t):
        with (HERE / f"{self.name}.steps").open("a") as file:
            file.write(f"{t} ")
        updates = self.fed.train(self.fed.broadcast(self.server, self.fed.cohort(t)))
        self.fed.average_(self.server, updates)
        if t == 1 and not (HERE / "mended").exists():
            self.odd()

    def odd(self):
        pass


@register("raises", paper="none")
class Raises(Base):
    def odd(self):
        raise ZeroDivisionError("told to")


@register("weights", paper="none")
class Weights(Base):
    def setup(self):
        super().setup()
        self.teachers = [torch.nn.Linear(2, 2)]

    def odd(self):
        self.teachers[0].weight.data[0, 1] = float("inf")


@register("allocates", paper="none")
class Allocates(Base):
    def odd(self):
        torch.empty(2**60)


@register("killed-once", paper="none")
class KilledOnce(Base):
    def odd(self):
        if not (HERE / "killed").exists():
            (HERE / "killed").touch()
            time.sleep(0.5)
            os.kill(os.getpid(), signal.SIGKILL)


@register("killed", paper="none")
class Killed(Base):
    def odd(self):
        os.kill(os.getpid(), signal.SIGKILL)


@register("hangs", paper="none")
class Hangs(Base):
    def odd(self):
        time.sleep(600)


@register("slow", paper="none")
class Slow(Base):
    def step(self, t):
        super().step(t)
        time.sleep(0.3)


@register("grows", paper="none")
class Grows(Base):
    def step(self, t):
        super().step(t)
        self.kept.append(torch.ones(50_000))
'''

SUITE = """
suite: odd
grid: {algorithm: [fedavg], seed: [0]}
dataset: {name: digits, train: 200, test: 60}
partition: iid
models: mlp
federation: {clients: 2, rounds: 3}
local: {steps: 2, batch: 8, lr: 0.05}
run: {checkpoint_every: 1, claim_expiry: 5s}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the plugin; its algorithms are forgotten after the tests."""
    path = tmp_path_factory.mktemp("faults")
    (path / "odd.py").write_text(PLUGIN)
    yield path
    forget_plugin("odd")


def suite_of(folder: Path, name: str, algorithms: str, **run: str) -> Path:
    file = folder / f"{name}.yaml"
    text = SUITE.replace("[fedavg]", f"[{algorithms}]")
    more = "".join(f", {key}: {value}" for key, value in run.items())
    file.write_text(text.replace("claim_expiry: 5s", f"claim_expiry: 5s{more}"))
    return file


def by_algorithm(results: Path) -> dict[str, CellFolder]:
    cells = Store(results / "odd").cells()
    return {cell.description()["cell"]["algorithm"]["name"]: cell for cell in cells}


@pytest.fixture(scope="module")
def faulty(folder: Path) -> tuple[Path, Path, subprocess.CompletedProcess[str]]:
    """One run of a suite in which almost everything goes wrong."""
    names = "hangs, raises, weights, allocates, killed-once, killed, fedavg"
    suite = suite_of(folder, "faulty", names, timeout="20s")
    results = folder / "results"
    return suite, results, mosaic("run", suite, "--results", results, "--plugin", folder / "odd.py", "-j", 2)


@pytest.mark.parametrize(
    ("algorithm", "state", "message"),
    [
        ("fedavg", "done", ""),
        ("raises", "failed", "ZeroDivisionError: told to (traceback in "),
        ("weights", "diverged", "self.teachers.weight is no longer finite after step 2 of 3"),
        ("allocates", "oom", "out of memory; 0."),
        ("killed", "oom", "killed by the system, as when memory is short; 0."),
        ("killed-once", "done", ""),
        ("hangs", "timeout", "took longer than run.timeout, 20 s; it was after step 1 of 3, since "),
    ],
)
def test_each_fault_costs_its_own_cell_and_says_what_happened(
    faulty: tuple[Path, Path, subprocess.CompletedProcess[str]], algorithm: str, state: str, message: str
) -> None:
    _, results, done = faulty
    assert (done.returncode, done.stderr) == (1, "")
    status = by_algorithm(results)[algorithm].status()
    assert status.state.value == state
    assert status.message.startswith(message) if message else status.message == ""
    assert not (results / "odd/cells").joinpath(by_algorithm(results)[algorithm].key, "claim").exists()


@pytest.mark.parametrize(
    ("algorithm", "steps"),
    [
        ("killed-once", "0 1 1 2 "),  # the retry goes on from the checkpoint
        ("killed", "0 1 1 "),  # run.retries is 1
        ("allocates", "0 1 1 "),
        ("raises", "0 1 "),
    ],
)
def test_a_cell_that_ran_out_of_memory_is_tried_once_more(
    faulty: tuple[Path, Path, subprocess.CompletedProcess[str]], folder: Path, algorithm: str, steps: str
) -> None:
    assert (folder / f"{algorithm}.steps").read_text() == steps


def test_rerun_failed_starts_them_again_from_their_first_step(
    faulty: tuple[Path, Path, subprocess.CompletedProcess[str]], folder: Path, call: Call
) -> None:
    suite, results, _ = faulty
    whole = numbers(results)[by_algorithm(results)["killed-once"].key]
    (folder / "mended").touch()
    for steps in folder.glob("*.steps"):
        steps.unlink()
    options = ["--results", results, "--plugin", folder / "odd.py", "--isolation", "none"]
    ended = call("run", suite, *options, "--rerun", "failed")
    assert ended.code == 0, ended.out + ended.err
    assert "7 cells, 2 done already" in ended.out
    assert {path.stem: path.read_text() for path in folder.glob("*.steps")} == dict.fromkeys(
        ["hangs", "raises", "weights", "allocates", "killed"], "0 1 2 "
    )
    assert all(steps == whole for steps in numbers(results).values())  # mended, they are all FedAvg

    ended = call("run", suite, *options, "--rerun", "all", "--only", "algorithm=raises")
    assert ended.code == 0
    assert (folder / "raises.steps").read_text() == "0 1 2 0 1 2 "
    cell = by_algorithm(results)["raises"]
    environment = cell.environment()
    older = environment["sources"] | {"harness": "older", "text": "older"}
    cell.write_environment(environment | {"sources": older})
    assert call("run", suite, *options, "--rerun", "stale").code == 0
    assert (folder / "raises.steps").read_text() == "0 1 2 " * 3
    assert (folder / "killed.steps").read_text() == "0 1 2 "


def test_in_one_process_time_is_up_at_the_end_of_a_step_and_nobodys_memory_is_measured(
    folder: Path, tmp_path: Path, call: Call
) -> None:
    suite = suite_of(folder, "slow", "slow", isolation="none", timeout="0.2")
    options = ["--results", tmp_path, "--plugin", folder / "odd.py"]
    for step in (1, 2):
        assert call("run", suite, *options).code == 1
        [cell] = Store(tmp_path / "odd").cells()
        message = f"took longer than run.timeout, 0.2 s; it was after step {step} of 3"
        assert cell.status() == Status(State.TIMEOUT, step, 3, message)
    assert call("run", suite, *options).code == 0  # what is done is done, however long it took
    assert (folder / "slow.steps").read_text() == "0 1 2 "
    assert [sorted(record["time"]) for record in cell.steps()] == [
        ["client_seconds", "evaluate_seconds", "server_seconds"]
    ] * 3


@pytest.mark.skipif(shutil.which("unshare") is None or sys.platform != "linux", reason="mounts a small file system")
def test_a_full_disk_stops_the_run_and_it_goes_on_when_there_is_room(folder: Path, tmp_path: Path) -> None:
    suite = suite_of(folder, "full", "grows, fedavg")
    run = " ".join([*COMMAND, "run", str(suite), "--plugin", str(folder / "odd.py"), "-j", "1", "--results"])
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f"""
        mount -t tmpfs -o size=1300k tmpfs {disk} || exit 77
        {run} {disk}/r > {tmp_path}/first 2>&1; echo $? > {tmp_path}/code
        cp -r {disk}/r {tmp_path}/left
        mount -o remount,size=64m {disk}
        {run} {disk}/r > {tmp_path}/second 2>&1; echo $? >> {tmp_path}/code
        cp -r {disk}/r {tmp_path}/r
        mount -o remount,ro {disk}
        {run} {disk}/r > {tmp_path}/third 2>&1; echo $? >> {tmp_path}/code
    """
    ended = subprocess.run(["unshare", "--map-root-user", "--mount", "sh", "-c", script], env=environment())
    if ended.returncode == 77:
        pytest.skip("may not mount a file system")
    first, second, third = ((tmp_path / name).read_text() for name in ("first", "second", "third"))
    assert (tmp_path / "code").read_text().split() == ["2", "0", "2"], first + second + third
    error = next(line for line in first.splitlines() if line.startswith("error:"))
    assert "cannot be written (No space left on device); make room and run the suite again" in error
    assert "Traceback" not in first
    assert set(states(tmp_path / "left").values()) <= {"interrupted", "planned", "done"}
    assert len(list(tmp_path.glob("left/odd/cells/*/checkpoint.previous"))) == 1
    assert "Read-only file system" in third
    assert "choose another folder with --results" in third

    load_plugins([folder / "odd.py"])
    for job in jobs_of(suite, []):
        whole = describe(job, tmp_path / "whole", [])
        run_until(whole, [])
        assert numbers(tmp_path / "r")[whole.key] == exact(whole.steps())


def test_a_cell_held_elsewhere_is_waited_for_and_accounted_for(folder: Path, tmp_path: Path, call: Call) -> None:
    suite = suite_of(folder, "held", "fedavg, local")
    job, _ = jobs_of(suite, [])
    held = describe(job, tmp_path / "odd/cells", [])
    claim = Claim.take(held.path)
    assert claim is not None
    last = {"step": 3, "metrics": {}, "ledger": {}, "time": {}}

    def finish_later() -> None:
        with claim.kept_alive(lambda: 0):
            time.sleep(4)
            folder = CellFolder(held.path, claim)
            folder.append_step(last)
            folder.set_status(Status(State.DONE, 3, 3))

    elsewhere = threading.Thread(target=finish_later)
    elsewhere.start()
    ended = call("run", suite, "--results", tmp_path, "--isolation", "none")
    elsewhere.join()
    assert ended.code == 0, ended.out
    lines = [line.split() for line in ended.out.splitlines() if held.key in line]
    assert [line[1] for line in lines] == ["elsewhere", held.key]
    assert lines[1][:3] == ["[2/2]", held.key, "done"]
    assert held.steps() == [last]  # nobody ran it here
    assert not (held.path / "claim").exists()


def test_a_cell_of_another_machine_that_died_is_taken_over(folder: Path, tmp_path: Path, call: Call) -> None:
    suite = suite_of(folder, "lost", "fedavg")
    [job] = jobs_of(suite, [])
    lost = describe(job, tmp_path / "odd/cells", [])
    run_until(lost, [], stop_after=1)
    claim = Claim.take(lost.path)
    assert claim is not None
    claim._folder.rename(claim._folder.with_name("faraway-12345678-4242-0123456789ab"))
    ended = call("run", suite, "--results", tmp_path, "--isolation", "none")
    assert ended.code == 0, ended.out
    assert "(faraway, process 4242)" in ended.out
    whole = describe(job, tmp_path / "whole", [])
    run_until(whole, [])
    assert exact(lost.steps()) == exact(whole.steps())


def test_a_done_cell_whose_steps_are_damaged_is_rebuilt_to_the_same_numbers(
    folder: Path, tmp_path: Path, call: Call
) -> None:
    suite = suite_of(folder, "damaged", "fedavg", isolation="none")
    assert call("run", suite, "--results", tmp_path).code == 0
    [cell] = Store(tmp_path / "odd").cells()
    whole, right, file = exact(cell.steps()), cell.read_correct(), cell.path / "steps.jsonl"
    for content in (b"garbage", file.read_bytes()[:-40], None):
        file.unlink() if content is None else file.write_bytes(content)
        ended = call("run", suite, "--results", tmp_path)
        assert (ended.code, "1 cell, 0 done already" in ended.out) == (0, True), ended.out
        assert cell.status() == Status(State.DONE, 3, 3, correct=["server"], images=60)
        assert (exact(cell.steps()), cell.read_correct()) == (whole, right)


def test_a_clock_that_jumps_changes_nothing(
    folder: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = suite_of(folder, "jumps", "fedavg")
    [job] = jobs_of(suite, [])
    whole = describe(job, tmp_path / "whole", [])
    run_until(whole, [])
    jumps = iter([2e9, 0.0, 4e9, 1e9] * 10**6)
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: next(jumps))
        patched.setattr(time, "time_ns", lambda: int(next(jumps)) * 10**9)
        ended = call("run", suite, "--results", tmp_path / "r", "--isolation", "none")
    assert ended.code == 0, ended.out
    assert numbers(tmp_path / "r")[whole.key] == exact(whole.steps())
    assert torch.get_num_threads() == 1
