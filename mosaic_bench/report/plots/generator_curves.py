"""How the clients' generators train, by how many images the client holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mosaic_bench.report.plots.arrays import Arrays, find_arrays
from mosaic_bench.report.plots.panels import wrapped
from mosaic_bench.report.plots.plot import Plot
from mosaic_bench.report.plots.style import COLUMN, PAGE
from mosaic_bench.report.study import Study
from mosaic_bench.suite import PlotSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PREFIX = "curve/"


def draw_generator_curves(study: Study, spec: PlotSpec) -> Iterator[Plot]:
    """Yield one figure per cell that left curves: one panel per measured quantity, one line per client."""
    for arrays in find_arrays(study, "generator_curves", ("step", "clients", "sizes")):
        curves = {name.removeprefix(_PREFIX): v for name, v in arrays.values.items() if name.startswith(_PREFIX)}
        step, clients, sizes = (arrays.values[name] for name in ("step", "clients", "sizes"))
        lines = [
            pd.DataFrame({"quantity": name, "client": client, "images": size, "step": step, "value": values[n]})
            for name, values in curves.items()
            for n, (client, size) in enumerate(zip(clients, sizes, strict=True))
        ]
        yield Plot(
            arrays.name,
            f"Training of the clients' generators: {arrays.cell}",
            f"{', '.join(curves)} of the generators of {len(clients)} clients over their training; darker lines belong "
            f"to clients with more images ({sizes.min()} to {sizes.max()}).",
            _draw(arrays, curves),
            pd.concat(lines),
        )


def _draw(arrays: Arrays, curves: dict[str, np.ndarray]) -> Figure:
    import matplotlib
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm, Normalize
    from matplotlib.figure import Figure

    step, sizes = arrays.values["step"], arrays.values["sizes"]
    across = min(3, len(curves))
    down = -(-len(curves) // across)
    width = COLUMN if across == 1 else PAGE * across / 3
    figure = Figure(figsize=(width, 0.3 + 1.9 * down), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False).ravel()
    spread = sizes.max() > 10 * max(1, sizes.min())
    norm = (LogNorm if spread else Normalize)(max(1, sizes.min()), max(sizes.max(), sizes.min() + 1))
    colours = matplotlib.colormaps["cividis_r"]
    for axes, (name, values) in zip(grid, curves.items(), strict=False):
        for n in np.argsort(sizes):
            axes.plot(step, values[n], color=colours(norm(sizes[n])))
        axes.set_xlabel("generator step")
        axes.set_ylabel(name)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[len(curves) :]:
        axes.remove()
    figure.suptitle(wrapped(arrays.cell, width))
    figure.colorbar(ScalarMappable(norm, colours), ax=grid[: len(curves)].tolist(), label="images of the client")
    return figure
