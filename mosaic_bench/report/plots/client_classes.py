"""What each client got: the client × class table of the partition, as bubbles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from mosaic_bench.partition_figure import draw_bubbles
from mosaic_bench.report.plots.panels import by_setting, setting_name
from mosaic_bench.report.plots.plot import NotDrawn, Plot
from mosaic_bench.report.study import Study
from mosaic_bench.suite import PlotSpec


def draw_client_classes(study: Study, spec: PlotSpec) -> Iterator[Plot]:
    """Yield one figure per partition that differs from those before it, from the first seed of each setting."""
    unrelated = [axis for axis in study.axes if axis.partition(".")[0] in ("models", "local", "evaluate")]
    layout = by_setting(study, without=unrelated)
    seen: set[str] = set()
    for column in layout.columns:
        numbers = [number for row in layout.rows for number in layout.places.get((row, column), ())]
        audits = ((cell, found) for cell in numbers if (found := _audit(study, cell)) is not None)
        cell, audit = next(audits, (0, None))
        if audit is None or repr(audit["table"]) in seen:
            continue
        seen.add(repr(audit["table"]))
        counts = np.asarray(audit["table"])
        clients, classes = counts.shape
        client, label = np.indices(counts.shape)
        seed = study.results[cell].coordinates.get("seed")
        name = ", ".join(filter(None, [setting_name(study, column), f"seed {seed}" if seed is not None else ""]))
        yield Plot(
            f"client-classes-{len(seen)}",
            f"Images per client and class{f': {name}' if name else ''}",
            f"Images of {clients} clients by class, {classes} classes; a client holds {min(audit['sizes'])} to "
            f"{max(audit['sizes'])} images and the mean total-variation distance of its label mix from all clients' is "
            f"{audit['mean_total_variation']:.2f}.",
            draw_bubbles(counts, [str(number) for number in range(classes)]),
            pd.DataFrame({"client": client.ravel(), "class": label.ravel(), "images": counts.ravel()}),
        )
    if not seen:
        raise NotDrawn("no cell has split its data yet")


def _audit(study: Study, number: int) -> dict[str, Any] | None:
    folder = study.results[number].folder
    if folder is None or not folder.exists:
        return None
    found: dict[str, Any] | None = folder.description().get("partition")
    return found
