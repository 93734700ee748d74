"""What cells will cost and how long they will still take, as the verbs tell it."""

import json
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from calls import Call
from rich.console import Console
from runs import COMMAND
from support import forget_plugin

from mosaic_bench.cli.output import amount_of_bytes, duration
from mosaic_bench.cli.watch import picture
from mosaic_bench.store import Claim, State, Status, Store
from mosaic_bench.store.progress import Progress

Tiny = tuple[Path, Path, str]

UNEVEN = """\
suite: uneven
grid: {algorithm: [fedavg], federation.rounds: [1, 3, 2], seed: [0]}
dataset: {name: digits, train: 60, test: 20}
partition: iid
models: mlp
federation: {clients: 2}
local: {steps: 1, batch: 8}
run: {isolation: none}
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MOSAIC_BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def uneven(tmp_path: Path, cache: Path) -> Path:
    suite = tmp_path / "uneven.yaml"
    suite.write_text(UNEVEN)
    return suite


def expected(out: str) -> list[str]:
    """The last column of the table of ``plan``."""
    return [re.split(r" {2,}", line)[-1] for line in out.splitlines() if re.match(" [0-9a-f]{12} ", line)]


def test_a_plan_calibrates_once_and_remembers(uneven: Path, tmp_path: Path, call: Call) -> None:
    options = [uneven, "--results", tmp_path / "results", "-j", "2"]
    rough = call("plan", *options, "--no-calibration")
    assert all(text.startswith("~ ") for text in expected(rough.out))
    assert "~ from FLOPs of local training and evaluation, at an assumed 20 GFLOP/s" in rough.out
    timed = call("plan", *options)
    assert all(text.startswith("≈ ") for text in expected(timed.out))
    assert re.search(r"^to do: 3 cells, \S+ core-hours; about \S+ s with 2 at a time$", timed.out, re.MULTILINE)
    assert re.search(r"^on disk: \d\d kB when all is done, \S+ kB of checkpoints meanwhile$", timed.out, re.MULTILINE)
    assert call("plan", *options, "--no-calibration").out == timed.out
    assert not (tmp_path / "results").exists()


def test_a_run_starts_with_the_cells_that_take_longest_and_the_plan_then_tells_what_they_took(
    uneven: Path, tmp_path: Path, call: Call
) -> None:
    options = [uneven, "--results", tmp_path / "results"]
    ended = call("run", *options)
    assert [line.split()[-1] for line in ended.out.splitlines() if re.match(r"\[\d/3\]", line)] == ["3", "2", "1"]
    planned = call("plan", *options)
    assert [re.fullmatch(r"\d\.\d s", text) is not None for text in expected(planned.out)] == [True] * 3
    assert planned.out.splitlines()[-1] == "nothing to do"
    entries = Store(tmp_path / "results" / "uneven").suite()["cells"]
    seconds = [entry["expected"] for entry in entries]
    assert 0 < seconds[0] < seconds[2] < seconds[1]


def test_a_gpu_that_is_not_here_is_planned_from_flops_at_the_speed_given(
    uneven: Path, tmp_path: Path, call: Call
) -> None:
    options = ["plan", uneven, "--results", tmp_path / "results", "-j", "1", "--set", "local.steps=1000"]
    slow, fast = call(*options, "--speed", "1e6").out, call(*options, "--speed", "1e7").out
    found = [re.search(r"([\d.]+) GPU-hours; .* with 1 at a time$", out, re.MULTILINE) for out in (slow, fast)]
    hours = [float(each[1]) for each in found if each]
    assert "at an assumed 0.001 GFLOP/s" in slow
    assert all(text.startswith("~ ") for text in expected(slow))
    assert hours[0] == pytest.approx(10 * hours[1], rel=0.05)
    assert hours[1] > 0.5
    assert call(*options, "--speed", "10").code == 2


def test_missing_data_is_planned_from_the_catalog(tmp_path: Path, cache: Path, call: Call) -> None:
    suite = tmp_path / "absent.yaml"
    suite.write_text(UNEVEN.replace("{name: digits, train: 60, test: 20}", "food101"))
    planned = call("plan", suite, "--data", tmp_path)
    assert planned.code == 0
    rows = [line for line in planned.out.splitlines() if "no data" in line and "fedavg" in line]
    assert len(rows) == 3
    assert all("~ " in row for row in rows)


def test_status_tells_the_time_left_of_running_cells(tiny: Tiny, call: Call) -> None:
    store = Store(tiny[1] / "tiny")
    cell = next(store.cells())
    before, lines = cell.status(), (cell.path / "steps.jsonl").read_text()
    line = json.loads(lines.splitlines()[0])
    line["time"] |= {"client_seconds": 300.0, "server_seconds": 0.0, "evaluate_seconds": 0.0}
    try:
        cell.set_status(Status(State.RUNNING, 0, 5))
        claim = Claim.take(cell.path)
        (cell.path / "steps.jsonl").write_text(json.dumps(line) + "\n")
        out = call("status", tiny[0], "--results", tiny[1]).out
        row = next(text for text in out.splitlines() if cell.key in text)
        assert re.search(r"running +1/5 +20 min$", row)
        assert out.splitlines()[-1] in {"7 done, 1 running; about 20 min left", "1 running, 7 done; about 20 min left"}
        watched = call("status", tiny[0], "--results", tiny[1], "--watch").out  # no terminal: one look
        assert "1/5  20 min left" in watched
    finally:
        if claim:
            claim.release()
        cell.set_status(before)
        (cell.path / "steps.jsonl").write_text(lines)


def test_the_picture_has_a_bar_per_running_cell_and_the_last_failure_on_one_line() -> None:
    def cell(key: str, seed: str, status: Status, left: float | None = None, changed: float = 0.0) -> Progress:
        return Progress(key, {"algorithm": "fedavg", "seed": seed}, status, status.state, left, changed)

    cells = [
        cell("a", "0", Status(State.RUNNING, 5, 20), 30.0),
        cell("b", "1", Status(State.FAILED, 1, 20, "ValueError:\n  [the] first"), 0.0, 1.0),
        cell("c", "2", Status(State.OOM, 1, 20, "the last one " * 20), 0.0, 2.0),
        cell("d", "3", Status(State.DONE, 20, 20), 0.0, 3.0),
    ]
    console = Console(file=StringIO(), width=80, force_terminal=False)
    console.print(picture(cells, ["seed"]))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 3
    assert re.fullmatch(r"0 .*5/20 +30 s left", lines[0].rstrip())
    assert lines[1] == "1 running, 1 failed, 1 oom, 1 done; about 30 s left"
    assert lines[2].startswith("oom: c the last one the last one")
    assert lines[2].endswith("…")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_watching_in_a_terminal_ends_when_nothing_is_left(tiny: Tiny) -> None:
    import pty

    cell = next(Store(tiny[1] / "tiny").cells())
    before = cell.status()
    cell.set_status(Status(State.RUNNING, 2, 5))
    claim = Claim.take(cell.path)
    ours, theirs = pty.openpty()
    command = [*COMMAND, "status", str(tiny[0]), "--results", str(tiny[1]), "--watch"]
    watching = subprocess.Popen(command, stdout=theirs, env=os.environ | {"TERM": "xterm"})
    os.close(theirs)
    try:
        read_until(ours, "/5")
        cell.set_status(before)
        read_until(ours, "8 done")
        assert watching.wait(timeout=60) == 0
    finally:
        watching.kill()
        watching.wait()
        cell.set_status(before)
        if claim:
            claim.release()
        os.close(ours)


def read_until(terminal: int, text: str) -> str:
    """Read what a terminal shows until the text appears; gives up after a minute."""
    shown, deadline = "", time.monotonic() + 60
    while text not in shown:
        ready, _, _ = select.select([terminal], [], [], 1)
        assert time.monotonic() < deadline, shown
        shown += os.read(terminal, 4096).decode(errors="replace") if ready else ""
    return shown


@pytest.fixture
def without_plugin() -> Iterator[None]:
    yield
    forget_plugin("fedavg2")


@pytest.mark.usefixtures("cache", "without_plugin")
def test_a_cell_runs_again_from_another_folder_with_its_plugin_settings_and_data(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, elsewhere = tmp_path / "start", tmp_path / "elsewhere"
    for folder in (start / "own data", elsewhere):
        folder.mkdir(parents=True)
    pixels = np.random.RandomState(0).randint(0, 256, (80, 8, 8), dtype=np.uint8)
    labels = np.arange(80) % 4
    np.savez(start / "own data" / "grey.npz", x_train=pixels, y_train=labels, x_test=pixels, y_test=labels)
    (start / "fedavg2.py").write_text(
        "from baselines.fedavg import FedAvg\nfrom mosaic_bench.api import register\n\n\n"
        '@register("fedavg2", paper="none")\nclass Second(FedAvg):\n    pass\n'
    )
    (start / "s.yaml").write_text(UNEVEN.replace("{name: digits, train: 60, test: 20}", "grey"))
    monkeypatch.chdir(start)
    first = call(
        *("run", "s.yaml", "--plugin", "fedavg2.py", "--data", "own data", "--set", "grid.algorithm=[fedavg2]"),
        *("--set", "local.lr=0.3", "--only", "federation.rounds=2"),
    )
    assert (first.code, first.err) == (0, "")
    (cell,) = Store(start / "results" / "uneven").cells()
    monkeypatch.chdir(elsewhere)
    shown = call("show", cell.key, "--results", start / "results").out.splitlines()[1]
    command = shown.removeprefix("again: python ")
    again = subprocess.run(f"{sys.executable} {command}", shell=True, capture_output=True, text=True, timeout=120)
    assert (again.returncode, again.stderr) == (0, "")
    alone = call("show", cell.key, "--results", start / "results", "--as-suite").out
    (elsewhere / "one.yaml").write_text(alone)
    options = (
        "--plugin",
        start / "fedavg2.py",
        "--data",
        start / "own data",
        "--results",
        "one",
        "--isolation",
        "none",
    )
    assert call("run", "one.yaml", *options).code == 0
    for results in (elsewhere / "again" / "uneven", elsewhere / "one" / f"cell-{cell.key}"):
        (copy,) = Store(results).cells()
        assert copy.key == cell.key
        assert [step["metrics"] for step in copy.steps()] == [step["metrics"] for step in cell.steps()]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (65, "65 s"),
        (200, "3.3 min"),
        (7000, "117 min"),
        (9000, "2.5 h"),
        (1e6, "11.6 d"),
    ],
)
def test_durations_have_two_digits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("number", "text"), [(999, "999 B"), (1200, "1.2 kB"), (5e7, "50 MB"), (2e12, "2.0 TB")])
def test_amounts_of_bytes_are_decimal(number: float, text: str) -> None:
    assert amount_of_bytes(number) == text
