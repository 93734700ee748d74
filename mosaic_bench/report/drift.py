"""How far a suite has drifted from its reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mosaic_bench.errors import UserError
from mosaic_bench.report.measured import Measured, Steps, is_unsupported, numbers_of, relative
from mosaic_bench.report.reference import CellReference, Reference, tolerance_of


@dataclass(frozen=True)
class Drift:
    """One cell beside its reference.

    Attributes:
        cell: what tells it from the others.
        before, now: accuracies; ``now`` is None for a cell that has no number any more.
        tolerance: of the accuracy.
        changes: one sentence for every digest and count that differs, and for every norm and loss beyond its tolerance.
        farthest: the largest drift of a norm or a loss, in tolerances.
    """

    cell: str
    before: float
    now: float | None
    tolerance: float
    changes: list[str] = field(default_factory=list)
    farthest: float = 0.0

    @property
    def verdict(self) -> str:
        """``same``, or what happened: ``changed``, ``drop``, ``gain``, or the first with one of the others."""
        words = ["changed"] if self.changes else []
        if self.now is None or not self.now >= self.before - self.tolerance:  # NaN is no gain either
            words.append("drop")
        elif self.now > self.before + self.tolerance:
            words.append("gain")
        return ", ".join(words) or "same"

    @property
    def fails(self) -> bool:
        """True for whatever is not the same, a mere gain in accuracy aside."""
        return self.verdict not in {"same", "gain"}


def drifts(reference: Reference, cells: Mapping[str, Measured | str]) -> list[Drift]:
    """Compare cells of the reference's seed with it.

    Args:
        reference: of the suite.
        cells: from ``measured``; those of the reference that are not in it were not asked for.

    Raises:
        UserError: cells that the reference does not have, or whose settings were others.
    """
    known = reference.cells
    ours = {name: cell for name, cell in cells.items() if name in known or not is_unsupported(cell)}
    unknown = [name for name in ours if name not in known]
    if unknown:
        raise UserError(
            f"the reference of {reference.suite} has no '{unknown[0]}'; a suite that has grown needs --update"
        )
    return [_drift(name, known[name], cell) for name, cell in ours.items()]


def _drift(name: str, reference: CellReference, cell: Measured | str) -> Drift:
    before, tolerance = reference.accuracies[0], reference.tolerance
    if isinstance(cell, str):
        return Drift(name, before, None, tolerance, [f"is {cell}"])
    if cell.key != reference.key:
        raise UserError(
            f"'{name}' is another cell than the reference's ({cell.key}, not {reference.key}): its settings, the "
            "algorithm's version or the data set have changed; where that is meant, --update --because REASON"
        )
    changes = [*_exact(reference, cell)]
    farthest = 0.0
    for drift, sentence in _numeric(reference.steps, cell.steps):
        farthest = max(farthest, drift)
        changes += [sentence] if drift > 1 else []
    return Drift(name, before, cell.accuracy, tolerance, changes, farthest)


def _exact(reference: CellReference, cell: Measured) -> Iterator[str]:
    """What has to be equal."""
    if cell.partition != reference.partition:
        yield "partition: clients hold other images"
    for kind in sorted(cell.bytes.keys() | reference.bytes.keys()):
        before, now = reference.bytes.get(kind, 0), cell.bytes.get(kind, 0)
        if before != now:
            yield f"bytes {kind}: {before:,}, now {now:,}"
    traced, expected = ([record["step"] for record in steps] for steps in (cell.steps, reference.steps))
    if traced != expected:
        yield f"trace: of steps {expected}, now {traced}"
    for old, new in zip(reference.steps, cell.steps, strict=False):
        if old["cohort"] != new["cohort"]:
            yield f"step {old['step']}: another cohort"


def _numeric(reference: Steps, steps: Steps) -> Iterator[tuple[float, str]]:
    """For each number its drift, in tolerances, and a sentence."""
    for old, new in zip(reference, steps, strict=False):
        before, now = numbers_of(old), numbers_of(new)
        for name in [*before, *(name for name in now if name not in before)]:
            what = f"step {old['step']}: {name if name == 'loss' else f'norm of {name}'}"
            if name not in before or name not in now:
                yield float("inf"), f"{what}: {'new' if name in now else 'gone'}"
                continue
            tolerance = tolerance_of(old, name)
            drift = relative(before[name], now[name])
            numbers = f"{before[name]:g}, now {now[name]:g}; apart by {drift:.1e}, allowed {tolerance:.1e}"
            yield drift / tolerance, f"{what}: {numbers}"
