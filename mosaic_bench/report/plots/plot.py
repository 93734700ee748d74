"""A figure, its data, and the files it becomes."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from mosaic_bench.report.plots.style import paper_style
from mosaic_bench.store import Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 200  # of files; a page carries fewer
_METADATA = {"pdf": {"CreationDate": None}, "png": {"Software": None}}  # without a date equal figures are equal files


class NotDrawn(Exception):  # noqa: N818 - a reason, not a fault
    """The results hold nothing that this figure could show; the message says what is missing."""


@dataclass(frozen=True)
class Plot:
    """A figure.

    Attributes:
        name: file name without extension.
        title: one line above it.
        description: what it shows, for readers who can't see it, and the caption of others.
        figure: of matplotlib.
        data: the numbers that it shows, one row per point.
    """

    name: str
    title: str
    description: str
    figure: Figure
    data: pd.DataFrame

    def image(self, suffix: str, dpi: int = _DPI) -> bytes:
        """Return the figure as pdf or png; ``dpi`` is that of a png."""
        target = BytesIO()
        with paper_style():
            self.figure.savefig(target, format=suffix, dpi=dpi, metadata=_METADATA[suffix])
        return target.getvalue()

    def save(self, store: Store) -> Path:
        """Write ``plots/NAME`` with the suffixes pdf, png and csv; return the pdf."""
        store.write_output(f"plots/{self.name}.csv", self.data.to_csv(index=False))
        store.write_output(f"plots/{self.name}.png", self.image("png"))
        return store.write_output(f"plots/{self.name}.pdf", self.image("pdf"))
