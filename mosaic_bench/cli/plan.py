"""``plan``: what would be run."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from mosaic_bench.cli.loading import load_jobs
from mosaic_bench.cli.options import RESULTS, Data, Only, Plugin, Results, Set, SuiteFile
from mosaic_bench.store import Store


def plan(
    suite: SuiteFile,
    results: Results = RESULTS,
    data: Data = None,
    set_: Set = None,
    only: Only = None,
    plugin: Plugin = None,
) -> None:
    """List the cells of a suite with their keys and states."""
    loaded, jobs, directories = load_jobs(suite, data, set_, only, plugin)
    jobs = [job for job in jobs if job.wanted]
    store = Store(results / loaded.name)
    table = Table(title=f"{loaded.title}: {len(jobs)} cells", title_justify="left")
    for heading in ("key", *loaded.axes, "state"):
        table.add_column(heading)
    for job in jobs:
        key = None if job.missing else job.key(directories)
        state = job.missing or store.cell(str(key)).status().state.value
        table.add_row(key or "--", *job.coordinates.values(), state)
    Console().print(table)
