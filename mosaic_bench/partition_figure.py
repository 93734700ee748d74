"""Pictures of a partition: how many images of each class every client holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INCHES_PER_ROW = 0.32
_MOST_ROWS = 40  # more rows or columns share the room of these
_LARGEST_BUBBLE = 300  # square points; three quarters of a row across
_MOST_TICKS = 25
_MOST_NUMBERED = 400  # places of the heat map that still say their number


def plot_partition(table: Sequence[Sequence[int]], classes: Sequence[str], stem: Path) -> list[Path]:
    """Draw the client × class table twice, as bubbles and as a heat map.

    Args:
        table: images per client and class.
        classes: names of the columns.
        stem: where to write; `-bubbles` or `-heatmap` and the suffix are added to its name.

    Returns:
        The files written: a pdf and a png of each.
    """
    counts = np.asarray(table)
    stem.parent.mkdir(parents=True, exist_ok=True)
    return [
        path
        for kind, draw in (("bubbles", draw_bubbles), ("heatmap", _heatmap))
        for path in _save(draw(counts, classes), stem.with_name(f"{stem.name}-{kind}"))
    ]


def draw_bubbles(counts: np.ndarray, classes: Sequence[str]) -> Figure:
    """Draw one bubble per client and class, its area the number of images; counts int (clients, classes)."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = _canvas(counts)
    client, label = np.nonzero(counts)
    # In a crowded picture bubbles shrink more slowly than rows: they may overlap, but small ones stay visible.
    largest = _LARGEST_BUBBLE * min(1, _MOST_ROWS / max(counts.shape))
    size = largest * counts[client, label] / counts.max()
    axes.scatter(client, label, s=size, c=label, cmap="viridis", linewidths=0)
    axes.set_title(f"area: images, at most {counts.max()}")
    axes.set_xlabel("client")
    axes.set_ylabel("class")
    axes.set_xlim(-0.6, counts.shape[0] - 0.4)
    axes.set_ylim(counts.shape[1] - 0.4, -0.6)
    axes.xaxis.set_major_locator(MaxNLocator(_MOST_TICKS, integer=True))
    if len(classes) <= _MOST_TICKS:
        axes.set_yticks(range(len(classes)), classes)
    return figure


def _heatmap(counts: np.ndarray, classes: Sequence[str]) -> Figure:
    import seaborn

    figure, axes = _canvas(counts)
    numbers = np.where(counts.T > 0, counts.T.astype(str), "")
    seaborn.heatmap(
        counts.T,
        ax=axes,
        cmap="rocket_r",
        vmin=0,
        annot=numbers if counts.size <= _MOST_NUMBERED else False,
        fmt="",
        annot_kws={"fontsize": 6},
        yticklabels=list(classes) if len(classes) <= _MOST_TICKS else "auto",
        cbar_kws={"label": "images"},
    )
    axes.set_xlabel("client")
    axes.set_ylabel("class")
    axes.tick_params(axis="y", rotation=0)
    return figure


def _canvas(counts: np.ndarray) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    clients, classes = (min(n, _MOST_ROWS) for n in counts.shape)
    # A Figure of its own needs no display and no pyplot state.
    figure = Figure(figsize=(2.5 + _INCHES_PER_ROW * clients, 1.2 + _INCHES_PER_ROW * classes), layout="constrained")
    return figure, figure.add_subplot()


def _save(figure: Figure, stem: Path) -> list[Path]:
    paths = [stem.with_name(f"{stem.name}.{suffix}") for suffix in ("pdf", "png")]
    for path in paths:
        # Without its date the pdf of the same partition is the same file.
        figure.savefig(path, dpi=150, metadata={"CreationDate": None} if path.suffix == ".pdf" else None)
    return paths
