"""Arrays that an algorithm left in its cell's ``figures/`` folder: see docs/reports.md for the format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mosaic_bench.report.arrays import UnreadableArrays, read_arrays
from mosaic_bench.report.names import display
from mosaic_bench.report.plots.plot import NotDrawn
from mosaic_bench.report.results import CellResult
from mosaic_bench.report.study import Study


@dataclass(frozen=True)
class Arrays:
    """One file of a cell.

    Attributes:
        name: of the figure's files: ``samples-KEY``, or ``NAME-KEY`` as the algorithm named the file.
        cell: what the cell is, for readers.
        values: the arrays by name.
    """

    name: str
    cell: str
    values: dict[str, np.ndarray]


def find_arrays(study: Study, kind: str, needed: tuple[str, ...]) -> Iterator[Arrays]:
    """Yield every ``figures/NAME.npz`` of the study's cells whose array ``kind`` says so.

    Raises:
        NotDrawn: no cell has one, or a file lacks an array of ``needed`` or cannot be read.
    """
    found = False
    for result in study.results:
        if result.folder is None:
            continue
        for file in sorted((result.folder.path / "figures").glob("*.npz")):
            values = _read(file, kind)
            if values is None:
                continue
            missing = [name for name in needed if name not in values]
            if missing:
                raise NotDrawn(f"{file}: has no array '{missing[0]}'")
            found = True
            yield Arrays(f"{file.stem}-{result.key}", _words(study, result), values)
    if not found:
        raise NotDrawn(f"no cell has left arrays of this kind ({kind}) in its figures folder")


def _words(study: Study, result: CellResult) -> str:
    """What tells a cell from the others; of a single one its algorithm."""
    told = [axis for axis in result.coordinates if len(study.axes[axis]) > 1] or ["algorithm"]
    labels = [(axis, result.coordinates[axis]) for axis in told if axis in result.coordinates]
    return ", ".join(f"seed {label}" if axis == "seed" else display(label, study.titles) for axis, label in labels)


def _read(file: Path, kind: str) -> dict[str, np.ndarray] | None:
    try:
        return read_arrays(file, kind)
    except UnreadableArrays as error:
        raise NotDrawn(str(error)) from error
