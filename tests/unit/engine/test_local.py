"""Cells on this machine, told of one by one."""

import threading
from pathlib import Path

from support import describe, jobs_of

from mosaic_bench.engine.local import LocalDispatcher
from mosaic_bench.engine.slots import Slots
from mosaic_bench.store import CellFolder, Claim, State, Status
from mosaic_bench.suite import RunSpec

SUITE = """
suite: raced
grid: {algorithm: [fedavg]}
dataset: {name: digits, train: 100, test: 40}
partition: iid
models: mlp
federation: {clients: 2, rounds: 1}
local: {steps: 1, batch: 8}
"""


class Rival:
    """Listens to a run, and takes its cell just before the run does; keeps what it was told."""

    def __init__(self, cell: Path) -> None:
        self._cell = cell
        self.told: list[tuple[str, State | None]] = []

    def started(self, key: str) -> None:
        self.told.append(("started", None))
        claim = Claim.take(self._cell)
        assert claim is not None
        threading.Timer(0.3, self._finish, [claim]).start()

    def stepped(self, key: str, step: int, steps: int, metrics: dict[str, float]) -> None:
        self.told.append(("stepped", None))

    def held(self, key: str, where: str) -> None:
        self.told.append(("held", None))

    def finished(self, key: str, state: State) -> None:
        self.told.append(("finished", state))

    def _finish(self, claim: Claim) -> None:
        folder = CellFolder(self._cell, claim)
        folder.append_step({"step": 1})
        folder.set_status(Status(State.DONE, 1, 1))
        claim.release()


def test_a_cell_that_another_run_was_faster_to_take_finishes_once(tmp_path: Path) -> None:
    suite = tmp_path / "raced.yaml"
    suite.write_text(SUITE)
    [job] = jobs_of(suite, [])
    folder = describe(job, tmp_path, [])
    rival = Rival(folder.path)
    slots = Slots(["cpu"], 1, None, 1)
    ended = LocalDispatcher([], RunSpec(isolation="none"), rival, slots=slots).dispatch([folder])
    assert ended == {folder.key: State.DONE}
    assert rival.told == [("started", None), ("finished", State.DONE)]
