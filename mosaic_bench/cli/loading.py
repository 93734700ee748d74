"""From the arguments of a verb to jobs, and the data that they need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mosaic_bench.engine.datasets import Datasets
    from mosaic_bench.engine.resolve import Job
    from mosaic_bench.suite import Cell, Suite


def load_jobs(
    file: Path,
    data: Sequence[Path] | None,
    sets: Sequence[str] | None,
    only: Sequence[str] | None,
    plugins: Sequence[Path] | None,
) -> tuple[Suite, list[Job], Datasets]:
    """Load plugins and suite, and resolve every cell; also return the data sets they were resolved against."""
    from mosaic_bench.suite import load_suite

    suite = load_suite(file, sets or (), only or ())  # its faults are told before torch is imported

    from mosaic_bench.data import data_directories
    from mosaic_bench.engine.algorithms import load_plugins
    from mosaic_bench.engine.datasets import Datasets
    from mosaic_bench.engine.resolve import resolve

    load_plugins(plugins or ())
    datasets = Datasets(data_directories(data or ()))
    return suite, resolve(suite, datasets), datasets


def named_datasets(cells: Iterable[Cell]) -> list[str]:
    """Return the data sets of these cells, each once: the clients' first, then what the server takes from elsewhere."""
    cells = list(cells)
    public = [cell.federation.public for cell in cells]
    names = [cell.dataset.name for cell in cells]
    names += [images.source for images in public if images is not None and images.source != "train"]
    return list(dict.fromkeys(names))


def missing_data(jobs: Iterable[Job]) -> list[str]:
    """Return one sentence for each data set that these jobs need and that is not there."""
    return list(dict.fromkeys(job.missing for job in jobs if job.missing))
