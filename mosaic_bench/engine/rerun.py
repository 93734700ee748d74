"""Which cells a run starts again from their first step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from mosaic_bench.engine.provenance import sources_of
from mosaic_bench.engine.resolve import Job
from mosaic_bench.store import CellFolder, Claim

Rerun = Literal["failed", "stale", "all"]


def forget(cells: Mapping[CellFolder, Job], rerun: Rerun) -> None:
    """Make the chosen cells planned again; those that another run holds are left to it."""
    for folder, job in cells.items():
        claim = Claim.take(folder.path) if _is_chosen(folder, job, rerun) else None
        if claim is not None:
            CellFolder(folder.path, claim).forget()
            claim.release()


def _is_chosen(folder: CellFolder, job: Job, rerun: Rerun) -> bool:
    if rerun == "failed":
        return folder.status().state.failed
    return rerun == "all" or _is_stale(folder, job)


def _is_stale(folder: CellFolder, job: Job) -> bool:
    """True when the cell ran, in another version of its algorithm's file or of the harness."""
    ran_with = folder.environment().get("sources")
    return ran_with is not None and ran_with != sources_of(job.algorithm)
