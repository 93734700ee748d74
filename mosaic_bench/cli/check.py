"""``check``: is the suite right? Nothing is trained."""

from __future__ import annotations

from mosaic_bench.cli.loading import load_jobs, missing_data
from mosaic_bench.cli.options import Data, Only, Plugin, Set, SuiteFile
from mosaic_bench.cli.output import amount_of_cells


def check(suite: SuiteFile, data: Data = None, set_: Set = None, only: Only = None, plugin: Plugin = None) -> None:
    """Validate a suite without training anything."""
    loaded, jobs, _ = load_jobs(suite, data, set_, only, plugin)
    wanted = [job for job in jobs if job.wanted]
    print(
        f"{suite}: {amount_of_cells(len(wanted))}; " + ", ".join(f"{axis} {len(v)}" for axis, v in loaded.axes.items())
    )
    doubts = dict.fromkeys(f"warning: {doubt}" for job in wanted for doubt in job.doubts)
    for sentence in [*missing_data(wanted), *doubts]:
        print(sentence)
