"""Which cells a run starts again from their first step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from mosaic_bench.store import CellFolder, Claim, sources_changed

Rerun = Literal["failed", "stale", "all"]


def forget(cells: Iterable[CellFolder], rerun: Rerun) -> None:
    """Make the chosen cells planned again; those that another run holds are left to it."""
    for folder in cells:
        claim = Claim.take(folder.path) if _is_chosen(folder, rerun) else None
        if claim is not None:
            CellFolder(folder.path, claim).forget()
            claim.release()


def _is_chosen(folder: CellFolder, rerun: Rerun) -> bool:
    if rerun == "failed":
        return folder.status().state.failed
    return rerun == "all" or sources_changed(folder)
