"""Memory of a federation: it depends on the cohort, not on the number of clients. Run with `pytest tests/bench -s`."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mosaic_bench.store import Store

IMAGES = 20_000  # enough for a full batch of every client
TOLERANCE = 0.05
MEBIBYTE = 2**20
SUITE = """
suite: memory
grid:
  algorithm: [fedavg]
  zip:
    federation.clients: [10, 1000]
    federation.participation: [0.5, 0.005]
dataset: {name: grey, test: 50}  # judging 500 images at once needs more, and 40 MiB more or less by chance
partition: iid
models: {arch: resnet18, width: 0.5}
federation: {rounds: 2}
local: {steps: 1, batch: 16}
"""


def test_a_thousand_clients_need_the_memory_of_ten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cohorts of five; every cell runs in a process of its own."""
    monkeypatch.setenv("MOSAIC_BENCH_CACHE", str(tmp_path / "cache"))
    pixels = np.random.RandomState(0).randint(0, 256, (IMAGES, 16, 16), dtype=np.uint8)
    labels = np.arange(IMAGES) % 10
    np.savez(tmp_path / "grey.npz", x_train=pixels, y_train=labels, x_test=pixels[:500], y_test=labels[:500])
    suite, results = tmp_path / "memory.yaml", tmp_path / "results"
    suite.write_text(SUITE)
    options = ["--data", tmp_path, "--results", results, "--workers", "1", "--devices", "cpu"]
    subprocess.run([sys.executable, "-m", "mosaic_bench", "run", suite, *options], check=True, timeout=600)
    store = Store(results / "memory")
    cells = [store.cell(cell["key"]) for cell in store.suite()["cells"]]
    rounds, cohort, batch = 2, 5, 16
    assert [cell.steps()[-1]["ledger"]["samples"] for cell in cells] == [rounds * cohort * batch] * 2
    few, many = (cell.steps()[-1]["time"]["peak_bytes"] for cell in cells)
    print(f"10 clients {few / MEBIBYTE:.0f} MiB, 1,000 clients {many / MEBIBYTE:.0f} MiB, ratio {many / few:.3f}")
    assert abs(many / few - 1) <= TOLERANCE
