"""Whether a finished cell still comes out the same: its first steps, done again in a folder of their own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mosaic_bench.engine.allocator import keep_freed_memory
from mosaic_bench.engine.cell_run import CellRun, run_cell
from mosaic_bench.engine.provenance import numeric_environment
from mosaic_bench.engine.resolve import parse_components
from mosaic_bench.engine.slots import choose_devices
from mosaic_bench.engine.stages import ends, stages_of
from mosaic_bench.errors import UserError
from mosaic_bench.store import CellFolder, State
from mosaic_bench.suite import Cell

_EXACT = ("step", "metrics", "ledger")  # the rest of a record are times and memory


@dataclass(frozen=True)
class Verdict:
    """What a rerun found.

    Attributes:
        steps: evaluated steps that were compared.
        differences: one line per number that differs, or why there are no numbers; empty when all bits agree.
    """

    steps: list[int]
    differences: list[str]


def verify(folder: CellFolder, directories: Sequence[Path]) -> Verdict:
    """Do a cell's first steps again and compare every number; where all agree, the present sources become the cell's.

    The rerun goes to the first evaluated step, or, where the algorithm begins with stages that other cells share, to
    the first one after them. It shares nothing.

    Args:
        folder: the cell.
        directories: where data sets are looked for.

    Raises:
        UserError: the cell is not done, its files are damaged, it ran in another numeric environment than is here,
            or its algorithm or data are not here.
    """
    (status, stored), environment = folder.outcome(), folder.environment()
    if status.state is not State.DONE:
        why = f" ({status.message})" if status.message else ""
        what = f"this one is {status.state.value}{why}"
        raise UserError(f"{folder.path}: only a cell that is done can be verified; {what}")
    if "numeric" not in environment:
        raise UserError(
            f"{folder.path}: env.json is damaged, so there is nothing to compare with; "
            "run the suite with --rerun all, and --only for this cell, to do it again"
        )
    device = _same_device(folder, environment["numeric"])
    target = _target(folder)
    with tempfile.TemporaryDirectory() as temporary:
        again = CellFolder(Path(temporary) / "cells" / folder.key)
        again.describe(folder.description())
        try:
            how = CellRun(
                directories,
                device,
                checkpoint_every=target + 1,
                should_stop=lambda: any(record["step"] == target for record in again.steps()),
            )
            run_cell(again, how)
        except UserError:
            raise  # its data is not here, say: nothing is known of its numbers
        except Exception as error:
            return Verdict([], [f"it fails now: {type(error).__name__}: {error}"])
        pairs = list(zip(stored, again.steps(), strict=False))
        verdict = Verdict([new["step"] for _, new in pairs], [line for pair in pairs for line in _differences(*pair)])
        if not verdict.differences:
            present = again.environment()
            verified = {"steps": verdict.steps, "git": present["git"]}
            folder.write_environment(environment | {"sources": present["sources"], "verified": verified})
    return verdict


def _target(folder: CellFolder) -> int:
    """The step to go to."""
    cell = Cell.model_validate(folder.description()["cell"])
    algorithm, params, _ = parse_components(cell)
    shared = max([0, *ends(stages_of(cell, algorithm, params))])
    evaluated: list[int] = [record["step"] for record in folder.steps()]
    return next((step for step in evaluated if step > shared), evaluated[0])


def _same_device(folder: CellFolder, numeric: Mapping[str, Any]) -> torch.device:
    """Set this process up as the cell's was; return its device."""
    device = torch.device("cpu" if numeric["device"] == "cpu" else choose_devices("auto")[0])
    keep_freed_memory()
    torch.set_num_threads(numeric["threads"])
    present = numeric_environment(device)
    for name, there in numeric.items():
        if present.get(name) != there:
            raise UserError(
                f"{folder.path}: bits are comparable inside one numeric environment only; "
                f"{name} was {there} and is {present.get(name)} here"
            )
    return device


def _differences(stored: Mapping[str, Any], again: Mapping[str, Any]) -> Iterator[str]:
    old, new = (dict(_numbers({part: record[part] for part in _EXACT})) for record in (stored, again))
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            yield f"step {stored['step']}: {name} was {old.get(name)} and is {new.get(name)}"


def _numbers(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{name}." if name not in _EXACT else "")
        else:
            yield prefix + name, value
