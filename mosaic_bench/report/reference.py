"""The reference that the gate compares a suite with: one readable JSON file, and the history of how it came to be."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student_t

from mosaic_bench.errors import UserError, writing
from mosaic_bench.report.measured import Measured, Steps, group_of, is_unsupported, measured, numbers_of, relative
from mosaic_bench.report.study import Study
from mosaic_bench.store.atomic import replace_text

FEWEST_SEEDS = 5
"""Seeds from which the spread of an accuracy is taken."""

_ROUNDING = 1e-5  # a hundred roundings of a 32-bit number
_OTHER_PATH = 1e-3  # one activation rounded past another changes a norm by 1e-5 to 1e-4, on few machines
_FIRST_STEPS = 3  # of a run, as traced

_MARGIN = 30  # times the drift between kernels: a norm that drifts by chance drifts by other amounts elsewhere
_CONFIDENCE = 0.95
_DIGITS = 8  # of a norm: as many as a 32-bit number has


def tolerance_of(record: Mapping[str, Any], name: str) -> float:
    """How far a number of a traced step may drift, relative to what it was.

    Args:
        record: of the reference.
        name: of a tensor, or ``loss``.

    Returns:
        What kernels made it differ by, with a margin; at least a hundred roundings in the first three steps, and 1e-3
        later: there some machine has seen another activation win by a rounding, which no margin on other machines'
        drifts foretells.
    """
    least = _ROUNDING if record["step"] <= _FIRST_STEPS else _OTHER_PATH
    return max(record["tolerance"].get(group_of(name), 0.0), least)


@dataclass(frozen=True)
class CellReference:
    """What a cell was when the reference was made.

    Attributes:
        key, bytes, partition: as measured, of the reference's seed.
        accuracies: of every seed, the reference's first.
        steps: its trace, with a relative ``tolerance`` per group of tensors, where it is above a rounding.
    """

    key: str
    accuracies: list[float]
    bytes: dict[str, int]
    partition: str
    steps: Steps

    @property
    def tolerance(self) -> float:
        """How far the accuracy of one run may be from the first one's, in [0, 1].

        The one-sided 95 % bound of the difference between two runs that differ as much as runs of two seeds do:
        t · s · √2, for the sample standard deviation s over the seeds. Runs of one seed on two machines share their
        partition and initial weights, and differ less.
        """
        spread = float(np.std(self.accuracies, ddof=1))
        return float(student_t.ppf(_CONFIDENCE, len(self.accuracies) - 1)) * spread * math.sqrt(2)


@dataclass(frozen=True)
class Reference:
    """What a suite's cells were.

    Attributes:
        suite: its name.
        seed: whose trace is kept, and which the gate runs.
        seeds: all that were run.
        made: when and from which revision, in which numeric environment.
        cells: by what tells them apart, the seed aside.
    """

    suite: str
    seed: str
    seeds: list[str]
    made: dict[str, Any]
    cells: dict[str, CellReference]


def enough_seeds(suite: str, axes: Mapping[str, list[str]]) -> list[str]:
    """Return the seeds of a grid that a reference can be made of.

    Raises:
        UserError: they are too few.
    """
    seeds = axes.get("seed", [])
    if len(seeds) < FEWEST_SEEDS:
        raise UserError(f"{suite}: {len(seeds)} seeds; a reference takes the spread of at least {FEWEST_SEEDS}")
    return seeds


def make_reference(study: Study, probes: Sequence[Study], made: Mapping[str, Any]) -> Reference:
    """Make a reference of a suite that was run with all its seeds.

    Args:
        study: the suite.
        probes: the same cells of the first seed, computed with other kernels: what their numbers differ by is what a
            norm or a loss may drift by.
        made: when and from what.

    Raises:
        UserError: too few seeds, cells without numbers, or numbers that are finite with some kernels only.
    """
    seeds = enough_seeds(study.suite, study.axes)
    by_seed = [_numbers(measured(study, seed)) for seed in seeds]
    others = [_numbers(measured(probe, seeds[0])) for probe in probes]
    cells = {}
    for name, cell in by_seed[0].items():
        steps = _tolerant(cell.steps, [other[name].steps for other in others])
        accuracies = [cells_of_seed[name].accuracy for cells_of_seed in by_seed]
        cells[name] = CellReference(cell.key, accuracies, cell.bytes, cell.partition, steps)
    return Reference(study.suite, seeds[0], seeds, dict(made), cells)


def read_reference(folder: Path, suite: str) -> Reference:
    """Read the reference of a suite.

    Raises:
        UserError: there is none, or it can't be read.
    """
    file = folder / f"{suite}.json"
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        cells = {name: CellReference(**cell) for name, cell in document.pop("cells").items()}
        return Reference(**document, cells=cells)
    except FileNotFoundError as error:
        raise UserError(f"{file}: no reference; make one with --update --because REASON") from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{file}: not a reference ({error}); make it anew with --update --because REASON") from error


def write_reference(folder: Path, reference: Reference, because: str) -> Path:
    """Write a reference, add a line to ``history.md``, and return the reference's file.

    Raises:
        UserError: the folder does not take it.
    """
    file, history = folder / f"{reference.suite}.json", folder / "history.md"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        replace_text(file, _text(asdict(reference)) + "\n")
        known = history.read_text(encoding="utf-8") if history.exists() else "# Why these references changed\n\n"
        made = reference.made
        replace_text(history, f"{known}* {made['date']}, {reference.suite}, {made['revision']}: {because}\n")
    return file


def _numbers(cells: Mapping[str, Measured | str]) -> dict[str, Measured]:
    """The cells with numbers; those that can't be run are in no reference.

    Raises:
        UserError: a cell failed, or has no number.
    """
    for name, cell in cells.items():
        if isinstance(cell, str) and not is_unsupported(cell):
            raise UserError(f"'{name}' is {cell}; a reference is made of cells with a number")
    return {name: cell for name, cell in cells.items() if isinstance(cell, Measured)}


def _tolerant(steps: Steps, others: Sequence[Steps]) -> Steps:
    """Records with their numbers rounded, and what each group of them may drift by."""
    drifts: dict[str, float] = {}  # the largest so far: what has drifted once may come back by chance alone
    records = []
    for step, *same_step in zip(steps, *others, strict=True):
        for other in map(numbers_of, same_step):
            for name, value in numbers_of(step).items():
                group, drift = group_of(name), relative(value, other[name])
                if math.isinf(drift):
                    raise UserError(f"step {step['step']}: {name} is {value:g}, with other kernels {other[name]:g}")
                drifts[group] = max(drifts.get(group, 0.0), drift)
        records.append(_record(step, drifts))
    return records


def _record(step: Mapping[str, Any], drifts: Mapping[str, float]) -> dict[str, Any]:
    tolerance = {group: _MARGIN * drift for group, drift in sorted(drifts.items())}
    return {
        "step": step["step"],
        "cohort": step["cohort"],
        "loss": None if step["loss"] is None else _rounded(step["loss"], _DIGITS),
        "norms": {name: _rounded(norm, _DIGITS) for name, norm in step["norms"].items()},
        "tolerance": {group: _rounded(value, 2) for group, value in tolerance.items() if value > _ROUNDING},
    }


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")


def _text(value: Any, indent: str = "") -> str:
    """JSON in which whatever holds no containers takes one line."""
    items = list(value.values() if isinstance(value, dict) else value) if isinstance(value, dict | list) else []
    if not any(isinstance(item, dict | list) for item in items):
        return json.dumps(value, ensure_ascii=False)
    deeper = indent + " "
    if isinstance(value, dict):
        lines = [f"{json.dumps(key, ensure_ascii=False)}: {_text(item, deeper)}" for key, item in value.items()]
    else:
        lines = [_text(item, deeper) for item in value]
    begin, end = "{}" if isinstance(value, dict) else "[]"
    return f"{begin}\n{deeper}" + f",\n{deeper}".join(lines) + f"\n{indent}{end}"
