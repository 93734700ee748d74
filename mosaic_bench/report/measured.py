"""What a finished cell is compared by: digests, bytes, the numbers of its first steps, accuracy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mosaic_bench.errors import UserError
from mosaic_bench.report.study import Study
from mosaic_bench.store import CellFolder, State
from mosaic_bench.suite.labels import telling
from mosaic_bench.suite.only import select

Steps = list[dict[str, Any]]


@dataclass(frozen=True)
class Measured:
    """What one finished cell is compared by.

    Attributes:
        key: of the cell.
        accuracy: its headline, in [0, 1].
        bytes: that crossed the network in all, by direction and kind (``up model``).
        partition: digest of who holds which images.
        steps: records of its trace: ``step``, ``cohort``, ``loss`` and ``norms``.
    """

    key: str
    accuracy: float
    bytes: dict[str, int]
    partition: str
    steps: Steps


def measured(study: Study, seed: str, only: Sequence[str] = ()) -> dict[str, Measured | str]:
    """Return the cells of one seed, by what tells them apart; a sentence for each that has no number.

    Args:
        study: a suite that was run.
        seed: its label.
        only: picks cells, as ``--only`` does.

    Raises:
        UserError: a cell was not run to its end, or left no trace.
    """
    wanted = select([result.coordinates for result in study.results], only, study.axes)
    found: dict[str, Measured | str] = {}
    for result, value, yes in zip(study.results, study.cells["value"], wanted, strict=True):
        if not yes or result.coordinates.get("seed") != seed:
            continue
        name, status = name_of(study, result.coordinates), result.status
        if status.state.failed or status.state is State.UNSUPPORTED:
            found[name] = f"{status.state.value}: {status.message}"
        elif result.folder is None or status.state is not State.DONE:
            raise UserError(f"{study.path}: '{name}', seed {seed}, is {status.state.value}; run the suite to its end")
        elif not math.isfinite(value):
            found[name] = f"done without {study.report.headline.metric}"
        else:
            found[name] = _measure(result.folder, float(value), result.steps)
    return found


def is_unsupported(cell: Measured | str) -> bool:
    """True for a cell that can't be run: such ones are in no reference."""
    return isinstance(cell, str) and cell.startswith(State.UNSUPPORTED.value)


def name_of(study: Study, coordinates: Mapping[str, str]) -> str:
    """What tells a cell from the others of its suite, the seed aside: ``fedavg · iid``."""
    labels = {axis: label for axis, label in coordinates.items() if axis != "seed"}
    return " · ".join(telling(labels, study.axes).values())


def numbers_of(step: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a record that may drift: its loss, where somebody trained, and its norms."""
    return ({} if step["loss"] is None else {"loss": step["loss"]}) | step["norms"]


def group_of(tensor: str) -> str:
    """Tensors that share a tolerance: of one attribute of the algorithm, and of one kind (``servers running_var``).

    Those that are numbered, in a list, are of one kind.
    """
    attribute, _, rest = tensor.partition(".")
    kind = rest.rpartition(".")[2]
    return attribute if not kind or kind.isdecimal() else f"{attribute} {kind}"


def relative(one: float, other: float) -> float:
    """How far two numbers are apart, as a share of the larger one: infinitely where one of them is no finite number."""
    if one == other or (math.isnan(one) and math.isnan(other)):
        return 0.0
    if not (math.isfinite(one) and math.isfinite(other)):
        return math.inf
    return abs(one - other) / max(abs(one), abs(other))


def _measure(folder: CellFolder, accuracy: float, steps: Sequence[Mapping[str, Any]]) -> Measured:
    trace, ledger = folder.trace(), steps[-1]["ledger"]
    if not trace["steps"]:
        raise UserError(f"{folder.path}: left no trace to compare; run it again with `run --rerun all`")
    sent = {f"{way} {kind}": n for way in ("up", "down") for kind, n in sorted(ledger[f"bytes_{way}"].items())}
    return Measured(folder.key, accuracy, sent, trace["partition"], trace["steps"])
