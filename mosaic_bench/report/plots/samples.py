"""Samples of each client's generator, one row per client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mosaic_bench.report.plots.arrays import find_arrays
from mosaic_bench.report.plots.panels import wrapped
from mosaic_bench.report.plots.plot import Plot
from mosaic_bench.report.plots.style import COLUMN
from mosaic_bench.report.study import Study
from mosaic_bench.suite import PlotSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_CLIENTS, _MOST_SAMPLES = 20, 12


def draw_samples(study: Study, spec: PlotSpec) -> Iterator[Plot]:
    """Yield one grid per cell that left samples: the first 12 of each of the first 20 clients."""
    for arrays in find_arrays(study, "samples", ("images", "clients")):
        images, clients = arrays.values["images"], arrays.values["clients"]
        rows, across = min(len(images), _MOST_CLIENTS), min(images.shape[1], _MOST_SAMPLES)
        sizes = arrays.values.get("sizes", np.full(len(clients), -1))
        holds = [f" ({size:,})" if size >= 0 else "" for size in sizes]
        names = [f"client {client}{held}" for client, held in zip(clients, holds, strict=True)]
        figure = _draw(arrays.cell, images[:rows, :across], names[:rows])
        means = images.reshape(len(images), images.shape[1], -1).mean(axis=2)
        client, sample = np.indices(means.shape)
        yield Plot(
            arrays.name,
            f"Samples of the clients' generators: {arrays.cell}",
            f"{across} samples of the generator of each of {rows} clients"
            f"{f' of {len(images)}' if rows < len(images) else ''}, one row per client"
            f"{' (images it holds)' if any(holds) else ''}.",
            figure,
            pd.DataFrame(
                {
                    "client": clients[client.ravel()],
                    "images of the client": np.where(sizes < 0, np.nan, sizes)[client.ravel()],
                    "sample": sample.ravel(),
                    "mean pixel": means.ravel(),
                }
            ),
        )


def _draw(title: str, images: np.ndarray, names: list[str]) -> Figure:
    from matplotlib.figure import Figure

    rows, across, height, width, channels = images.shape
    # One picture of all samples, a pixel of white between them: sharper and quicker than a plot for each.
    sheet = np.full((rows, height + 1, across, width + 1, channels), 255, dtype=np.uint8)
    sheet[:, :height, :, :width] = images.swapaxes(1, 2)
    sheet = sheet.reshape(rows * (height + 1), across * (width + 1), channels)[:-1, :-1]
    inches = COLUMN - 0.9
    figure = Figure(figsize=(COLUMN, inches * sheet.shape[0] / sheet.shape[1] + 0.4), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(np.squeeze(sheet), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_title(wrapped(title, COLUMN))
    axes.set_xticks([])
    axes.set_yticks(np.arange(rows) * (height + 1) + (height - 1) / 2, names)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure
