"""What a cell's first steps leave behind, in numbers that a small mistake anywhere moves: what the gate compares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mosaic_bench.api import Stage
from mosaic_bench.engine.bench import Bench
from mosaic_bench.engine.stages import ends
from mosaic_bench.engine.state import StateKeeper, digest
from mosaic_bench.store import CellFolder

_FIRST = 3  # steps that are traced, of the run and after each of its stages
_DIGITS = 12  # of a digest


class Trace:
    """Writes ``trace.json``: who holds which images, and of the first steps cohort, loss and norms of the state.

    The first three steps are traced, and the first three after each stage that the algorithm declares: there the server
    of a one-shot method begins. A step that is done again, after an interruption, replaces what it had left.

    Args:
        folder: the cell.
        bench: its federation.
        keeper: the state of its algorithm.
        stages: in which the algorithm begins.
    """

    def __init__(self, folder: CellFolder, bench: Bench, keeper: StateKeeper, stages: Sequence[Stage]) -> None:
        self._folder, self._federation, self._keeper = folder, bench.federation, keeper
        self._partition = bench.partition_digest()[:_DIGITS]
        self._steps = {begin + i + 1 for begin in (0, *ends(stages)) for i in range(_FIRST)}

    def add(self, step: int, loss: float | None) -> None:
        """Trace the state after ``step`` steps, if that is one of the traced ones.

        Args:
            step: from 1.
            loss: mean training loss of the step; None when nobody trained.
        """
        if step in self._steps:
            cohort = digest(self._federation.cohort(step - 1))[:_DIGITS]
            record = {"step": step, "cohort": cohort, "loss": loss, "norms": self._keeper.norms()}
            self.take([*(old for old in self._folder.trace()["steps"] if old["step"] < step), record])

    def take(self, records: Sequence[dict[str, Any]]) -> None:
        """Write what another cell has traced of the steps that were taken from it."""
        traced = [record for record in records if record["step"] in self._steps]
        self._folder.write_trace({"partition": self._partition, "steps": traced})
