"""What the runner costs beyond the steps themselves, and what a second worker gains. Run with `pytest -s tests/bench`.

Set MOSAIC_BENCH_CELL_ROUNDS for longer cells: the targets (at most 3 s a cell, at least 1.8 times) are for cells of a
minute or more on an idle machine, and are printed rather than asserted since CI's machine is neither.
"""

import os
import sys
import time
from pathlib import Path

import pytest

from mosaic_bench.cli import main

ROUNDS = int(os.environ.get("MOSAIC_BENCH_CELL_ROUNDS", "4"))
CELLS = 4


def test_seconds_per_cell_beyond_its_steps_and_the_gain_of_two_workers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = tmp_path / "equal.yaml"
    suite.write_text(
        f"suite: equal\ngrid: {{algorithm: [fedavg], seed: {list(range(CELLS))}}}\n"
        "dataset: {name: digits, train: 1000, test: 100}\npartition: iid\nmodels: {arch: resnet8, width: 0.5}\n"
        f"federation: {{clients: 4, rounds: {ROUNDS}}}\nlocal: {{steps: 10, batch: 32, lr: 0.05}}\n"
    )
    seconds = {}
    for name, options in {
        "in one process": ["--isolation", "none"],
        "one worker": ["-j", "1"],
        "two workers": ["-j", "2"],
    }.items():
        command = ["mosaic_bench", "run", str(suite), "--results", str(tmp_path / name), "--devices", "cpu", *options]
        monkeypatch.setattr(sys, "argv", command)
        start = time.perf_counter()
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code
        seconds[name] = time.perf_counter() - start
    beyond = (seconds["one worker"] - seconds["in one process"]) / CELLS
    with capsys.disabled():
        print(f"\n{CELLS} cells of {seconds['in one process'] / CELLS:.1f} s: {beyond:.2f} s per cell beyond its steps")
        print(f"two workers: {seconds['one worker'] / seconds['two workers']:.2f} times as fast as one")
