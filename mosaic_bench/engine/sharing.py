"""The stages of one running cell: what it takes from other cells, makes for them, and promises to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch

from mosaic_bench.api import Algorithm
from mosaic_bench.engine.prefixes import DamagedPrefixError, PrefixStore
from mosaic_bench.engine.provenance import sources_of
from mosaic_bench.engine.resolve import fingerprint
from mosaic_bench.engine.stages import describe_stages, read_plan, stages_of, stages_until
from mosaic_bench.engine.state import StateKeeper, digest
from mosaic_bench.store import CellFolder, tree_digests
from mosaic_bench.suite import Cell


class StageError(RuntimeError):
    """An algorithm whose steps are not what it declared of its stages."""


@dataclass(frozen=True)
class Prefix:
    """A cell's state after some steps, as another cell left it.

    Attributes:
        records: lines of ``steps.jsonl`` that every cell with these steps has.
        loss: mean training loss of the last step; None when nobody trained.
        trace: what there is to trace of the steps (see ``Trace``).
    """

    records: list[dict[str, Any]]
    loss: float | None
    trace: list[dict[str, Any]]


class Sharing:
    """Takes and makes the prefixes of one cell. Create it right after ``setup``.

    Args:
        folder, cell: the cell.
        algorithm, keeper: what a prefix restores.
        numeric: the numeric environment; prefixes of others are not taken.
        device: where the cell computes.
        limit: bytes that prefixes may take; 0 shares nothing.

    Attributes:
        steps: numbers of steps after which another cell is in the same state, ascending.

    Raises:
        StageError: the declared stages are longer than the algorithm.
    """

    def __init__(
        self,
        folder: CellFolder,
        cell: Cell,
        algorithm: Algorithm,
        keeper: StateKeeper,
        numeric: Mapping[str, Any],
        device: torch.device,
        limit: int,
    ) -> None:
        self._folder, self._cell, self._algorithm, self._keeper = folder, cell, algorithm, keeper
        self._numeric, self._device = numeric, device
        self._stages = stages_of(cell, type(algorithm), algorithm.params)
        declared = sum(stage.steps for stage in self._stages)
        if declared > algorithm.steps:
            raise StageError(f"{algorithm.name} declares stages of {declared} steps, but makes {algorithm.steps}")
        shared = read_plan(folder.prefixes, folder.key)
        self._setting, self.steps = shared.setting, shared.steps if limit else ()
        self._store = PrefixStore(folder.prefixes, limit)
        self._initial = self._digests() if self.steps else {}

    def take(self, step: int) -> Prefix | None:
        """Restore the state after ``step`` steps; None when no other cell has left it.

        Raises:
            StageError: the cell that left it differs in what the stages promise.
        """
        try:
            content = self._store.load(self._key(step), self._device)
        except DamagedPrefixError:
            self._say(step, "damaged, so it is made again")
            return None
        if content is None:
            return None
        self._compare(step, content, "initial", {name: self._initial.get(name) for name in self._kept(step)})
        self._keeper.restore(content["state"])
        self._algorithm.fed.ledger.restore(content["ledger"])
        self._compare(step, content, "predictors", self._predictors())
        self._say(step, f"taken from cell {content['cell']}")
        return Prefix(content["records"], content["loss"], self._trace(step, content["trace"]))

    def make(self, step: int, loss: float | None) -> None:
        """Leave the state after ``step`` steps, the present one, to the other cells. The caller holds the claim.

        Raises:
            StageError: the steps changed what they do not keep.
        """
        content = {
            "cell": self._folder.key,
            "state": self._kept_state(step),
            "initial": {name: self._initial.get(name) for name in self._kept(step)},
            "predictors": self._predictors(),
            "ledger": self._algorithm.fed.ledger.state(),
            "records": [record for record in self._folder.steps() if record["step"] % self._cell.evaluate.every == 0],
            "loss": loss,
            "trace": self._kept_trace(step),
        }
        try:
            fits = self._store.save(self._key(step), content)
            self._say(step, "made" if fits else "larger than run.prefixes, so it is not kept")
        except OSError as error:
            self._say(step, f"not kept: {error.strerror}")

    def claim(self, step: int, waiting: Callable[[], None]) -> AbstractContextManager[None]:
        """Be the only one who takes or makes the state after ``step`` steps; see ``PrefixStore.claim``."""
        told: list[bool] = []

        def wait() -> None:
            if not told:
                self._say(step, "waiting for the cell that makes it")
                told.append(True)
            waiting()

        return self._store.claim(self._key(step), wait)

    def _key(self, step: int) -> str:
        stages = stages_until(self._stages, step)
        sources = [tree_digests(sources_of(stage.owner)) for stage in stages]
        return fingerprint([self._setting, describe_stages(stages), self._numeric, sources])

    def _kept(self, step: int) -> list[str]:
        return sorted({name for stage in stages_until(self._stages, step) for name in stage.keeps})

    def _kept_state(self, step: int) -> dict[str, Any]:
        """The attributes that the stages keep, once it is sure that they changed no other."""
        state, kept = self._keeper.collect(), self._kept(step)
        absent = [name for name in kept if name not in state]
        if absent:
            raise StageError(f"{self._title(step)} keeps self.{absent[0]}, but there is none after it")
        found = self._digests()
        names = found.keys() | self._initial.keys()
        changed = sorted(n for n in names - set(kept) if found.get(n) != self._initial.get(n))
        if changed:
            raise StageError(f"{self._title(step)} changes self.{changed[0]}, which it does not declare in `keeps`")
        return {name: state[name] for name in kept}

    def _kept_trace(self, step: int) -> list[dict[str, Any]]:
        """What was traced of the attributes that the stages keep."""
        kept = set(self._kept(step))
        return [
            record | {"norms": {name: norm for name, norm in record["norms"].items() if _attribute(name) in kept}}
            for record in self._folder.trace()["steps"]
        ]

    def _trace(self, step: int, kept_trace: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """A trace of kept attributes, with this algorithm's others, which are as ``setup`` left them."""
        kept = set(self._kept(step))
        own = {name: norm for name, norm in self._keeper.norms().items() if _attribute(name) not in kept}
        return [record | {"norms": record["norms"] | own} for record in kept_trace]

    def _digests(self) -> dict[str, str]:
        return {name: digest(value) for name, value in self._keeper.collect().items()}

    def _predictors(self) -> dict[str, list[str]]:
        predictors = self._algorithm.predictors()
        return {name: sorted(group) if isinstance(group, Mapping) else [] for name, group in predictors.items()}

    def _compare(self, step: int, content: Mapping[str, Any], entry: str, own: Mapping[str, Any]) -> None:
        what = {"initial": "starts it with another self.", "predictors": "evaluates another predictor "}[entry]
        theirs = content[entry]
        differing = sorted(name for name in own.keys() | theirs.keys() if own.get(name) != theirs.get(name))
        if differing:
            raise StageError(
                f"{self._title(step)} is shared with cell {content['cell']}, but {self._algorithm.name} {what}"
                f"{differing[0]}; cells that share a stage may not differ in it"
            )

    def _title(self, step: int) -> str:
        last = stages_until(self._stages, step)[-1]
        return f"stage '{last.name}' of {last.owner.name}"

    def _say(self, step: int, what: str) -> None:
        self._folder.note(f"prefix {self._key(step)}, {step} steps to {self._title(step)}: {what}")


def _attribute(tensor: str) -> str:
    """The attribute of the algorithm that a tensor is part of, by its name in ``StateKeeper.norms``."""
    return tensor.partition(".")[0]
