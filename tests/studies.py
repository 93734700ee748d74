"""Results folders made by hand, in the format that a run leaves behind."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from mosaic_bench.store import CellFolder, State, Status, Store
from mosaic_bench.suite import ReportSpec

TITLES = {"fedavg": "FedAvg", "dense": "DENSE", "feddf": "FedDF", "mosaic": "Mosaic†", "local": "Local"}
REVEALS = {"fedavg": [], "dense": ["label counts"], "feddf": ["public images", "validation labels"]}

Coordinates = Mapping[str, str]


def write_study(
    path: Path,
    axes: Mapping[str, Sequence[str]],
    accuracy: Callable[[Coordinates], float | tuple[State, str]],
    evaluated: int = 3,
    correct: Callable[[Coordinates], np.ndarray] | None = None,
    **report: Any,
) -> Store:
    """Write a results folder over the product of ``axes``.

    Args:
        path: the folder.
        axes: grid axis -> labels.
        accuracy: gives the last accuracy of a cell, or the state it ended in and its message.
        evaluated: evaluated steps per cell; accuracy rises evenly to the last.
        correct: gives which test images a cell got right, bool (N,).
        report: the suite's report section.
    """
    store, entries = Store(path), []
    for number, values in enumerate(product(*axes.values())):
        coordinates = dict(zip(axes, values, strict=True))
        key = f"{number:012x}"
        entries.append({"key": key, "coordinates": coordinates})
        folder = store.cell(key)
        folder.path.mkdir(parents=True)
        _write(folder, {"key": key, "coordinates": coordinates}, accuracy(coordinates), evaluated, number)
        if correct is not None:
            rows = correct(coordinates)[None]
            folder.write_correct(np.packbits(rows, axis=1).tobytes())
            folder.set_status(Status(State.DONE, evaluated, evaluated, "", ["server"], rows.shape[1]))
    store.write_suite(
        {
            "suite": path.name,
            "title": "A study",
            "file": f"suites/{path.name}.yaml",
            "axes": {axis: list(labels) for axis, labels in axes.items()},
            "titles": TITLES,
            "reveals": REVEALS,
            "report": ReportSpec.model_validate(report).model_dump(mode="json"),
            "cells": entries,
        }
    )
    return store


def _write(
    folder: CellFolder, cell: dict[str, Any], ended: float | tuple[State, str], evaluated: int, number: int
) -> None:
    """Plain writes: the store's own sync every file to disk, which ten thousand cells would feel."""
    table = [[5 + (number + client + label) % 7 for label in range(4)] for client in range(3)]
    audit = {"table": table, "sizes": [sum(row) for row in table], "mean_total_variation": 0.25}
    cell = cell | {"suite": "suites/s.yaml", "options": [], "cell": {}, "partition": audit}
    (folder.path / "cell.json").write_text(json.dumps(cell))
    environment = {
        "numeric": {"device": "cpu", "capability": "AVX2", "threads": 1, "torch": "2.4.0"},
        "git": {"revision": "0123456789abcdef", "dirty": False},
        "versions": {"mosaic-bench": "0.1.0", "torch": "2.4.0", "numpy": "2.0.0", "python": "3.11.7"},
        "machine": {"system": "Linux", "processor": "a processor", "cuda": None},
        "command": ["mosaic-bench", "run"],
    }
    (folder.path / "env.json").write_text(json.dumps(environment))
    state, message = ended if isinstance(ended, tuple) else (State.DONE, "")
    done = 0 if isinstance(ended, tuple) else evaluated
    status = {"state": state.value, "step": done, "steps": evaluated, "message": message, "correct": [], "images": 0}
    (folder.path / "status.json").write_text(json.dumps(status))
    if not isinstance(ended, tuple):
        lines = [json.dumps(_step(n, evaluated, ended, number)) for n in range(1, evaluated + 1)]
        (folder.path / "steps.jsonl").write_text("\n".join(lines) + "\n")


def _step(step: int, steps: int, accuracy: float, number: int) -> dict[str, Any]:
    now = accuracy * step / steps
    return {
        "step": step,
        "metrics": {"loss/train": 1 - now, "acc/server@test": now, "acc/server@val": now, "nll/server@test": 1 - now},
        "ledger": {
            "bytes_down": {"model": 1_000_000 * step},
            "bytes_up": {"model": 900_000 * step, "label counts": 80 * step},
            "samples": 640 * step,
            "flops": 2 * 10**9 * step * (1 + number % 5),
        },
        "time": {
            "client_seconds": 1.5 * step,
            "server_seconds": 0.25 * step * (1 + number % 3),
            "evaluate_seconds": 0.1,
            "peak_bytes": 450_000_000 + 1_000_000 * (number % 7),
        },
    }
