"""How long the cells of a suite are expected to take, as far as it is known without running anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mosaic_bench.store import Store

if TYPE_CHECKING:
    from mosaic_bench.engine.datasets import Datasets
    from mosaic_bench.engine.resolve import Job


def expected_seconds(
    jobs: Sequence[Job], store: Store, datasets: Datasets, device: str, threads: int
) -> dict[str, float]:
    """Return key -> seconds for every cell whose data is here."""
    from mosaic_bench.engine.costs import Forecast

    entries = [(job, store.cell(job.key(datasets))) for job in jobs if not job.missing]
    costs = Forecast(datasets, device, threads).costs(entries)
    return {folder.key: cost.seconds for (_, folder), cost in zip(entries, costs, strict=True)}
