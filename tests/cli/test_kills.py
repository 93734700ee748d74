"""SIGKILL at any moment, of the runner or of its children: no number changes, no cell is lost or done twice."""

import json
import os
import random
import signal
import subprocess
import time
from importlib.metadata import entry_points
from itertools import cycle, islice
from pathlib import Path

import pytest
from calls import Call
from runs import COMMAND, environment, numbers, processes_with, states

from mosaic_bench.engine.algorithms import ENTRY_POINT_GROUP, find_algorithm
from mosaic_bench.store import Claim, Store

CELLS = 12
FILES = {"cell.json", "status.json", "steps.jsonl", "trace.json", "correct.bin", "env.json", "log.txt", "figures"}


def every_algorithm(folder: Path) -> Path:
    """A suite of at least twelve cells over every installed algorithm that has code of its own, with small budgets."""
    names = sorted(point.name for point in entry_points(group=ENTRY_POINT_GROUP))
    names = [name for name in names if find_algorithm(name).variant_of is None]
    chosen = list(islice(cycle(names), max(CELLS, len(names))))
    algorithms = [{"name": name, "params": dict(find_algorithm(name).conformance_params)} for name in chosen]
    seeds = [index // len(names) for index in range(len(chosen))]
    file = folder / "all.yaml"
    file.write_text(
        f"suite: all\ngrid: {{zip: {{algorithm: {json.dumps(algorithms)}, seed: {seeds}}}}}\n"
        "dataset: {name: digits, train: 200, test: 50}\npartition: {dirichlet: {alpha: 0.5}}\nmodels: mlp\n"
        "federation: {clients: 2, rounds: 8, validation: 0.1, public: {from: train, fraction: 0.1}}\n"
        "local: {steps: 4, batch: 16, lr: 0.05}\nrun: {checkpoint_every: 1}\n"
    )
    return file


class Victims:
    """A run of the suite that is started again whenever it has ended."""

    def __init__(self, suite: Path, results: Path) -> None:
        self._command = [*COMMAND, "run", str(suite), "--results", str(results), "-j", "2"]
        self._results = results
        self._runner: subprocess.Popen[bytes] | None = None

    def saves(self) -> int:
        """Start the runner if there is none; return a number that grows with every step that is saved."""
        if self._runner is None or self._runner.poll() is not None:
            log = (self._results.parent / "log").open("ab")
            environ = environment(STARTED_FOR=str(self._results))
            self._runner = subprocess.Popen(self._command, stdout=log, stderr=log, env=environ)
        return sum(len(cell.steps()) for cell in Store(self._results / "all").cells())

    def kill(self, whom: str) -> None:
        """Kill a child, the runner, or everything."""
        assert self._runner is not None
        processes = {"everything": processes_with(str(self._results)), "the runner": [self._runner.pid]}
        for process in processes.get(whom) or self._children()[:1]:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if whom != "a child":
            self._runner.wait()

    def finish(self) -> int:
        """Let the run come to its end."""
        self.saves()
        assert self._runner is not None
        return self._runner.wait(timeout=300)

    def _children(self) -> list[int]:
        pulses = (Claim.pulse(cell.path) for cell in Store(self._results / "all").cells())
        return [int(pulse.owner.split("-")[-2]) for pulse in pulses if pulse is not None and not pulse.dead]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_twenty_kills_change_no_number(tmp_path: Path, call: Call) -> None:
    suite = every_algorithm(tmp_path)
    whole = tmp_path / "whole"
    assert call("run", suite, "--results", whole, "--isolation", "none").code == 0
    rng = random.Random(0)
    victims = Victims(suite, tmp_path / "cut")
    kills = ["a child"] * 12 + ["the runner"] * 4 + ["everything"] * 4
    rng.shuffle(kills)
    for whom in kills:
        before, wanted, deadline = victims.saves(), rng.randint(1, 3), time.monotonic() + 120
        while victims.saves() < before + wanted:
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.1))
        victims.kill(whom)
    assert victims.finish() == 0, (tmp_path / "log").read_text()

    assert numbers(tmp_path / "cut") == numbers(whole)
    assert len(numbers(whole)) >= CELLS
    assert set(states(tmp_path / "cut").values()) <= {"done", "unsupported"}
    files = {path.name for cell in Store(tmp_path / "cut/all").cells() for path in cell.path.iterdir()}
    assert files <= FILES
    arrays = {path.suffix for path in (tmp_path / "cut/all/cells").glob("*/figures/*")}
    assert arrays == {".npz"}


COUNTED = """
import os
from pathlib import Path

from baselines.fedavg import FedAvg
from mosaic_bench.api import register


@register("counted", paper="none")
class Counted(FedAvg):
    def step(self, t):
        with Path(__file__).with_name("steps").open("a") as file:
            file.write(f"{os.getpid()} {t}\\n")
        super().step(t)
"""


def test_four_runs_at_once_do_each_cell_once(tmp_path: Path) -> None:
    plugin, suite = tmp_path / "counted.py", tmp_path / "four.yaml"
    plugin.write_text(COUNTED)
    suite.write_text(
        "suite: four\ngrid: {algorithm: [counted], seed: [0, 1, 2, 3, 4, 5, 6, 7]}\n"
        "dataset: {name: digits, train: 200, test: 50}\npartition: iid\nmodels: mlp\n"
        "federation: {clients: 2, rounds: 6}\nlocal: {steps: 8, batch: 16, lr: 0.05}\n"
    )
    command = [*COMMAND, "run", suite, "--results", tmp_path / "r", "--plugin", plugin, "-j", "1"]
    runs = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment())
        for _ in range(4)
    ]
    outputs = [run.communicate(timeout=300)[0] for run in runs]
    assert [run.returncode for run in runs] == [0] * 4, outputs
    assert set(states(tmp_path / "r").values()) == {"done"}
    steps = [line.split() for line in (tmp_path / "steps").read_text().splitlines()]
    by_process = {process: [t for other, t in steps if other == process] for process, _ in steps}
    assert list(by_process.values()) == [["0", "1", "2", "3", "4", "5"]] * 8
    assert all(" [8/8] " in f" {output.replace(chr(10), ' ')}" for output in outputs)
