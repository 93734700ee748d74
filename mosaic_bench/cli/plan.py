"""``plan``: what would be run."""

from __future__ import annotations

from mosaic_bench.cli.loading import load_jobs, missing_data
from mosaic_bench.cli.options import RESULTS, Data, Only, Plugin, Results, Set, SuiteFile
from mosaic_bench.cli.output import make_console, make_table, print_table
from mosaic_bench.store import Store, shown_state


def plan(
    suite: SuiteFile,
    results: Results = RESULTS,
    data: Data = None,
    set_: Set = None,
    only: Only = None,
    plugin: Plugin = None,
) -> None:
    """List the cells of a suite with their keys and states."""
    loaded, jobs, datasets = load_jobs(suite, data, set_, only, plugin)
    wanted = [job for job in jobs if job.wanted]
    store = Store(results / loaded.name)
    table = make_table("key", *loaded.axes, "state")
    for job in wanted:
        if job.missing:
            table.add_row("--", *job.coordinates.values(), "no data")
        else:
            key = job.key(datasets)
            table.add_row(key, *job.coordinates.values(), shown_state(store.cell(key)).value)
    console = make_console()
    console.print(f"{loaded.title}: {len(wanted)} cells")
    print_table(console, table)
    for sentence in missing_data(wanted):
        console.print(sentence)
