"""Workers take cells that need not wait for each other's shared steps, as long as there are any."""

from pathlib import Path

from grids import SIX, Grid

from mosaic_bench.engine.turns import Turns

WARM = [{"name": "warm", "params": {"warmup": 2, "calm": calm}} for calm in (0.1, 0.2)]


def test_a_cell_comes_once_what_it_would_wait_for_is_made(tmp_path: Path) -> None:
    """Two cells share two rounds, two others the clients' part of DENSE, and FedAvg shares the two rounds."""
    cells = Grid(tmp_path / "grid", [*WARM, *SIX[:2], "fedavg"]).cells
    first, second, dense, other_dense, fedavg = cells
    turns = Turns(cells)
    assert [turns.next() for _ in range(2)] == [first, dense]
    turns.stepped(first.key, 1)
    assert turns.next() == second, "there is nothing that need not wait, so the first waits"
    turns.stepped(first.key, 2)
    turns.stepped(second.key, 2)
    assert turns.next() == fedavg
    turns.ended(dense.key)
    assert turns.next() == other_dense


def test_cells_that_share_nothing_come_in_their_order(tmp_path: Path) -> None:
    cells = Grid(tmp_path / "grid", ["fedavg", "feddf", "fedgen"]).cells
    turns = Turns(cells)
    assert [turns.next() for _ in cells] == cells
