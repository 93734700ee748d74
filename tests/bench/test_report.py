"""Ten thousand cells to tables and to a page. Run with `pytest tests/bench/test_report.py -s`."""

import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from studies import Coordinates, write_study

from mosaic_bench.report.page import render_page
from mosaic_bench.report.study import read_study
from mosaic_bench.report.table import make_table
from mosaic_bench.store import State, Store

CELLS = 10_000
AXES = {
    "algorithm": [
        *("local", "fedavg", "fedprox", "feddf", "feddf-data-free"),
        *("fedgen", "fedftg", "dense", "dense-rounds", "mosaic"),
    ],
    "dataset": [f"set{number}" for number in range(10)],
    "partition": [*(f"dirichlet(alpha={alpha})" for alpha in (0.01, 0.05, 0.1, 0.3, 0.5, 1, 5, 10, 100)), "iid"],
    "seed": [str(seed) for seed in range(10)],
}
TABLES = [{"name": name, "preset": name} for name in ("accuracy", "alpha", "ablation", "cost")]


def accuracy(cell: Coordinates) -> float | tuple[State, str]:
    drawn = zlib.crc32(repr(cell).encode()) / 2**32
    return (State.FAILED, f"ValueError: {drawn:.1f}") if drawn < 0.02 else drawn


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_study(tmp_path_factory.mktemp("big") / "big", AXES, accuracy, evaluated=10, tables=TABLES)


def seconds(work: Callable[[], object]) -> float:
    """Processor time: the machine may be busy with other tests."""
    began = time.process_time()
    work()
    return time.process_time() - began


def test_frame_and_all_tables_of_ten_thousand_cells(store: Store) -> None:
    study = read_study(store)

    def tables() -> None:
        study = read_study(store)
        assert len(study.frame) > CELLS
        for spec in study.report.tables:
            make_table(study, spec)

    took = seconds(tables)
    print(f"\nframe and {len(TABLES)} tables of {len(study.results):,} cells: {took:.1f} s of processor time (aim: 5)")
    assert len(study.results) == CELLS


def test_page_of_ten_thousand_cells(store: Store, tmp_path: Path) -> None:
    study = read_study(store)
    took = seconds(lambda: store.write_output("report.html", render_page(study)))
    print(f"\npage of {CELLS:,} cells: {took:.1f} s of processor time (aim: 30)")
    assert (store.path / "report.html").read_text().count("<tr data-key=") == CELLS
