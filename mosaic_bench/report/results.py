"""The cells of a suite as its store holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError

from mosaic_bench.report.arrays import UnreadableArrays, read_arrays
from mosaic_bench.store import CellFolder, State, Status, Store, StoreError, shown_state
from mosaic_bench.suite import ReportSpec

_STALE = "its algorithm or the harness has changed since; `verify KEY` or `run --rerun stale`"


@dataclass(frozen=True)
class CellResult:
    """One cell of the suite's grid.

    Attributes:
        key: its folder's name; None while its data is absent.
        coordinates: grid axis -> label.
        status: where it stands.
        steps: its evaluated steps, oldest first.
        stale: why its number is not what the code of today would give, in one sentence; empty when nothing is known.
        suite: name of the suite.
        folder: where it lies; None while its data is absent.
    """

    key: str | None
    coordinates: Mapping[str, str]
    status: Status
    steps: list[dict[str, Any]]
    stale: str = ""
    suite: str = ""
    folder: CellFolder | None = None

    def correct(self, predictor: str) -> np.ndarray | None:
        """Return which test images a predictor got right after the last step; None when it is not known.

        float (N,): 0 or 1, or for a group of models (``server.cnn``, ``server.mlp``) the share of them that did.
        """
        names = self.status.correct
        members = [n for n, name in enumerate(names) if name == predictor or name.startswith(f"{predictor}.")]
        if self.folder is None or not members:
            return None
        try:
            packed = np.frombuffer(self.folder.read_correct(), dtype=np.uint8).reshape(len(names), -1)
        except (OSError, ValueError):
            return None
        return np.unpackbits(packed[members], axis=1, count=self.status.images).mean(axis=0)

    def predictions(self) -> dict[str, np.ndarray]:
        """Return class probabilities (N, C) of each model on the test images whose answers the cell kept, if any."""
        if self.folder is None:
            return {}
        try:
            arrays = read_arrays(self.folder.path / "figures" / "predictions.npz", "predictions") or {}
        except UnreadableArrays:
            return {}
        prefix = "probability/"
        return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}


def read_report(store: Store) -> ReportSpec:
    """Read what the suite makes of its results.

    Raises:
        StoreError: another version of this package wrote it.
    """
    try:
        return ReportSpec.model_validate(store.suite()["report"])
    except ValidationError as error:
        raise StoreError(f"{store.path}: written by another version; run the suite again to rebuild it") from error


def read_results(*stores: Store) -> list[CellResult]:
    """Read every cell of the suites that the stores were last run for, in the order of their grids."""
    results = []
    for store in stores:
        suite = store.suite()
        for entry in suite["cells"]:
            folder = None if entry["key"] is None else store.cell(entry["key"])
            status, steps = (Status(), []) if folder is None else folder.outcome()
            stale = _STALE if folder is not None and shown_state(folder, status) is State.STALE else ""
            results.append(CellResult(entry["key"], entry["coordinates"], status, steps, stale, suite["suite"], folder))
    return results
