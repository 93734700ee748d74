"""The cells of a suite as its store holds them, and the one number of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from pydantic import ValidationError

from mosaic_bench.store import State, Status, Store, StoreError, is_stale
from mosaic_bench.suite import HeadlineSpec, ReportSpec

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
    """

    key: str | None
    coordinates: Mapping[str, str]
    status: Status
    steps: list[dict[str, Any]]
    stale: str = ""

    def headline(self, spec: HeadlineSpec) -> float | None:
        """Return the cell's one number by the suite's rule; None unless the cell is done and measured it."""
        if self.status.state is not State.DONE:
            return None
        series = [
            (step["metrics"].get(_validation(spec.metric)), step["metrics"].get(spec.metric)) for step in self.steps
        ]
        measured = [(validation, value) for validation, value in series if value is not None]
        if not measured:
            return None
        if spec.rule == "last":
            return float(measured[-1][1])
        if spec.rule == "mean_last_k":
            return fmean(value for _, value in measured[-spec.k :])
        validated = [(validation, value) for validation, value in measured if validation is not None]
        return float(max(validated, key=lambda pair: pair[0])[1]) if validated else None


def read_report(store: Store) -> ReportSpec:
    """Read what the suite makes of its results.

    Raises:
        StoreError: another version of this package wrote it.
    """
    try:
        return ReportSpec.model_validate(store.suite()["report"])
    except ValidationError as error:
        raise StoreError(f"{store.path}: written by another version; run the suite again to rebuild it") from error


def read_results(store: Store) -> list[CellResult]:
    """Read every cell of the suite that the store was last run for, in the order of the grid."""
    results = []
    for entry in store.suite()["cells"]:
        if entry["key"] is None:
            results.append(CellResult(None, entry["coordinates"], Status(), []))
        else:
            folder = store.cell(entry["key"])
            stale = _STALE if is_stale(folder) else ""
            results.append(CellResult(entry["key"], entry["coordinates"], folder.status(), folder.steps(), stale))
    return results


def _validation(metric: str) -> str:
    """The same predictor's accuracy on validation images."""
    return metric.partition("@")[0] + "@val"
