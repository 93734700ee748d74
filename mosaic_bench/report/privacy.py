"""What generators give away of the images they were made from, as measured: no guarantee."""

from __future__ import annotations

import numpy as np

from mosaic_bench.report.entry import Entry, Unit
from mosaic_bench.report.layout import Layout, Place
from mosaic_bench.report.quantities import mean_of, with_quantities
from mosaic_bench.report.study import Study
from mosaic_bench.suite import TableSpec

_MEASURES = {"nearest distance": "privacy/nearest", "membership AUC": "privacy/membership"}


def privacy_entries(study: Study, layout: Layout, spec: TableSpec) -> tuple[Layout, dict[Place, Entry]]:
    """Replace each column by one per measure; methods without generators of clients have none."""
    nothing = np.full(len(study.results), np.nan)
    measures = {
        heading: study.cells[metric].to_numpy() if metric in study.cells else nothing
        for heading, metric in _MEASURES.items()
    }
    unit = Unit(1, 2)
    return with_quantities(
        layout, {heading: mean_of(study, values, spec.spread, unit) for heading, values in measures.items()}
    )
