"""``check``: is the suite right? Nothing is trained."""

from __future__ import annotations

from mosaic_bench.cli.loading import load_jobs
from mosaic_bench.cli.options import Data, Only, Plugin, Set, SuiteFile


def check(suite: SuiteFile, data: Data = None, set_: Set = None, only: Only = None, plugin: Plugin = None) -> None:
    """Validate a suite without training anything."""
    loaded, jobs, _ = load_jobs(suite, data, set_, only, plugin)
    print(
        f"{suite}: {sum(job.wanted for job in jobs)} cells, "
        + ", ".join(f"{len(v)} {axis}" for axis, v in loaded.axes.items())
    )
    for sentence in dict.fromkeys(job.missing for job in jobs if job.missing):
        print(sentence)
