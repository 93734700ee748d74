"""What a store holds, read once: everything that tables, figures and the page are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mosaic_bench.report.frame import headlines, make_frame
from mosaic_bench.report.names import in_words
from mosaic_bench.report.results import CellResult, read_report, read_results
from mosaic_bench.store import State, Store
from mosaic_bench.suite import HeadlineSpec, ReportSpec


@dataclass(frozen=True)
class Study:
    """The results of one suite.

    Attributes:
        results: its cells, in the order of the grid.
        report: what the suite makes of them.
        suite, title: its name, and one line for readers.
        titles: what its algorithms call themselves, by name.
        reveals: what its algorithms use beyond model weights, by name; algorithms that are not in it are not known.
        path: the results folder, for commands; None outside one.
    """

    results: Sequence[CellResult]
    report: ReportSpec = field(default_factory=ReportSpec)
    suite: str = ""
    title: str = ""
    titles: Mapping[str, str] = field(default_factory=dict)
    reveals: Mapping[str, Sequence[str]] = field(default_factory=dict)
    path: Path | None = None

    @cached_property
    def axes(self) -> dict[str, list[str]]:
        """Grid axis -> its labels, in the order of the grid."""
        names = dict.fromkeys(axis for result in self.results for axis in result.coordinates)
        return {axis: list(dict.fromkeys(result.coordinates[axis] for result in self.results)) for axis in names}

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row per cell and evaluated step."""
        return make_frame(self.results)

    @cached_property
    def cells(self) -> pd.DataFrame:
        """One row per cell, its headline in ``value``."""
        return headlines(self.frame, self.report.headline)

    def by_seed(self, numbers: Sequence[int]) -> dict[str, int]:
        """Return seed -> cell of those among some cells that have their one number."""
        values = self.cells["value"].to_numpy()
        return {self.results[n].coordinates.get("seed", ""): n for n in numbers if not np.isnan(values[n])}

    @property
    def measured(self) -> str:
        """The one number of a cell in words, inside a sentence: ``accuracy of the server on test images``."""
        words = in_words(self.report.headline.metric)
        return words[0].lower() + words[1:]

    @property
    def unmeasured(self) -> str:
        """Why no cell has its one number, in a clause; empty where one has it."""
        if self.cells["value"].notna().any():
            return ""
        if not (self.cells["state"] == State.DONE.value).any():
            return "no cell is done"
        known = [name for name in map(str, self.frame) if name.startswith(("acc/", "nll/"))]
        return f"no cell has {self.report.headline.metric}; measured are {', '.join(known) or 'no accuracies'}"

    def judged_by(self, headline: HeadlineSpec | None) -> Study:
        """Return the same results with another headline; None keeps the report's."""
        if headline is None or headline == self.report.headline:
            return self
        study = replace(self, report=self.report.model_copy(update={"headline": headline}))
        vars(study)["frame"] = self.frame  # it doesn't depend on the headline
        return study


def read_study(store: Store) -> Study:
    """Read a results folder.

    Raises:
        StoreError: nothing was run here, or another version wrote it.
    """
    suite: dict[str, Any] = store.suite()
    return Study(
        read_results(store),
        read_report(store),
        suite["suite"],
        suite["title"],
        suite["titles"],
        suite.get("reveals", {}),
        store.path,
    )
