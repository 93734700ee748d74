"""What tables call the algorithms of a suite."""

from __future__ import annotations

from collections.abc import Sequence

from mosaic_bench.engine.resolve import Job


def table_titles(jobs: Sequence[Job]) -> dict[str, str]:
    """Return name -> title: the name a method has under the suite's width budgets, a dagger for extensions.

    A method that runs both with and without budgets, or under several extractions, keeps its plain title.
    """
    found: dict[str, set[str]] = {}
    for job in jobs:
        found.setdefault(job.algorithm.name, set()).add(_title(job))
    plain = {job.algorithm.name: job.algorithm.title + "†" * job.algorithm.extension for job in jobs}
    return {name: titles.pop() if len(titles) == 1 else plain[name] for name, titles in found.items()}


def _title(job: Job) -> str:
    algorithm, models = job.algorithm, job.cell.models
    sliced = algorithm.slice_titles.get(models.extract) if models.widths is not None else None
    return (sliced or algorithm.title) + "†" * algorithm.extension
